"""State what a file says of its picture before anything is decoded, and what decoding will cost."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 2**20
MOST_BLOCKS = 100_000  # chunks, segments or blocks of one file: 0.1 s of a scanner written in Python
MOST_SIDE = 65_535  # pixels; the most that JPEG can have, and a line costs memory of its own


class BrokenError(Exception):
    """A file that no decoder needs to see: its header is wrong, or costs too much."""


@dataclass(frozen=True)
class Header:
    """What is known of a picture before it is decoded.

    Attributes:
        kind: of the file, as Pillow calls it.
        width: of the picture as it is stored, in pixels.
        height: likewise.
        data: what a decoder is to see: the file, without what pixels do not need.
        per_pixel: bytes of memory for each pixel that is decoded, our copy included.
        fixed: bytes of memory however much the picture is reduced.
        reducible: may be decoded at a half, a quarter and an eighth of its size.
        orientation: as EXIF counts it.
        profile: ICC profile, b"" if there is none or the decoder knows it.
        frames: of an animation.
        notes: what a person should know.
        sure: no picture in the file can be larger than that; else it is decoded in a process with limits.
    """

    kind: str
    width: int
    height: int
    data: bytes
    per_pixel: float = 7.0  # four of Pillow's, three of ours
    fixed: int = 0
    reducible: bool = False
    orientation: int = 1
    profile: bytes = b""
    frames: int = 1
    notes: tuple[str, ...] = ()
    sure: bool = True

    def memory(self, scale: int = 1) -> int:
        """Estimate the bytes that decoding takes, the file's own included."""
        pixels = -(-self.width // scale) * -(-self.height // scale)
        return len(self.data) + self.fixed + round(self.per_pixel * pixels)
