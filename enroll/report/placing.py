"""Where labels go: at their own face, inside of the picture, off other faces and other labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Costs of a label that lies on something: another label, another face, its own face.
_ON_LABEL, _ON_FACE, _ON_OWN = 20.0, 5.0, 2.0
_CLOSE = 6  # pixels from another face at which a label would seem to be that one's
_SWEEPS = 3  # in the first each label sees those before it, then all; a fourth changed nothing


def place_labels(
    boxes: NDArray[np.float64], forms: Sequence[Sequence[tuple[int, int]]], frame: tuple[int, int]
) -> list[tuple[int, int, int]]:
    """Choose a form and a place for each face's label.

    Args:
        boxes: (n, 4) float64, left, top, right and bottom of each face, in pixels.
        forms: for each face, the widths and heights its label may have, the best first.
        frame: width and height of the picture.

    Returns:
        For each face the index of the form, and the left and top of the label.
    """
    offered = [_places(box, sizes, frame) for box, sizes in zip(boxes, forms, strict=True)]
    wider = np.array([-_CLOSE, -_CLOSE, _CLOSE, _CLOSE])
    costs = [
        _ON_FACE * _covered(places, np.delete(boxes, index, 0) + wider)
        + _ON_OWN * _covered(places, boxes[index : index + 1])
        for index, places in enumerate(offered)
    ]
    labels = np.zeros((len(boxes), 4))
    chosen = [0] * len(boxes)
    for _ in range(_SWEEPS):
        for index, places in enumerate(offered):
            labels[index] = 0
            cost = costs[index] + _ON_LABEL * _covered(places, labels)
            chosen[index] = int(cost.argmin())  # the first in the order of places, of equal ones
            labels[index] = places[chosen[index]]
    each = [len(places) // len(sizes) for places, sizes in zip(offered, forms, strict=True)]
    return [
        (best // per_form, int(label[0]), int(label[1]))
        for best, per_form, label in zip(chosen, each, labels, strict=True)
    ]


def _places(
    box: NDArray[np.float64], sizes: Sequence[tuple[int, int]], frame: tuple[int, int]
) -> NDArray[np.float64]:
    """Give the places for each size after another, (sizes * 13, 4) float64: left, top, right, bottom."""
    left, top, right, bottom = box
    found = []
    for width, height in sizes:
        middle, end = (left + right - width) / 2, right - width
        corners = np.array(
            [
                *((left, top - height), (middle, top - height), (end, top - height)),
                *((left, bottom), (middle, bottom), (end, bottom)),
                *((left, bottom - height), (middle, bottom - height), (end, bottom - height)),
                *((right, top), (left - width, top)),
                *((right, bottom - height), (left - width, bottom - height)),
            ]
        )
        room = np.maximum(0, np.array(frame) - (width, height))
        corners = np.clip(corners.round(), 0, room)
        found.append(np.hstack([corners, corners + np.array([width, height])]))
    return np.vstack(found)


def _covered(places: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how much of each place lies on others, as shares of the smaller of the two, (n,) float64.

    A wide label that hides a small face is as bad as one that lies wholly on a large face.
    """
    low = np.maximum(places[:, None, :2], others[None, :, :2])
    high = np.minimum(places[:, None, 2:], others[None, :, 2:])
    shared = np.maximum(0, high - low).prod(axis=2)
    areas, other_areas = (
        (rectangles[:, 2:] - rectangles[:, :2]).prod(axis=1) for rectangles in (places, others)
    )
    smaller = np.maximum(1, np.minimum(areas[:, None], other_areas[None, :]))  # faces may be empty
    return np.asarray((shared / smaller).sum(axis=1))
