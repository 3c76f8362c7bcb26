"""Define how faces are found, which are too poor to enroll, and how large images may be."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.config.fields import check_ranges

CROPS = ("face", "whole")
Landmarks = tuple[tuple[float, float], ...]  # five (x, y) of a face, in shares of a crop's side
# The template of most face networks since ArcFace, SFace too, in pixels of a crop of 112 (Deng et al. 2019,
# "ArcFace: Additive Angular Margin Loss for Deep Face Recognition").
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
# Mean landmarks that YuNet finds on dlib's crops, in shares of the side: `scripts/measure_landmarks.py`.
DLIB_LANDMARKS = (
    (0.3123, 0.3043),
    (0.6878, 0.3048),
    (0.4992, 0.5096),
    (0.3415, 0.6661),
    (0.6578, 0.6654),
)


@dataclass(frozen=True)
class DetectorConfig:
    """Holds the settings of face detection.

    Attributes:
        min_face: width of the smallest face that is searched for, in pixels, 10 to 10,000. In photos below 64
            pixels faces may be smaller.
        any_rotation: whether faces that lie on their side or upside down are searched for too.
        score: lowest score of a detection that counts as a face, 0.01 to 0.99.
        overlap: share of the smaller of two faces that the other may cover, 0 to 1.

    Raises:
        UsageError: a value is out of its range.

    Example:
        >>> DetectorConfig(min_face=40, any_rotation=True).score
        0.7
    """

    min_face: int = 60  # pixels: smaller faces are seldom recognized, and 30 takes four times as long
    any_rotation: bool = False
    score: float = 0.7
    overlap: float = 0.4

    def __post_init__(self) -> None:
        """Check that all values are in their ranges.

        Raises:
            UsageError: a value is out of its range.
        """
        check_ranges(self, min_face=(10, 10_000), score=(0.01, 0.99), overlap=(0.0, 1.0))


@dataclass(frozen=True)
class QualityLimits:
    """Holds the limits beyond which a face is too poor to enroll; measured in docs/faces.md.

    Attributes:
        size: least width of the face in pixels; all are defined in `faces.quality.Quality`.
        visible: least share of the face that lies within the photo, 0 to 1.
        sharpness: least sharpness.
        dark: least brightness, 0 black to 1 white.
        bright: largest brightness, 0 black to 1 white.
        yaw: largest angle by which the head is turned to a side, in degrees.
    """

    size: float = 14.0
    visible: float = 0.6
    sharpness: float = 0.1
    dark: float = 0.03
    bright: float = 0.86
    yaw: float = 45.0  # no photo of ORL is turned as far, so larger angles were not measured


_PIXELS = 50_000_000  # 150 MB as RGB: several fit into the memory of a laptop
_MEMORY = 448 * 2**20  # bytes; with those of Python, numpy and Pillow less than 512 MiB


@dataclass(frozen=True)
class ImageLimits:
    """Holds the limits of picture files that are checked before a pixel is decoded.

    Attributes:
        max_bytes: largest size of a file, in bytes; photos of 200 megapixels have up to 80 MiB.
        max_pixels: largest number of pixels that are decoded. A JPEG with more is read at a half, a quarter
            or an eighth of its width and height, another picture is refused.
        max_jpeg_pixels: largest number of pixels of a JPEG as it is stored; phones make 200 million.
    """

    max_bytes: int = 100 * 2**20
    max_pixels: int = _PIXELS
    max_jpeg_pixels: int = 250_000_000

    @property
    def max_memory(self) -> int:
        """Bytes that decoding a picture may take; grows with `max_pixels` above its default."""
        return round(_MEMORY * max(1.0, self.max_pixels / _PIXELS))


_IN_FORCE = [ImageLimits()]


def use_limits(limits: ImageLimits) -> None:
    """Set the limits of this process for pictures that are read without limits of their own."""
    _IN_FORCE[0] = limits


def limits_in_force() -> ImageLimits:
    """Return the limits of this process; see `use_limits`."""
    return _IN_FORCE[0]
