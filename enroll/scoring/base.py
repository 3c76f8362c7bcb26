"""Define what all scorers have in common: checked templates in, one score per person out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from enroll.scoring.known import TemplateGroups, unit_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    # One query (dim,) float64 -> (people,) float64. One at a time, so that no batch can change an answer.
    ScoreFunction: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class FittedScorer:
    """Scores queries against the people it was fitted on.

    Attributes:
        people: (people,) int64, ascending: the label of each column of the scores.
        dim: vector length of the queries.
        score: returns the scores of one query.
    """

    people: NDArray[np.int64]
    dim: int
    score: ScoreFunction

    def scores(self, queries: NDArray[np.floating]) -> NDArray[np.float64]:
        """Score queries against all people.

        Args:
            queries: (q, dim) float32 unit rows.

        Returns:
            (q, people) float64, finite; smaller is more alike. The unit depends on the scorer.

        Raises:
            ValueError: the queries are not finite unit rows of this dimension.
        """
        rows = unit_rows(queries, "queries")
        if rows.shape[1] != self.dim:
            raise ValueError(f"expected queries of {self.dim} dimensions, got {rows.shape[1]}")
        return np.array([self.score(row) for row in rows]).reshape(len(rows), len(self.people))


class Scorer(ABC):
    """Compares a face with the templates of people; a frozen dataclass of its parameters."""

    def fit(
        self,
        vectors: NDArray[np.floating],
        labels: NDArray[np.integer],
        cohort: NDArray[np.floating] | None = None,
    ) -> FittedScorer:
        """Fit to templates.

        Args:
            vectors: (n, dim) float32 unit rows.
            labels: (n,) int, the person of each row; of equally near people the first column wins, so number
                them in the order that ties should have.
            cohort: (m, dim) float32 unit rows of people who are known not to be in the gallery.

        Raises:
            ValueError: there is no template, a row is not a finite unit vector, or this scorer needs more
                people, templates or a cohort; the message says what to do.
        """
        known = TemplateGroups.check(vectors, labels, cohort)
        return FittedScorer(known.people, known.vectors.shape[1], self.score_function(known))

    @abstractmethod
    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Build the function that scores a query, from checked templates.

        Scorers that refine another one call that one's.
        """
