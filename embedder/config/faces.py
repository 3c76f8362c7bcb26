"""How faces are found, which are too poor to enroll, and how large images may be."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.config.fields import check_ranges
from embedder.errors import UsageError

CROPS = ("face", "whole")
DETECTORS = ("blazeface",)


@dataclass(frozen=True)
class DetectorConfig:
    """How faces are looked for.

    Attributes:
        name: `blazeface`.
        min_face: pixels across the smallest face looked for. In photos below 64 pixels it may be smaller.
        any_rotation: look also for faces that lie on their side or on their head.
        proposal: BlazeFace: score of the coarse look from which a place is looked at closely.
        score: BlazeFace: score of the close look from which it is a face.
        overlap: share of the smaller of two faces that may be hidden by the other.
    """

    name: str = "blazeface"
    min_face: int = 60  # smaller ones are seldom recognized, and half of it takes four times as long
    any_rotation: bool = False
    proposal: float = 0.15  # at .2, one in 100 small faces is lost; at .1, twice the places are looked at
    score: float = 0.77  # of 960 composed faces .7 % are lost, .5 % of those found are none (.75: .6 and 1.1)
    overlap: float = 0.4

    def __post_init__(self) -> None:
        """Refuse values no search can use.

        Raises:
            UsageError: a value is out of its range.
        """
        if self.name not in DETECTORS:
            raise UsageError(f"--detector: expected {' or '.join(DETECTORS)}, got {self.name!r}")
        check_ranges(
            self, min_face=(10, 10_000), proposal=(0.01, 0.99), score=(0.01, 0.99), overlap=(0.0, 1.0)
        )


@dataclass(frozen=True)
class QualityLimits:
    """What makes a face too poor to enroll; see `faces.quality.Quality`. Measured: docs/faces.md."""

    size: float = 26.0  # pixels
    visible: float = 0.75  # share
    sharpness: float = 0.14
    dark: float = 0.035  # brightness
    bright: float = 0.82
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
