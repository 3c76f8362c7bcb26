"""What was found, as answers: exact distances in a total order that no batch, order or tie can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.decision import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.search.contract import Finder, Found


@dataclass(frozen=True)
class Neighbour:
    """A template near a query: whose it is, how far, and its id."""

    identity: str
    distance: float
    template: int


def nearest_templates(finder: Finder, queries: NDArray[np.float32], count: int) -> list[list[Neighbour]]:
    """Find the nearest templates of each unit vector, nearest first, in the same total order."""
    if not finder.templates or not len(queries):
        return [[] for _ in queries]
    return [
        _sorted(query, found)[:count]
        for query, found in zip(queries, finder.nearest(queries, count), strict=True)
    ]


def nearest_people(finder: Finder, queries: NDArray[np.float32], people: int) -> list[list[Candidate]]:
    """Find the nearest identities, each by its nearest template.

    Distances are recomputed in double precision from the vectors themselves and sorted by distance,
    identity and template id, so that an answer depends on the query and the templates alone.

    Args:
        finder: what is searched.
        queries: (n, dim) float32 unit rows.
        people: identities wanted per query.

    Returns:
        For each query up to `people` candidates, nearest first.
    """
    answers: list[list[Candidate]] = [[] for _ in queries]
    if not finder.templates:
        return answers
    people = min(people, finder.people)
    open_rows = np.arange(len(queries))
    count = min(4 * people, finder.templates)
    while len(open_rows):
        unfinished = []
        for row, found in zip(open_rows, finder.nearest(queries[open_rows], count), strict=True):
            answers[row] = _ranked(queries[row], found)[:people]
            # Done when nothing that was not found could still come before the last candidate.
            if len(answers[row]) < people or answers[row][-1].distance >= found.reach:
                unfinished.append(row)
        if count >= finder.templates:
            break
        open_rows = np.array(unfinished, np.intp)
        count = min(4 * count, finder.templates)
    return answers


def _ranked(query: NDArray[np.float32], found: Found) -> list[Candidate]:
    nearest: dict[str, Candidate] = {}
    for neighbour in _sorted(query, found):
        nearest.setdefault(neighbour.identity, Candidate(neighbour.identity, neighbour.distance))
    return list(nearest.values())


def _sorted(query: NDArray[np.float32], found: Found) -> list[Neighbour]:
    away = found.vectors.astype(np.float64) - query.astype(np.float64)
    distances = np.sqrt((away**2).sum(axis=1))
    rows = zip(distances.tolist(), found.identities, found.ids.tolist(), strict=True)
    return [Neighbour(identity, distance, template) for distance, identity, template in sorted(rows)]
