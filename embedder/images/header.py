"""Define the header of a picture file, and estimate the memory of decoding it."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 2**20
MOST_BLOCKS = 100_000  # chunks, segments or blocks of a file, which the scanners here read in 0.1 s
MOST_SIDE = 65_535  # pixels: the largest side of a JPEG; each line needs memory besides its pixels


class BrokenError(Exception):
    """Reports a file that is not decoded: its header is wrong, or decoding costs too much."""


@dataclass(frozen=True)
class Header:
    """Holds the facts of a picture file that are known before it is decoded.

    Attributes:
        kind: kind of the file, as Pillow names it.
        width: width of the stored picture in pixels.
        height: height of the stored picture in pixels.
        data: bytes for the decoder: the file without parts that pixels do not need.
        per_pixel: bytes of memory per decoded pixel, the copy of this package included.
        fixed: bytes of memory independent of the reduction.
        reducible: whether it can be decoded at a half, a quarter and an eighth of its width and height.
        orientation: EXIF orientation, 1 to 8.
        profile: ICC profile; b"" if there is none or the decoder reads it.
        frames: number of frames of an animation.
        notes: notes for the user.
        sure: whether no picture in the file can be larger than `width` x `height`; else it is decoded in a
            process with limits.
    """

    kind: str
    width: int
    height: int
    data: bytes
    per_pixel: float = 7.0  # four of Pillow, three of this package
    fixed: int = 0
    reducible: bool = False
    orientation: int = 1
    profile: bytes = b""
    frames: int = 1
    notes: tuple[str, ...] = ()
    sure: bool = True

    def memory(self, scale: int = 1) -> int:
        """Estimate the memory of decoding at 1 / `scale` of the sides, in bytes, with the file."""
        pixels = -(-self.width // scale) * -(-self.height // scale)
        return len(self.data) + self.fixed + round(self.per_pixel * pixels)
