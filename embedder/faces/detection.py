"""What all detectors share: a face, overlapping faces, faces on their side or head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


# Left and right as seen in the picture.
POINTS = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")


@dataclass(frozen=True, eq=False)
class Detection:
    """A face in a picture; coordinates in pixels, (0, 0) is the outer corner of the first pixel.

    Attributes:
        box: x, y, width and height; parts of it may lie outside of the picture.
        points: (5, 2) float64, x and y of `POINTS`.
        score: the detector's own certainty that this is a face, 0 to 1.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float64]
    score: float


def part_within(
    box: tuple[float, float, float, float], shape: tuple[int, ...]
) -> tuple[float, float, float, float] | None:
    """Give the part of a box that lies in a picture: left, top, right and bottom, or None.

    Args:
        box: x, y, width and height.
        shape: height and width of the picture.
    """
    x, y, width, height = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(shape[1])), min(y + height, float(shape[0]))
    return (left, top, right, bottom) if left < right and top < bottom else None


class Detector(Protocol):
    """Finds faces."""

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the most certain first."""


def non_max_suppression(detections: Sequence[Detection], limit: float) -> list[Detection]:
    """Drop every face that lies on a more certain one (non-maximum suppression).

    Args:
        detections: in any order.
        limit: largest share of the smaller box that may be covered; unlike a share of the union, it also
            drops a face found within a face.
    """
    ranked = sorted(detections, key=lambda face: (-face.score, face.box))
    boxes = np.array([face.box for face in ranked]).reshape(-1, 4)
    return [ranked[index] for index in first_of_each_place(boxes, limit)]


def first_of_each_place(boxes: NDArray[np.floating], limit: float, of_union: bool = False) -> list[int]:
    """Give the rows of boxes that share no more than allowed with any row kept before them.

    Args:
        boxes: (n, 4) x, y, width and height, the most certain first.
        limit: largest area that two may share, as a part of the smaller one's.
        of_union: as a part of the area of both together, so that a box may lie within a larger one.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    areas = boxes[:, 2:].prod(axis=1)
    free = np.ones(len(boxes), bool)
    kept = []
    for index in range(len(boxes)):
        if not free[index]:
            continue
        kept.append(index)
        later = slice(index + 1, None)
        sides = np.minimum(high[index], high[later]) - np.maximum(low[index], low[later])
        shared = np.maximum(sides, 0).prod(axis=1)
        whole = areas[index] + areas[later] - shared if of_union else np.minimum(areas[index], areas[later])
        free[later] &= shared <= limit * whole
    return kept


class RotationSearch:
    """Looks for faces in a picture turned by 0, 90, 180 and 270 degrees; see `detection.Detector`.

    It takes four times as long. A face found in two of them is kept as where it scored higher.
    """

    def __init__(self, detector: Detector, overlap: float) -> None:
        """Wrap a detector that finds upright faces; `overlap` as in `detection.non_max_suppression`."""
        self._detector, self._overlap = detector, overlap

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the most certain first."""
        found = []
        for quarters in range(4):
            turned = np.ascontiguousarray(np.rot90(image, quarters))
            found += [rotate_back(face, turned.shape[:2], quarters) for face in self._detector.find(turned)]
        return non_max_suppression(found, self._overlap)


def rotate_back(face: Detection, shape: tuple[int, ...], quarters: int) -> Detection:
    """Give the place of a face before its picture was turned.

    Args:
        face: in the turned picture.
        shape: height and width of the turned picture.
        quarters: how often it was turned counterclockwise by 90 degrees, as by `np.rot90`.
    """
    points, box = face.points, face.box
    height, width = shape
    for _ in range(quarters):
        points = np.stack([height - points[:, 1], points[:, 0]], axis=1)
        x, y, w, h = box
        box = (height - y - h, x, h, w)
        height, width = width, height
    return replace(face, points=points, box=box)
