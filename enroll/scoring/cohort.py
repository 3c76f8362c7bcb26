"""Score how much nearer a person is than people who are known to be strangers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from enroll.scoring.base import Scorer
from enroll.scoring.known import TemplateGroups, distances
from enroll.scoring.nearest import Nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.scoring.base import ScoreFunction


@dataclass(frozen=True)
class CohortNormalized(Scorer):
    """Scores d − weight · mean distance of the `count` nearest cohort templates.

    d is the person's distance. A face that is near many strangers is blurred or common, and must be nearer to
    its own person. The same number is subtracted for all people, so their order stays (a cohort as Rosenberg,
    DeLong, Lee, Juang and Soong 1992, "The Use of Cohort Normalized Scores for Speaker Verification", in the
    scale of distances).

    Attributes:
        count: number of cohort templates, all if there are fewer.
        weight: of the cohort; 0 is the base alone.
        base: scorer of the distances.
    """

    count: int = 5
    weight: float = 0.5
    base: Scorer = field(default_factory=Nearest)

    def __post_init__(self) -> None:
        if self.count < 1 or not self.weight >= 0:
            raise ValueError(
                f"cohort: count is at least 1 and weight at least 0, got {self.count} and {self.weight}"
            )

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Fit the base and keep the cohort.

        Raises:
            ValueError: there is no cohort.
        """
        if not len(known.cohort):
            raise ValueError(
                "cohort: needs photos of people who are not in the gallery: give some, or use the scorer "
                "`t-norm`, which makes do with the other people of the gallery"
            )
        base = self.base.score_function(known)

        def score(query: NDArray[np.float64]) -> NDArray[np.float64]:
            strangers = float(np.sort(distances(query, known.cohort))[: self.count].mean())
            return base(query) - self.weight * strangers

        return score


def build_scorer(name: str) -> Scorer:
    """Return the scorer of this name."""
    return CohortNormalized()
