"""Number and order groups of unknown faces, so that numbers stay and odd faces come first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from enroll.gallery.threshold import TARGET_FPIR
from enroll.library.cluster import oddness
from enroll.library.film_people import at_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.strangers import StrangerDistances
    from enroll.store.library import SeenFace


def usual_threshold(strangers: StrangerDistances | None) -> float | None:
    """Return the mean distance up to which unknown faces are grouped.

    None if unknown of a model.

    At this distance, the model names 1 % of strangers in a gallery of one person.
    """
    return None if strangers is None else strangers.threshold(TARGET_FPIR, 1)


@dataclass(frozen=True)
class Group:
    """Holds faces of, most probably, one unknown person.

    Attributes:
        id: of the group; it stays while the group grows.
        faces: numbers of its faces, those that fit least first.
    """

    id: int
    faces: tuple[int, ...]


def group_ids(
    groups: Sequence[Sequence[int]], stored: Mapping[int, int], held: Iterable[int] = ()
) -> list[int]:
    """Number groups: each keeps its number, or gets that of one of its faces.

    Args:
        groups: numbers of faces, the largest group first.
        stored: the group that faces were in before.
        held: numbers of other groups.
    """
    ids: dict[int, int] = {}
    taken = {*held}
    for place, faces in enumerate(groups):
        for number in sorted({stored[face] for face in faces if face in stored}):
            if number not in taken:
                ids[place] = number
                taken.add(number)
                break
    after = max((max(faces) for faces in groups), default=0)
    after = max([after, *stored.values(), *taken])
    for place, faces in enumerate(groups):
        if place not in ids:
            free = [face for face in sorted(faces) if face not in taken]
            if not free:
                after += 1
            ids[place] = free[0] if free else after
            taken.add(ids[place])
    return [ids[place] for place in range(len(groups))]


def rows_of(pairs: Iterable[tuple[int, int]], row: Mapping[int, int]) -> list[tuple[int, int]]:
    """Convert pairs of faces to pairs of rows, and leave out those without a row.

    Args:
        pairs: numbers of two faces.
        row: of each face, by number.
    """
    return [(row[one], row[other]) for one, other in pairs if one in row and other in row]


def places_of(faces: Sequence[SeenFace]) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """Return what keeps faces apart: the photo of each, and pairs seen at once in a film.

    A face of a film has a place of its own: the same person may come again in it.

    Returns:
        (n,) int64 photos, and pairs of rows.
    """
    places = [-face.number if face.intervals else face.photo for face in faces]
    films: dict[int, list[int]] = {}
    for row, face in enumerate(faces):
        if face.intervals:
            films.setdefault(face.photo, []).append(row)
    pairs = [
        (one, other)
        for rows in films.values()
        for one, other in combinations(rows, 2)
        if at_once(faces[one].intervals, faces[other].intervals)
    ]
    return np.array(places, np.int64), pairs


def odd_first(faces: Sequence[SeenFace]) -> tuple[int, ...]:
    """Order the numbers of the faces of a group, those that fit least first."""
    far = oddness(np.stack([face.vector for face in faces]))
    order = sorted(zip((-far).tolist(), [face.number for face in faces], strict=True))
    return tuple(number for _, number in order)


def in_order(
    members: Mapping[int, list[int]],
    faces: Mapping[int, SeenFace],
    before: Mapping[int, tuple[list[int], Group]],
) -> dict[int, tuple[list[int], Group]]:
    """Order the faces of groups, those that fit least first.

    Args:
        members: numbers of the faces of each group.
        faces: by number.
        before: the last result, from which unchanged groups are taken.

    Returns:
        By the number of the group, its faces as given and the group.
    """
    groups = {}
    for number, numbers in members.items():
        was = before.get(number)
        if was is None or was[0] != numbers:
            was = numbers, Group(number, odd_first([faces[face] for face in numbers]))
        groups[number] = was
    return groups


def free_id(faces: Sequence[int], stored: Mapping[int, int]) -> int:
    """Return a number for a new group: that of one of its faces if it is free, else a new one.

    Args:
        faces: numbers of its faces.
        stored: the group that each face is in.
    """
    taken = {*stored.values()}
    free = [face for face in sorted(faces) if face not in taken]
    return free[0] if free else max(taken, default=0) + 1
