"""How well a face can be recognized, in five figures, and which of them make it too poor to enroll."""

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

JUDGED = 75  # pixels of the square it is judged in: what the trunk has use for, without the noise
_FACE = np.s_[round(0.1 * JUDGED) : round(0.9 * JUDGED), round(0.15 * JUDGED) : round(0.85 * JUDGED)]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_NEIGHBOURS = tuple(
    np.s_[1 + y : y - 1 or None, 1 + x : x - 1 or None] for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))
)
_LARGE = 112  # pixels: the crop of SFace; a larger face is made smaller
_SHARP = 0.3  # sharpness of an ordinary photo of ORL
_NOSE = 0.5  # how far the nose tip stands out of the plane of eyes and mouth, in eye distances


@dataclass(frozen=True)
class Quality:
    """Figures of one face.

    Attributes:
        size: width of the face in pixels of the photo.
        visible: share of the face, from the forehead to the chin, that lies inside of the photo; less than 1
            at its border. It follows from the points: a detector's box may end at the border.
        sharpness: standard deviation of the Laplacian over that of the luma, of the face scaled to one size:
            the share of fine detail, whatever the contrast. 0 in an even picture.
        brightness: mean luma of the visible part, 0 black to 1 white.
        yaw: degrees the face looks aside, positive to the picture's right; 0 is frontal. An estimate from
            where the nose tip lies between the eyes.
        roll: degrees the head is turned in the plane, positive clockwise.
        score: the detector's certainty that it is a face, 0 to 1.
    """

    size: float
    visible: float
    sharpness: float
    brightness: float
    yaw: float
    roll: float
    score: float


def assess_quality(image: NDArray[np.uint8], face: Detection) -> Quality:
    """Measure a face, put upright into the same square whichever trunk it is for.

    Args:
        image: (height, width, 3) uint8 RGB.
        face: as it was found in it, with its box and landmarks in pixels.

    Returns:
        What `Extractor.faces` gives as `Face.quality`, too.

    Example:
        >>> from embedder.faces.detection import Detection
        >>> points = np.array([[40, 40], [60, 40], [50, 52], [42, 64], [58, 64]], float)
        >>> face = Detection((25, 20, 50, 60), points, score=0.9)
        >>> assess_quality(np.full((100, 100, 3), 128, np.uint8), face).brightness
        0.502
    """
    to_square = Similarity.fit(face.points, np.array(DLIB_LANDMARKS) * JUDGED)
    luma = warp_square(image, to_square, JUDGED).astype(np.float32) @ _LUMA
    seen = inside(image.shape, to_square, JUDGED)
    laplacian, complete = -4 * luma[1:-1, 1:-1], seen[1:-1, 1:-1].copy()
    for at in _NEIGHBOURS:
        laplacian += luma[at]
        complete &= seen[at]
    spread = float(luma[seen].std()) if seen.any() else 0.0
    return Quality(
        size=round(face.box[2], 1),
        visible=round(float(seen[_FACE].mean()), 3),
        sharpness=round(float(laplacian[complete].std()) / spread, 3) if spread and complete.any() else 0.0,
        brightness=round(float(luma[seen].mean()) / 255, 3) if seen.any() else 0.0,
        yaw=round(_yaw(face.points), 1),
        roll=round(_roll(face.points), 1),
        score=round(face.score, 3),
    )


def rejection_reason(quality: Quality, limits: QualityLimits) -> str | None:
    """Say why a face is too poor to enroll, in words for a person, or None."""
    if quality.size < limits.size:
        return f"the face is {quality.size:g} pixels wide, at least {limits.size:g} are needed"
    if quality.visible < limits.visible:
        return (
            f"the face is cut by the border: {100 * quality.visible:g}% of it is in the photo, "
            f"at least {limits.visible:.0%} are needed"
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
    """Rank a face among several of one person: how much its vector is worth, 0 or more.

    Small, turned, blurred and doubtful faces rank low. Beyond `_LARGE` pixels and `_SHARP` more adds nothing:
    there the crop that the network sees is as good as it gets.
    """
    frontal = max(0.0, math.cos(math.radians(min(90.0, abs(quality.yaw) * 1.5))))
    exposed = 1.0 if 0.1 <= quality.brightness <= 0.8 else 0.5
    size, sharp = min(quality.size / _LARGE, 1.0), min(quality.sharpness / _SHARP, 1.0)
    return quality.score * size * sharp * frontal * exposed * quality.visible


def _yaw(points: NDArray[np.float64]) -> float:
    """Angle that moves the tip of an average nose as far off the middle of the eyes as it is.

    Turned by θ, the eyes draw together by cos θ and the tip moves by its length times sin θ.
    """
    left, right, nose = points[:3] @ (1, 1j)
    eyes = right - left
    if not abs(eyes):
        return 90.0
    off = ((nose - (left + right) / 2) * eyes.conjugate()).real / abs(eyes) ** 2
    return math.degrees(math.atan(off / _NOSE))


def _roll(points: NDArray[np.float64]) -> float:
    left, right = points[:2] @ (1, 1j)
    return math.degrees(np.angle(right - left))
