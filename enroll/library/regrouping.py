"""Group the faces that wait for a name, without those probably ignored.

Pure: nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from enroll.library.cluster import group_faces
from enroll.library.enrolled import quality_problem
from enroll.library.grouping import Group, group_ids, odd_first, places_of, rows_of
from enroll.library.ignoring import like_ignored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.library.review import Reviewed
    from enroll.store.library import SeenFace


def regrouped(
    waiting: Sequence[SeenFace],
    ignored: Sequence[SeenFace],
    reviewed: Reviewed,
    stored: Mapping[int, int],
    held: Mapping[int, int],
    threshold: float,
    near: Callable[[Sequence[SeenFace]], Collection[int]],
) -> tuple[list[Group], dict[int, int]]:
    """Group faces; earlier groups stay and grow.

    Args:
        waiting: unknown faces.
        ignored: faces of strangers that a user ignored.
        reviewed: the state after all decisions.
        stored: the group that waiting faces were in before.
        held: likewise, of ignored faces.
        threshold: see `cluster.group_faces`.
        near: returns those of some faces that are near someone who is enrolled: they are not left out.

    Returns:
        All groups, the largest first, faces that are alone last; and for each face that is left out the
        number of the ignored face that it is most like.
    """
    if not waiting:
        return [], {}
    before = _groups_before(waiting, stored, reviewed)
    labels = _labels(waiting, before, reviewed, threshold)
    likely: dict[int, int] = {}
    if ignored:
        likely = _probably_ignored(waiting, ignored, labels, before < 0, held, reviewed, threshold)
    members: dict[int, list[SeenFace]] = {}
    for face, label in zip(waiting, labels.tolist(), strict=True):
        members.setdefault(label, []).append(face)
    known = near([face for face in waiting if face.number in likely]) if likely else ()
    for group in members.values():
        if any(face.number in known for face in group):
            for face in group:
                likely.pop(face.number, None)
    shown = [group for _, group in sorted(members.items()) if group[0].number not in likely]
    ids = group_ids([[face.number for face in group] for group in shown], stored, held.values())
    return [Group(number, odd_first(group)) for number, group in zip(ids, shown, strict=True)], likely


def held_groups(
    groups: Mapping[int, int], ignored: Collection[int], waiting: Collection[int | None]
) -> dict[int, int]:
    """Return the groups of ignored faces, which undo restores, except those with waiting faces.

    Args:
        groups: of all faces.
        ignored: faces.
        waiting: groups of faces that wait.
    """
    return {face: one for face, one in groups.items() if face in ignored and one not in waiting}


def as_stored(groups: Sequence[Group], likely: Mapping[int, int]) -> dict[int, int]:
    """Return groups, and faces that are left out, in the form of `LibraryStore.set_groups`."""
    grouped = {face: group.id for group in groups for face in group.faces}
    return grouped | {face: -like for face, like in likely.items()}


def _groups_before(
    faces: Sequence[SeenFace], stored: Mapping[int, int], reviewed: Reviewed
) -> NDArray[np.integer]:
    """Return the group of each face that stays, (n,) int, -1 for none: it was alone, or was parted."""
    before = np.array([stored.get(face.number, -1) for face in faces])
    sizes = dict(zip(*np.unique(before, return_counts=True), strict=True))
    before[[sizes[group] == 1 for group in before]] = -1
    row = {face.number: index for index, face in enumerate(faces)}
    for one, other in rows_of(reviewed.apart, row):
        if before[one] == before[other] >= 0:
            before[before == before[one]] = -1
    return before


def _labels(
    faces: Sequence[SeenFace], before: NDArray[np.integer], reviewed: Reviewed, threshold: float
) -> NDArray[np.int64]:
    row = {face.number: index for index, face in enumerate(faces)}
    places, at_once = places_of(faces)
    return group_faces(
        np.stack([face.vector for face in faces]),
        threshold,
        places,
        _good(faces),
        before,
        rows_of(reviewed.together, row),
        [*rows_of(reviewed.apart, row), *at_once],
    )


def _good(faces: Sequence[SeenFace]) -> NDArray[np.bool_]:
    return np.array([quality_problem(face) is None for face in faces], bool)


def _probably_ignored(
    waiting: Sequence[SeenFace],
    ignored: Sequence[SeenFace],
    labels: NDArray[np.int64],
    free: NDArray[np.bool_],
    held: Mapping[int, int],
    reviewed: Reviewed,
    threshold: float,
) -> dict[int, int]:
    """Find faces of new groups that would have joined an ignored face, each with the one most like it."""
    strangers = _labels(ignored, _groups_before(ignored, held, reviewed), reviewed, threshold)
    faces = [*waiting, *ignored]
    row = {face.number: index for index, face in enumerate(faces)}
    places, at_once = places_of(faces)
    not_kept = np.array([face.number not in reviewed.kept for face in waiting], bool)
    found = like_ignored(
        np.stack([face.vector for face in faces]),
        np.concatenate([labels, labels.max() + 1 + strangers]),
        np.arange(len(faces)) >= len(waiting),
        threshold,
        np.concatenate([free & not_kept, np.zeros(len(ignored), bool)]),
        places,
        _good(faces),
        [*rows_of(reviewed.apart, row), *at_once],
    )
    return {faces[one].number: faces[found[one]].number for one in np.flatnonzero(found >= 0)}
