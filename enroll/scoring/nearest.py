"""Score by distances to single templates: the nearest one, or the mean of the k nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.scoring.base import Scorer
from enroll.scoring.known import TemplateGroups, distances

if TYPE_CHECKING:
    from enroll.scoring.base import ScoreFunction


@dataclass(frozen=True)
class Nearest(Scorer):
    """Scores by the distance of the person's nearest template, 0 to 2.

    The nearest neighbour rule is that of Cover and Hart 1967, "Nearest Neighbor Pattern Classification".
    """

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Keep the templates."""
        return lambda query: np.minimum.reduceat(distances(query, known.vectors), known.starts)


@dataclass(frozen=True)
class KNearest(Scorer):
    """Scores by the mean distance of the person's k nearest templates, 0 to 2.

    Of a person with fewer templates, all count.

    Attributes:
        k: number of templates; 1 is `nearest`.
    """

    k: int = 3

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k-nearest: k is at least 1, got {self.k}")

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Keep the templates."""
        return lambda query: np.array(
            [np.sort(own)[: self.k].mean() for own in known.groups(distances(query, known.vectors))]
        )


def build_scorer(name: str) -> Scorer:
    """Return the scorer of this name."""
    return Nearest() if name == "nearest" else KNearest()
