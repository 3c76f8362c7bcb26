"""Helpers for tests with photos that `scripts.group_photos` composed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embedder.faces.align import Similarity
from embedder.faces.detection import Detection
from scripts.group_photos import CENTER, FACE, Truth


def rgb(head: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(head[:, :, None], 3, axis=2)


def placed(truth: Truth, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where points of a head lie in the photo it was laid on."""
    turn = truth.width / FACE * np.exp(-1j * np.deg2rad(truth.degrees))
    return Similarity(turn, complex(*truth.center) - turn * complex(*CENTER))(points)


def middle(face: Detection) -> NDArray[np.float64]:
    x, y, width, height = face.box
    return np.array([x + width / 2, y + height / 2])


def face_of(truth: Truth, faces: list[Detection]) -> Detection:
    """The face whose points are nearest to where one was laid."""
    return min(faces, key=lambda face: np.hypot(*(face.points.mean(0) - truth.center)))
