"""Score by the distance to the mean of a person's templates, alone or with the nearest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.scoring.base import Scorer
from enroll.scoring.known import TemplateGroups, distances
from enroll.scoring.nearest import Nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.scoring.base import ScoreFunction


@dataclass(frozen=True)
class Mean(Scorer):
    """Scores by the distance to the normalized mean of the person's templates, 0 to 2.

    The mean is the prototype of Snell, Swersky and Zemel 2017, "Prototypical Networks for Few-shot Learning".
    """

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Compute the means."""
        means = unit_means(known)
        return lambda query: distances(query, means)


@dataclass(frozen=True)
class NearestAndMean(Scorer):
    """Scores (1 − weight) · distance of the nearest template + weight · distance of the mean.

    Scores are from 0 to 2.

    Attributes:
        weight: of the mean, 0 to 1.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"nearest+mean: the weight is 0 to 1, got {self.weight}")

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Fit both scorers."""
        nearest, mean = Nearest().score_function(known), Mean().score_function(known)
        return lambda query: (1 - self.weight) * nearest(query) + self.weight * mean(query)


def unit_means(known: TemplateGroups) -> NDArray[np.float64]:
    """Compute the mean direction of each person's templates, (people, dim) float64 unit rows.

    Raises:
        ValueError: the templates of a person point in opposite directions and have none.
    """
    means = np.array([own.mean(axis=0) for own in known.groups(known.vectors)])
    norms = np.sqrt((means**2).sum(axis=1, keepdims=True))
    if not norms.min() > 1e-6:
        raise ValueError(
            f"the templates of person {known.people[norms.argmin()]} cancel out, so they have no mean: "
            "look at the photos, or use the scorer `nearest`"
        )
    return np.asarray(means / norms)


def build_scorer(name: str) -> Scorer:
    """Return the scorer of this name."""
    return Mean() if name == "mean" else NearestAndMean()
