"""Define detections, drop overlapping ones, and search in rotated pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


# Left and right are those of the viewer.
POINTS = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")


@dataclass(frozen=True, eq=False)
class Detection:
    """Holds a face found in a picture.

    Attributes:
        box: x, y, width and height in pixels; parts of it may lie outside of the picture. (0, 0) is the outer
            corner of the first pixel.
        points: (5, 2) float64, x and y of `POINTS` in pixels.
        score: score of the detector, 0 to 1.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float64]
    score: float


def part_within(
    box: tuple[float, float, float, float], shape: tuple[int, ...]
) -> tuple[float, float, float, float] | None:
    """Cut off the part of a box that lies outside of a picture.

    Args:
        box: x, y, width and height in pixels.
        shape: height and width of the picture.

    Returns:
        Left, top, right and bottom in pixels; None if the whole box lies outside.
    """
    x, y, width, height = box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(shape[1])), min(y + height, float(shape[0]))
    return (left, top, right, bottom) if left < right and top < bottom else None


class Detector(Protocol):
    """Finds faces in pictures."""

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the highest score first."""


def non_max_suppression(detections: Sequence[Detection], limit: float) -> list[Detection]:
    """Drop every face that overlaps one with a higher score (non-maximum suppression).

    Args:
        detections: detections in any order.
        limit: largest share of the smaller box that may be covered, 0 to 1. Unlike a share of the union, it
            also drops a face found within a face.

    Returns:
        The kept detections, the highest score first.
    """
    ranked = sorted(detections, key=lambda face: (-face.score, face.box))
    boxes = np.array([face.box for face in ranked]).reshape(-1, 4)
    return [ranked[index] for index in first_of_each_place(boxes, limit)]


def first_of_each_place(boxes: NDArray[np.floating], limit: float, of_union: bool = False) -> list[int]:
    """Choose the boxes that do not overlap any box chosen before them.

    Args:
        boxes: (n, 4) x, y, width and height, those to prefer first.
        limit: largest area that two boxes may share, as a share of the smaller box, 0 to 1.
        of_union: whether `limit` is a share of the union of both, so that a box may lie within a larger one.

    Returns:
        Row numbers of the chosen boxes, ascending.
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
    """Searches a picture for faces in four rotations, by 0, 90, 180 and 270 degrees.

    It takes four times as long. Of a face found in two rotations, the detection with the higher score is
    kept.
    """

    def __init__(self, detector: Detector, overlap: float) -> None:
        """Wrap a detector of upright faces.

        Args:
            detector: detector of upright faces.
            overlap: largest share of the smaller of two faces that may be covered, 0 to 1.
        """
        self._detector, self._overlap = detector, overlap

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the highest score first."""
        faces = []
        for quarters in range(4):
            rotated = np.ascontiguousarray(np.rot90(image, quarters))
            faces += [rotate_back(face, rotated.shape[:2], quarters) for face in self._detector.find(rotated)]
        return non_max_suppression(faces, self._overlap)


def rotate_back(face: Detection, shape: tuple[int, ...], quarters: int) -> Detection:
    """Transform a face from a rotated picture to the original picture.

    Args:
        face: detection in the rotated picture.
        shape: height and width of the rotated picture.
        quarters: number of rotations counterclockwise by 90 degrees, as by `np.rot90`.
    """
    points, box = face.points, face.box
    height, width = shape
    for _ in range(quarters):
        points = np.stack([height - points[:, 1], points[:, 0]], axis=1)
        x, y, w, h = box
        box = (height - y - h, x, h, w)
        height, width = width, height
    return replace(face, points=points, box=box)
