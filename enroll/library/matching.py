"""Match the faces of two scans of one photo by their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from enroll.store.library import SeenFace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_PLACE = 0.5  # share of two boxes' union from which they are one face
_SAME_MOMENT = 0.1  # seconds between two frames that count as one
_SAME_FACE = 1.0  # distance of two vectors, up to which a face of a changed file is the same


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Compute the intersection over union of two boxes.

    Args:
        one: x, y, width and height.
        other: likewise.

    Example:
        >>> overlap((0, 0, 2, 2), (1, 0, 2, 2))
        0.3333333333333333
    """
    wide = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    high = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union else 0.0


def matched(
    old: Sequence[SeenFace], found: Sequence[SeenFace], photo: int
) -> tuple[list[SeenFace], list[SeenFace], list[SeenFace]]:
    """Match the stored faces of a photo with those of a new scan.

    The photo may have changed, or the model.

    Args:
        old: faces as they are stored.
        found: faces of the new scan, without numbers.
        photo: number of the photo.

    Returns:
        Old faces as they are now, new faces, and old faces that were not found.
    """
    pairs = sorted(
        ((_shared(one, other), i, j) for i, one in enumerate(old) for j, other in enumerate(found)),
        reverse=True,
    )
    partner: dict[int, int] = {}
    for share, i, j in pairs:
        if share < _SAME_PLACE or i in partner.values() or j in partner:
            continue
        if old[i].model == found[j].model and _far(old[i].vector, found[j].vector):
            continue
        partner[j] = i
    kept = [
        replace(face, photo=photo, number=was.number, expires=was.expires, key=was.key)
        for j, face in enumerate(found)
        if j in partner and (was := old[partner[j]])
    ]
    more = [replace(face, photo=photo) for j, face in enumerate(found) if j not in partner]
    lost = [face for i, face in enumerate(old) if i not in partner.values()]
    return kept, more, lost


def _shared(one: SeenFace, other: SeenFace) -> float:
    """Return how much two faces share: of a photo, their place, of a film, their time, 0 to 1.

    A person moves through a film, so another best frame has another box: then similar vectors decide.
    """
    if one.seconds is None or other.seconds is None:
        return overlap(one.box, other.box)
    if abs(one.seconds - other.seconds) <= _SAME_MOMENT:
        return overlap(one.box, other.box)
    if one.model != other.model or _far(one.vector, other.vector):
        return 0.0
    return _time_shared(one.intervals, other.intervals)


def _time_shared(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> float:
    """Return the share of the time with either in sight in which both are."""
    both = sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in some for b in others)
    either = sum(end - start for start, end in (*some, *others)) - both
    return both / either if either else 0.0


def _far(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return float(np.linalg.norm(one - other)) > _SAME_FACE
