"""Films made of ORL faces that move over backgrounds, so that who is seen where and when is known.

Each person looks different from half second to half second: the photos of ORL follow one another. Films are
written by PyAV, which reads them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

HEAD = (92, 112)  # pixels of an ORL picture
FACE = 70  # of them across the face

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Visit:
    """Someone who comes into sight and goes out of it.

    Attributes:
        heads: (n, 112, 92) uint8 grey photos of the person, shown one after another.
        start, end: seconds; the face is seen from the first until before the second.
        begin, stop: x and y of the middle of the face, in shares of the frame.
        width: of the face in pixels.
        each: seconds for which a photo is shown.
    """

    heads: Pixels
    start: float
    end: float
    begin: tuple[float, float] = (0.25, 0.5)
    stop: tuple[float, float] = (0.75, 0.5)
    width: float = 110.0
    each: float = 0.5

    def box_at(self, seconds: float, size: tuple[int, int]) -> tuple[float, float, float] | None:
        """Give x and y of the middle of the face and its width in pixels; None out of sight."""
        if not self.start <= seconds < self.end:
            return None
        share = (seconds - self.start) / (self.end - self.start)
        x, y = (a + share * (b - a) for a, b in zip(self.begin, self.stop, strict=True))
        return x * size[0], y * size[1], self.width


def film_frames(
    visits: Sequence[Visit],
    seconds: float,
    size: tuple[int, int] = (640, 360),
    rate: float = 10,
    seed: int = 0,
    noise: float = 3.0,
    times: Sequence[float] | None = None,
) -> Iterator[tuple[float, Pixels]]:
    """Give the frames of a film and their times.

    Args:
        visits: who is seen.
        seconds: how long the film is.
        size: width and height in pixels.
        rate: frames a second.
        seed: of background and noise.
        noise: standard deviation of what a sensor adds to each pixel.
        times: of the frames, instead of `rate`.
    """
    rng = np.random.default_rng([seed, 11])
    scene = _background(size, rng)
    grain = rng.normal(0, noise, (size[1] + 64, size[0] + 64)).astype(np.float32) if noise else None
    pictures = [[_cutout(head, visit.width) for head in visit.heads] for visit in visits]
    for at in times if times is not None else (index / rate for index in range(round(seconds * rate))):
        frame = scene.copy()
        for visit, shown in zip(visits, pictures, strict=True):
            if place := visit.box_at(at, size):
                _lay(frame, *shown[int((at - visit.start) / visit.each) % len(shown)], place[:2])
        if grain is not None:
            top, left = rng.integers(0, 64, 2)
            frame += grain[top : top + size[1], left : left + size[0], None]
        yield at, frame.clip(0, 255).astype(np.uint8)


def write_film(
    path: str | Path,
    frames: Iterable[tuple[float, Pixels]],
    rate: int = 10,
    codec: str = "libx264",
    rotation: int = 0,
    container: str | None = None,
    **options: str,
) -> Path:
    """Write a film.

    Args:
        path: of it.
        frames: times in seconds, and (height, width, 3) uint8 RGB.
        rate: frames a second that the file states; each frame has its own time.
        codec: by FFmpeg's name.
        rotation: degrees counterclockwise by which a player turns it.
        container: by FFmpeg's name; None goes by the path's ending.
        **options: of the codec.
    """
    import av

    with av.open(str(path), "w", format=container) as file:
        stream: Any = None
        for at, pixels in frames:
            if stream is None:
                stream = file.add_stream(codec, rate=rate)
                stream.width, stream.height = pixels.shape[1], pixels.shape[0]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.options = {"preset": "veryfast", **options} if codec == "libx264" else options
                if not codec.startswith("mpeg2"):
                    stream.codec_context.time_base = Fraction(1, 1000)
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(at * 1000), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return Path(path)


def _background(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    coarse = rng.integers(40, 210, (9, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32)


def _cutout(head: Pixels, width: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give a head scaled so that its face is as wide as asked, and its soft-edged mask."""
    scale = width / FACE
    size = (round(HEAD[0] * scale), round(HEAD[1] * scale))
    picture = np.asarray(Image.fromarray(head).resize(size, Image.Resampling.BICUBIC), np.float32)
    mask = Image.new("L", HEAD, 0)
    mask.paste(255, (6, 6, HEAD[0] - 6, HEAD[1] - 6))
    mask = mask.filter(ImageFilter.GaussianBlur(3)).resize(size)
    return picture[:, :, None], np.asarray(mask, np.float32)[:, :, None] / np.float32(255)


def _lay(
    frame: NDArray[np.float32],
    picture: NDArray[np.float32],
    mask: NDArray[np.float32],
    middle: tuple[float, float],
) -> None:
    height, width = picture.shape[:2]
    left, top = round(middle[0] - width / 2), round(middle[1] - height * 60 / 112)
    x, y = max(0, -left), max(0, -top)
    right, bottom = min(width, frame.shape[1] - left), min(height, frame.shape[0] - top)
    if right <= x or bottom <= y:
        return
    part = np.s_[top + y : top + bottom, left + x : left + right]
    share = mask[y:bottom, x:right]
    frame[part] = frame[part] * (1 - share) + picture[y:bottom, x:right] * share
