"""Distance to the mean of a person's templates, alone or with that of the nearest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.rules.base import Rule
from enroll.rules.known import Known, distances
from enroll.rules.nearest import Nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.rules.base import Scorer


@dataclass(frozen=True)
class Mean(Rule):
    """The distance to the normalized mean of the person's templates, 0 to 2 (as Snell et al. 2017)."""

    def scorer(self, known: Known) -> Scorer:
        """Take the means."""
        means = unit_means(known)
        return lambda query: distances(query, means)


@dataclass(frozen=True)
class NearestAndMean(Rule):
    """(1 − weight) · distance of the nearest template + weight · distance of the mean; 0 to 2.

    Attributes:
        weight: of the mean, 0 to 1.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"nearest+mean: the weight is 0 to 1, got {self.weight}")

    def scorer(self, known: Known) -> Scorer:
        """Fit both."""
        nearest, mean = Nearest().scorer(known), Mean().scorer(known)
        return lambda query: (1 - self.weight) * nearest(query) + self.weight * mean(query)


def unit_means(known: Known) -> NDArray[np.float64]:
    """The mean direction of each person's templates, (people, dim) unit rows.

    Raises:
        ValueError: the templates of a person point in opposite directions and have none.
    """
    means = np.array([own.mean(axis=0) for own in known.groups(known.vectors)])
    norms = np.sqrt((means**2).sum(axis=1, keepdims=True))
    if not norms.min() > 1e-6:
        raise ValueError(
            f"the templates of person {known.people[norms.argmin()]} cancel out, so they have no mean: "
            "look at the photos, or use the rule `nearest`"
        )
    return np.asarray(means / norms)


def build(name: str) -> Rule:
    """Give the rule of this name."""
    return Mean() if name == "mean" else NearestAndMean()
