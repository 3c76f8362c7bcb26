"""Measure how well a face can be recognized, and refuse faces too poor to enroll."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.config import DLIB_LANDMARKS, QualityLimits
from embedder.faces.align import Similarity, inside, warp_square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.faces.detection import Detection

JUDGED = 75  # pixels: side of the square that is measured; half of dlib's crop, which averages out noise
_FACE = np.s_[round(0.1 * JUDGED) : round(0.9 * JUDGED), round(0.15 * JUDGED) : round(0.85 * JUDGED)]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_NEIGHBOURS = tuple(
    np.s_[1 + y : y - 1 or None, 1 + x : x - 1 or None] for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))
)
_LARGE = 112  # pixels: side of SFace's crop, to which larger faces are reduced
_SHARP = 0.3  # sharpness of an ordinary photo of ORL
_NOSE = 0.5  # distance of the nose tip from the plane of eyes and mouth, in eye distances


@dataclass(frozen=True)
class Quality:
    """Holds measures of how well a face can be recognized.

    Attributes:
        size: width of the face in pixels of the photo.
        visible: share of the face, from the forehead to the chin, that lies within the photo, 0 to 1. It is
            computed from the landmarks, since a detector's box may end at the border.
        sharpness: standard deviation of the Laplacian over that of the luma, of the face scaled to one size:
            the amount of fine detail, independent of the contrast. 0 for an area of one colour.
        brightness: mean luma of the visible part, 0 black to 1 white.
        yaw: angle in degrees by which the head is turned, positive to the picture's right; 0 is frontal. It
            is estimated from the position of the nose tip between the eyes.
        roll: angle in degrees by which the head is tilted, positive clockwise.
        score: score of the detector, 0 to 1.
    """

    size: float
    visible: float
    sharpness: float
    brightness: float
    yaw: float
    roll: float
    score: float


def assess_quality(image: NDArray[np.uint8], face: Detection) -> Quality:
    """Measure a face, aligned to the same square for every trunk.

    Args:
        image: (height, width, 3) uint8 RGB.
        face: detection in `image`, with box and landmarks in pixels.

    Returns:
        The measures, equal to `Face.quality` of `Extractor.faces`.

    Example:
        >>> from embedder.faces.detection import Detection
        >>> points = np.array([[40, 40], [60, 40], [50, 52], [42, 64], [58, 64]], float)
        >>> face = Detection((25, 20, 50, 60), points, score=0.9)
        >>> assess_quality(np.full((100, 100, 3), 128, np.uint8), face).brightness
        0.502
    """
    to_square = Similarity.fit(face.points, np.array(DLIB_LANDMARKS) * JUDGED)
    luma = warp_square(image, to_square, JUDGED).astype(np.float32) @ _LUMA
    visible = inside(image.shape, to_square, JUDGED)
    laplacian, complete = -4 * luma[1:-1, 1:-1], visible[1:-1, 1:-1].copy()
    for at in _NEIGHBOURS:
        laplacian += luma[at]
        complete &= visible[at]
    spread = float(luma[visible].std()) if visible.any() else 0.0
    return Quality(
        size=round(face.box[2], 1),
        visible=round(float(visible[_FACE].mean()), 3),
        sharpness=round(float(laplacian[complete].std()) / spread, 3) if spread and complete.any() else 0.0,
        brightness=round(float(luma[visible].mean()) / 255, 3) if visible.any() else 0.0,
        yaw=round(_yaw(face.points), 1) + 0.0,  # no -0.0
        roll=round(_roll(face.points), 1) + 0.0,
        score=round(face.score, 3),
    )


def rejection_reason(quality: Quality, limits: QualityLimits) -> str | None:
    """Return why a face is too poor to enroll, as a sentence, or None if it is not."""
    if quality.size < limits.size:
        return f"the face is {quality.size:g} pixels wide, at least {limits.size:g} are needed"
    if quality.visible < limits.visible:
        return (
            f"the face is cut by the border: {100 * quality.visible:g} % of it is in the photo, "
            f"at least {100 * limits.visible:g} % are needed"
        )
    if quality.sharpness < limits.sharpness:
        return f"the face is blurred: sharpness {quality.sharpness:g}, {limits.sharpness} or more is needed"
    if not limits.dark <= quality.brightness <= limits.bright:
        how = "dark" if quality.brightness < limits.dark else "bright"
        return (
            f"the face is too {how}: brightness {quality.brightness:g}, "
            f"{limits.dark} to {limits.bright} is needed"
        )
    if abs(quality.yaw) > limits.yaw:
        return f"the face looks aside by {abs(quality.yaw):g} degrees, at most {limits.yaw:g} are allowed"
    return None


def usefulness(quality: Quality) -> float:
    """Compute a weight of a face among several of one person, at least 0.

    Small, turned, blurred and uncertain faces have a low weight. Size counts up to `_LARGE` pixels and
    sharpness up to `_SHARP`: beyond, the crop of the network does not improve.
    """
    frontal = max(0.0, math.cos(math.radians(min(90.0, abs(quality.yaw) * 1.5))))
    exposed = 1.0 if 0.1 <= quality.brightness <= 0.8 else 0.5
    size, sharp = min(quality.size / _LARGE, 1.0), min(quality.sharpness / _SHARP, 1.0)
    return quality.score * size * sharp * frontal * exposed * quality.visible


def _yaw(points: NDArray[np.float64]) -> float:
    """Estimate the yaw in degrees from the nose tip's distance to the middle of the eyes.

    At a yaw of θ the distance of the eyes shrinks by cos θ, and the nose tip moves by `_NOSE` times sin θ.
    """
    left, right, nose = points[:3] @ (1, 1j)
    eyes = right - left
    if not abs(eyes):
        return 90.0
    distance = ((nose - (left + right) / 2) * eyes.conjugate()).real / abs(eyes) ** 2
    return math.degrees(math.atan(distance / _NOSE))


def _roll(points: NDArray[np.float64]) -> float:
    left, right = points[:2] @ (1, 1j)
    return math.degrees(np.angle(right - left))
