"""How much nearer a person is than people who are known to be strangers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from enroll.rules.base import Rule
from enroll.rules.known import Known, distances
from enroll.rules.nearest import Nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.rules.base import Scorer


@dataclass(frozen=True)
class Cohort(Rule):
    """d − weight · mean distance of the `count` nearest cohort templates; d is the person's distance.

    A face that is near many strangers is blurred or common, and must be nearer to its own person. Subtracted
    per face, so the order of the people stays (a cohort as Rosenberg et al. 1992, in the scale of distances).

    Attributes:
        count: cohort templates, all if there are fewer.
        weight: of the cohort; 0 is the base alone.
        base: gives the distances.
    """

    count: int = 5
    weight: float = 0.5
    base: Rule = field(default_factory=Nearest)

    def __post_init__(self) -> None:
        if self.count < 1 or not self.weight >= 0:
            raise ValueError(
                f"cohort: count is at least 1 and weight at least 0, got {self.count} and {self.weight}"
            )

    def scorer(self, known: Known) -> Scorer:
        """Fit the base and keep the cohort.

        Raises:
            ValueError: there is no cohort.
        """
        if not len(known.cohort):
            raise ValueError(
                "cohort: needs photos of people who are not in the gallery: give some, or use the rule "
                "`t-norm`, which makes do with the other people of the gallery"
            )
        base = self.base.scorer(known)

        def score(query: NDArray[np.float64]) -> NDArray[np.float64]:
            strangers = float(np.sort(distances(query, known.cohort))[: self.count].mean())
            return base(query) - self.weight * strangers

        return score


def build(name: str) -> Rule:
    """Give the rule of this name."""
    return Cohort()
