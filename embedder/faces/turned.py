"""Faces in photos that lie on their side or on their head, without a word of it in EXIF."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from embedder.faces.detection import Detection, Detector, without_overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray


class AnyRotation:
    """Looks for faces in a picture turned by 0, 90, 180 and 270 degrees; see `detection.Detector`.

    It takes four times as long. A face found in two of them is kept as where it scored higher.
    """

    def __init__(self, detector: Detector, overlap: float) -> None:
        """Wrap a detector that finds upright faces; `overlap` as in `detection.without_overlaps`."""
        self.canonical = detector.canonical
        self._detector, self._overlap = detector, overlap

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the most certain first."""
        found = []
        for quarters in range(4):
            turned = np.ascontiguousarray(np.rot90(image, quarters))
            found += [turned_back(face, turned.shape[:2], quarters) for face in self._detector.find(turned)]
        return without_overlaps(found, self._overlap)


def turned_back(face: Detection, shape: tuple[int, ...], quarters: int) -> Detection:
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
