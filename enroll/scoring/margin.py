"""Score how much nearer a person is than the nearest other one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from enroll.scoring.base import Scorer
from enroll.scoring.known import TemplateGroups
from enroll.scoring.nearest import Nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.scoring.base import ScoreFunction

NEAR = 1e-9  # replaces a distance of 0, so that two people at 0 are a ratio of 1 and not 0 / 0
FAR = 4.0  # beyond any distance between unit vectors, so no threshold lets an ambiguous face pass


@dataclass(frozen=True)
class Margin(Scorer):
    """Scores the distance d of the person together with that of the nearest other person, e.

    `difference` is d − weight · e; `ratio` is d / e^weight, at weight 1 the ratio test of Lowe 2004,
    "Distinctive Image Features from Scale-Invariant Keypoints"; `gate` is d if e − d ≥ weight, and beyond any
    threshold otherwise, which is `ambiguous` in `enroll.decision`. None changes the order of the people.

    Attributes:
        form: `difference`, `ratio` or `gate`.
        weight: of the second person; for `gate` the margin, a distance.
        base: scorer of the distances.
    """

    form: Literal["difference", "ratio", "gate"] = "difference"
    weight: float = 0.5
    base: Scorer = field(default_factory=Nearest)

    def __post_init__(self) -> None:
        if self.form not in ("difference", "ratio", "gate"):
            raise ValueError(f"margin: the form is difference, ratio or gate, got {self.form!r}")
        if not self.weight >= 0:
            raise ValueError(f"margin: the weight is at least 0, got {self.weight}")

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Fit the base.

        Raises:
            ValueError: there is no second person.
        """
        if len(known.people) < 2:
            raise ValueError("margin: needs a second person: enroll one, or use the scorer `nearest`")
        base = self.base.score_function(known)

        def score(query: NDArray[np.float64]) -> NDArray[np.float64]:
            own = base(query)
            other = nearest_other(own)
            if self.form == "difference":
                return np.asarray(own - self.weight * other)
            if self.form == "ratio":
                return np.asarray(np.maximum(own, NEAR) / np.maximum(other, NEAR) ** self.weight)
            return np.asarray(np.where(other - own >= self.weight, own, own + FAR))

        return score


def nearest_other(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each person the smallest score of the others.

    Args:
        own: (people,) float64 scores, at least two.

    Returns:
        (people,) float64.
    """
    first, second = np.partition(own, 1)[:2]
    return np.asarray(np.where(own == first, second, first))


def build_scorer(name: str) -> Scorer:
    """Return the scorer of this name."""
    return Margin()
