"""Exact nearest neighbours by scikit-learn, with a total order that no batch, order or tie can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestNeighbors

from enroll.decision import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store import Templates

# scikit-learn's distances of float32 unit vectors are off by less; nearer than this is looked at again.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Neighbour:
    """A template near a query: whose it is, how far, and its id."""

    identity: str
    distance: float
    template: int


@dataclass(frozen=True)
class Index:
    """Templates, ready to be searched.

    Attributes:
        templates: what is searched.
        search: fitted scikit-learn neighbours, or None without templates.
        people: how many identities there are.
    """

    templates: Templates
    search: NearestNeighbors | None
    people: int

    @classmethod
    def build(cls, templates: Templates) -> Index:
        """Make an index of all templates; brute force, so this copies and computes next to nothing."""
        if not len(templates.ids):
            return cls(templates, None, 0)
        search = NearestNeighbors(algorithm="brute", metric="euclidean").fit(templates.vectors)
        return cls(templates, search, len(set(templates.identities)))

    def nearest_templates(self, queries: NDArray[np.float32], count: int) -> list[list[Neighbour]]:
        """Find the nearest templates of each unit vector, nearest first, in the same total order."""
        if self.search is None or not len(queries):
            return [[] for _ in queries]
        _, rows = self.search.kneighbors(queries, min(count, len(self.templates.ids)))
        return [
            [
                Neighbour(identity, distance, template)
                for distance, identity, template in self._sorted(query, found)
            ]
            for query, found in zip(queries, rows, strict=True)
        ]

    def nearest_people(self, queries: NDArray[np.float32], people: int) -> list[list[Candidate]]:
        """Find the nearest identities, each by its nearest template.

        Distances are recomputed in double precision from the vectors themselves and sorted by distance,
        identity and template id, so that an answer depends on the query and the templates alone.

        Args:
            queries: (n, dim) float32 unit rows.
            people: identities wanted per query.

        Returns:
            For each query up to `people` candidates, nearest first.
        """
        if self.search is None:
            return [[] for _ in queries]
        people = min(people, self.people)
        answers: list[list[Candidate]] = [[] for _ in queries]
        open_rows = np.arange(len(queries))
        count = min(4 * people, len(self.templates.ids))
        while len(open_rows):
            distances, rows = self.search.kneighbors(queries[open_rows], count)
            unfinished = []
            for row, reached, found in zip(open_rows, distances[:, -1], rows, strict=True):
                answers[row] = self._ranked(queries[row], found)[:people]
                # Done when nothing beyond the last neighbour could still come before the last candidate.
                complete = len(answers[row]) == people and answers[row][-1].distance < reached - _ROUNDING
                if not complete and count < len(self.templates.ids):
                    unfinished.append(row)
            open_rows = np.array(unfinished, np.intp)
            count = min(4 * count, len(self.templates.ids))
        return answers

    def _ranked(self, query: NDArray[np.float32], rows: NDArray[np.intp]) -> list[Candidate]:
        nearest: dict[str, Candidate] = {}
        for distance, identity, _ in self._sorted(query, rows):
            nearest.setdefault(identity, Candidate(identity, distance))
        return list(nearest.values())

    def _sorted(self, query: NDArray[np.float32], rows: NDArray[np.intp]) -> list[tuple[float, str, int]]:
        vectors = self.templates.vectors[rows].astype(np.float64)
        distances = np.sqrt(((vectors - query.astype(np.float64)) ** 2).sum(axis=1))
        return sorted(
            zip(
                distances.tolist(),
                self.templates.identities[rows],
                self.templates.ids[rows].tolist(),
                strict=True,
            )
        )
