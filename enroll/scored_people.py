"""Search people by a query: by their nearest template, or by a scorer of `enroll.scoring`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.metrics.pairwise import euclidean_distances

from enroll.decision import Candidate
from enroll.distances import person_distances
from enroll.scoring.base import FittedScorer
from enroll.scoring.known import TemplateGroups
from enroll.scoring.nearest import KNearest
from enroll.search.base import nearest_people
from enroll.search.neighbors import NeighborsIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.scoring.base import Scorer

_DIGITS = 9  # of a person's place, as text that sorts as numbers do


class ScoredPeople:
    """Holds the templates of people, and compares queries with them.

    Attributes:
        search_index: searches the templates.
    """

    def __init__(
        self, rows: Any, labels: NDArray[np.int64], scorer: Scorer | None, n_jobs: int | None = None
    ) -> None:
        """Fit the scorer, if there is one, and build the index.

        Args:
            rows: (n, dim) float array or CSR matrix.
            labels: (n,) int64 people, from 0 without a gap.
            scorer: scores each person; None: the distance of the nearest template.
            n_jobs: number of processors to search with.

        Raises:
            ValueError: the scorer cannot use these templates.
        """
        self._rows, self._labels, self._scorer = rows, labels, scorer
        self._order = np.argsort(labels, kind="stable")
        self._starts = np.unique(labels[self._order], return_index=True)[1]
        names = np.array([f"{place:0{_DIGITS}d}" for place in range(len(self._starts))], object)
        self.search_index = NeighborsIndex(rows, names[labels], n_jobs)
        self._fitted = None if scorer is None else _fitted(scorer, rows, labels)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the fitted scorer, which has functions that cannot be pickled."""
        return {**self.__dict__, "_fitted": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if self._scorer is not None:
            self._fitted = _fitted(self._scorer, self._rows, self._labels)

    def nearest(self, queries: NDArray[np.floating], count: int) -> list[list[Candidate]]:
        """Find the nearest people of each query, nearest first.

        An identity is a person's number, as text.

        Args:
            queries: (q, dim) float.
            count: number of people per query.
        """
        if self._fitted is None:
            return nearest_people(self.search_index, queries, count)
        scores = self._by_scorer(queries)
        order = np.argsort(scores, axis=1, kind="stable")[:, :count]
        return [
            [Candidate(f"{place:0{_DIGITS}d}", float(row[place])) for place in first.tolist()]
            for row, first in zip(scores, order, strict=True)
        ]

    def scores(self, queries: NDArray[np.floating]) -> tuple[list[list[Candidate]], NDArray[np.float64]]:
        """Find the two nearest people of each query, and score it against all people.

        The scores of the two nearest are as exact as those of `nearest`; rounding puts no other one below
        them.

        Args:
            queries: (q, dim) float.

        Returns:
            Candidates of each query, and (q, people) float64 scores.
        """
        near = self.nearest(queries, 2)
        if self._fitted is not None:
            return near, self._by_scorer(queries)
        if sparse.issparse(self._rows):
            every = euclidean_distances(queries, self._rows)[:, self._order]
            scores = np.minimum.reduceat(every.astype(np.float64), self._starts, axis=1)
        else:
            scores = person_distances(queries, self._rows, self._labels)
        scores = np.maximum(scores, [[found[-1].distance] for found in near])
        for row, found in enumerate(near):
            for one in found:
                scores[row, int(one.identity)] = one.distance
        return near, scores

    def _by_scorer(self, queries: NDArray[np.floating]) -> NDArray[np.float64]:
        assert self._fitted is not None
        if isinstance(self._scorer, KNearest):  # of rows of any length
            rows = queries.astype(np.float64)
            return np.array([self._fitted.score(row) for row in rows]).reshape(len(rows), -1)
        return self._fitted.scores(queries)


def _fitted(scorer: Scorer, rows: Any, labels: NDArray[np.int64]) -> FittedScorer:
    dense = rows.toarray() if sparse.issparse(rows) else rows
    if not isinstance(scorer, KNearest):
        return scorer.fit(dense, labels)
    known = TemplateGroups.grouped(dense.astype(np.float64), labels)
    return FittedScorer(known.people, dense.shape[1], scorer.score_function(known))
