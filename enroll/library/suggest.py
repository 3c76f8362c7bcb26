"""Suggest names for unknown faces, and say why.

Arrays in, names out; nobody is named automatically.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from enroll.decision import Decision, decide, one_face_per_person
from enroll.library.film_people import at_once
from enroll.search.base import nearest_people
from enroll.search.exact import ExactIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.library.film_people import Interval
    from enroll.library.review import Reviewed
    from enroll.store import Store
    from enroll.store.library import SeenFace
    from enroll.templates import Templates


@dataclass(frozen=True)
class Suggestion:
    """Holds a name for a face, and the evidence for it.

    Attributes:
        name: of the person.
        distance: to their nearest template, Euclidean between unit vectors.
        threshold: largest distance at which a name is suggested.
        second: distance of the next person, None if there is none.
        template: id of the nearest template.
    """

    name: str
    distance: float
    threshold: float
    second: float | None
    template: int


def current_templates(store: Store, today: date) -> Templates:
    """Return the templates of everyone who has not expired."""
    templates, gone = store.templates(), set(store.expired(today))
    kept = np.array([name not in gone for name in templates.identities], bool)
    return type(templates)(templates.ids[kept], templates.identities[kept], templates.vectors[kept])


def refused_names(
    faces: Sequence[SeenFace], reviewed: Reviewed, people: Mapping[int, str]
) -> dict[int, set[str]]:
    """Return the names that users refused for faces, by row.

    Args:
        faces: rows.
        reviewed: the state after all decisions.
        people: names of everyone who is enrolled, by id.
    """
    return {
        row: {people[person] for person in reviewed.refused.get(face.number, ()) if person in people}
        for row, face in enumerate(faces)
    }


def near_someone(
    faces: Sequence[SeenFace], templates: Templates, threshold: float, refused: Mapping[int, set[str]]
) -> set[int]:
    """Find the faces within a distance of someone whose name was not refused for them.

    Args:
        faces: rows.
        templates: of the people who are enrolled.
        threshold: the distance.
        refused: names that were refused for a face, by its row.

    Returns:
        Rows.
    """
    vectors = np.stack([face.vector for face in faces])
    found = suggest(vectors, range(len(faces)), templates, threshold, refused=refused)
    return {face.number for face, one in zip(faces, found, strict=True) if one is not None}


def suggest(
    vectors: NDArray[np.float32],
    photos: Sequence[int],
    templates: Templates,
    threshold: float,
    margin: float = 0.0,
    refused: Mapping[int, set[str]] | None = None,
    taken: Mapping[int, set[str]] | None = None,
    times: Sequence[Sequence[Interval]] | None = None,
) -> list[Suggestion | None]:
    """Suggest a name for each face, or none.

    Args:
        vectors: (n, dim) float32 of unit length.
        photos: (n) the photo of each face: a person is suggested for one face of a photo.
        templates: of the people who are enrolled.
        threshold: largest distance at which a name is suggested.
        margin: how much farther the second person must be.
        refused: names that were refused for a face, by its row.
        taken: names that faces of a photo have already.
        times: of each face of a film, when it is in sight: a person is suggested for several faces of a film
            that are never seen at once. Empty for those of photos.

    Example:
        >>> from enroll.templates import Templates
        >>> ada = Templates(np.array([1]), np.array(["ada"], object), np.eye(2, dtype=np.float32)[:1])
        >>> [one.name for one in suggest(ada.vectors, [7], ada, 1.0)]
        ['ada']
    """
    refused, taken = refused or {}, taken or {}
    if not len(vectors) or not len(templates.ids):
        return [None] * len(vectors)
    search_index = ExactIndex(templates)
    barred = [
        refused.get(row, set()) | taken.get(photo, set()) for row, photo in enumerate(photos)
    ]  # no name is suggested for these
    wanted = 2 + max(map(len, barred))
    decisions: list[Decision] = []
    for candidates, names in zip(nearest_people(search_index, vectors, wanted), barred, strict=True):
        kept = [one for one in candidates if one.identity not in names]
        decisions.append(decide(kept, threshold, margin))
    rows_of: dict[int, list[int]] = {}
    for row, photo in enumerate(photos):
        rows_of.setdefault(photo, []).append(row)
    for rows in rows_of.values():
        own = [decisions[row] for row in rows]
        spans = [times[row] for row in rows] if times else []
        chosen = _one_at_a_time(own, spans) if any(spans) else one_face_per_person(own)
        for row, decision in zip(rows, chosen, strict=True):
            decisions[row] = decision
    return [
        _suggestion(decision, vector, templates) for decision, vector in zip(decisions, vectors, strict=True)
    ]


def _one_at_a_time(decisions: Sequence[Decision], times: Sequence[Sequence[Interval]]) -> list[Decision]:
    """Keep the nearest face of each person of a film at any time."""
    chosen = list(decisions)
    held: dict[str, list[Sequence[Interval]]] = {}
    for row in sorted(range(len(chosen)), key=lambda row: chosen[row].distance or 0.0):
        if (name := chosen[row].identity) is None:
            continue
        if any(at_once(times[row], other) for other in held.get(name, ())):
            chosen[row] = replace(chosen[row], identity=None, reason="taken")
        else:
            held.setdefault(name, []).append(times[row])
    return chosen


def _suggestion(decision: Decision, vector: NDArray[np.float32], templates: Templates) -> Suggestion | None:
    if decision.identity is None or decision.distance is None:
        return None
    theirs = np.flatnonzero(templates.identities == decision.identity)
    nearest = theirs[np.argmax(templates.vectors[theirs] @ vector)]
    return Suggestion(
        decision.identity, decision.distance, decision.threshold, decision.second, int(templates.ids[nearest])
    )
