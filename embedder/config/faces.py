"""How faces are found, which are too poor to enroll, and how large images may be."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.config.fields import check_ranges

CROPS = ("face", "whole")
Landmarks = tuple[tuple[float, float], ...]  # of a face: five points x, y in shares of a crop's side
# ArcFace's, which SFace and most networks since are made for: pixels of a crop of 112 (Deng et al. 2019).
ARCFACE_LANDMARKS = tuple(
    (x / 112, y / 112)
    for x, y in (
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    )
)
# Where YuNet sees the landmarks on dlib's crops, in shares of the side: `scripts/measure_landmarks.py`.
DLIB_LANDMARKS = (
    (0.3123, 0.3043),
    (0.6878, 0.3048),
    (0.4992, 0.5096),
    (0.3415, 0.6661),
    (0.6578, 0.6654),
)


@dataclass(frozen=True)
class DetectorConfig:
    """How faces are looked for.

    Attributes:
        min_face: pixels across the smallest face looked for. In photos below 64 pixels it may be smaller.
        any_rotation: look also for faces that lie on their side or on their head.
        score: certainty from which a place is a face, 0 to 1.
        overlap: share of the smaller of two faces that may be hidden by the other.
    """

    min_face: int = 60  # smaller ones are seldom recognized, and half of it takes four times as long
    any_rotation: bool = False
    score: float = 0.7
    overlap: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values no search can use.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(self, min_face=(10, 10_000), score=(0.01, 0.99), overlap=(0.0, 1.0))


@dataclass(frozen=True)
class QualityLimits:
    """What makes a face too poor to enroll; see `faces.quality.Quality`. Measured: docs/faces.md."""

    size: float = 14.0  # pixels
    visible: float = 0.6  # share
    sharpness: float = 0.1
    dark: float = 0.03  # brightness
    bright: float = 0.86
    yaw: float = 45.0  # degrees; no photo of ORL looks aside as far, so nothing is known beyond


_PIXELS = 50_000_000  # 150 MB as RGB: a laptop holds several at once
_MEMORY = 448 * 2**20  # bytes; with Python, numpy and Pillow themselves below 512 MiB


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before a single pixel is decoded.

    Attributes:
        max_bytes: of a file; photos of 200 megapixels have up to 80 MiB.
        max_pixels: most pixels that are decoded. A JPEG with more is read at a half, a quarter or an eighth
            of its size, another picture is refused.
        max_jpeg_pixels: of a JPEG as it is stored: phones make 200 megapixels.
    """

    max_bytes: int = 100 * 2**20
    max_pixels: int = _PIXELS
    max_jpeg_pixels: int = 250_000_000

    @property
    def max_memory(self) -> int:
        """Bytes that decoding one picture may take; grows with `max_pixels` above its default."""
        return round(_MEMORY * max(1.0, self.max_pixels / _PIXELS))


_IN_FORCE = [ImageLimits()]


def use_limits(limits: ImageLimits) -> None:
    """Set the limits of pictures that are read without limits of their own, in the whole process."""
    _IN_FORCE[0] = limits


def limits_in_force() -> ImageLimits:
    """Give the limits of pictures that are read without limits of their own."""
    return _IN_FORCE[0]
