"""Find faces that probably show someone who was ignored.

Arrays in, arrays out; nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from enroll.library.cluster import MARGIN, Forbidden

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GROUPS = 1024  # whose cosines to all ignored groups are in memory together


def like_ignored(
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer],
    ignored: NDArray[np.bool_],
    threshold: float,
    free: NDArray[np.bool_] | None = None,
    photos: NDArray[np.integer] | None = None,
    good: NDArray[np.bool_] | None = None,
    apart: Iterable[tuple[int, int]] = (),
) -> NDArray[np.int64]:
    """Find waiting faces that would have joined an ignored group, with the most similar one.

    A whole group of waiting faces is left out, or none of it. As in `cluster.group_faces`, a group of poor
    faces alone attracts none, and a poor face joins only the group that is clearly the nearest.

    Args:
        vectors: (n, dim) float32 of unit length, of waiting and of ignored faces.
        labels: (n,) int, the group of each; no waiting face shares one with an ignored face.
        ignored: (n,) bool, those that a user ignored.
        threshold: that at which `cluster.group_faces` joined the groups.
        free: (n,) bool, waiting faces that may be left out. None: all of them.
        photos: (n,) int, the photo of each face: a face beside an ignored one shows someone else.
        good: (n,) bool, faces that are good enough to enroll. None: all.
        apart: rows of two faces of two people, by a user's decision.

    Returns:
        (n,) int64 row of the ignored face that a waiting face is most like, -1 for all others.

    Example:
        >>> vectors = np.eye(4, dtype=np.float32)[[0, 0, 1]]
        >>> like_ignored(vectors, np.arange(3), np.array([True, False, False]), 1.0).tolist()
        [-1, 0, -1]
    """
    count = len(vectors)
    free = np.ones(count, bool) if free is None else free
    good = np.ones(count, bool) if good is None else good
    forbidden = Forbidden(np.arange(count) if photos is None else photos, apart)
    found = np.full(count, -1, np.int64)
    groups = _members(labels)
    strangers = [rows for rows in groups if ignored[rows].all() and good[rows].any()]
    waiting = [rows for rows in groups if not ignored[rows].any()]
    wanted = [rows for rows in waiting if free[rows].all()]
    if not strangers or not wanted:
        return found
    means = _means(vectors, strangers)
    # Not wider and not narrower than a group is joined: had the group not been ignored, these faces would
    # have joined it and been ignored with it, and no others.
    least = 1 - threshold**2 / 2
    for start in range(0, len(wanted), _GROUPS):
        block = wanted[start : start + _GROUPS]
        cosines = _means(vectors, block) @ means.T
        for number in np.flatnonzero(cosines.max(axis=1) >= least).tolist():
            rows, near = block[number], cosines[number]
            for place in np.argsort(-near, kind="stable").tolist():
                if near[place] < least:
                    break
                if forbidden.allow(rows, strangers[place]):
                    theirs = strangers[place]
                    found[rows] = theirs[(vectors[rows] @ vectors[theirs].T).argmax(axis=1)]
                    break
    others = [rows for rows in waiting if good[rows].any() and found[rows[0]] < 0]
    _keep_unsure(vectors, found, good, wanted, strangers, others)
    return found


def _keep_unsure(
    vectors: NDArray[np.float32],
    found: NDArray[np.int64],
    good: NDArray[np.bool_],
    wanted: list[NDArray[np.intp]],
    strangers: list[NDArray[np.intp]],
    others: list[NDArray[np.intp]],
) -> None:
    """Keep poor faces that are nearly as near to another group as to the ignored one."""
    poor = [rows[0] for rows in wanted if found[rows[0]] >= 0 and not good[rows].any()]
    if not poor:
        return
    owner = {int(row): place for place, rows in enumerate(strangers) for row in rows}
    means = _means(vectors, [*strangers, *others])
    for row in poor:
        cosines = means @ vectors[row].astype(np.float64)
        best = cosines[owner[int(found[row])]]
        cosines[owner[int(found[row])]] = -1.0
        if best - cosines.max(initial=-1.0) < MARGIN:
            found[row] = -1


def _members(labels: NDArray[np.integer]) -> list[NDArray[np.intp]]:
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(labels) else []


def _means(vectors: NDArray[np.float32], groups: list[NDArray[np.intp]]) -> NDArray[np.float64]:
    means = np.empty((len(groups), vectors.shape[1]))
    for number, rows in enumerate(groups):
        means[number] = vectors[rows].mean(axis=0, dtype=np.float64)
    return means
