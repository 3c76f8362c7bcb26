"""Score in units of the scores of strangers: Z-, T- and S-norm of speaker verification.

With d the distance of a face q to person p, each is (d − μ) / σ of impostor distances (Auckenthaler, Carey
and Lloyd-Thomas 2000, "Score Normalization for Text-Independent Speaker Verification Systems"). Z: of the
cohort to p, so that a person whom everyone resembles does not attract all. T: of q to the cohort, so that a
face that resembles everyone gets no name. S: the mean of both (Kenny 2010). Only the `top` nearest impostors
count in the adaptive forms (Matějka et al. 2017).

Without a cohort the other people of the gallery are used: for Z their templates, for T they themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from enroll.scoring.base import Scorer
from enroll.scoring.known import TemplateGroups, distances
from enroll.scoring.nearest import Nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from enroll.scoring.base import ScoreFunction

    # One query and its scores (people,) -> the scores, normalized.
    Norm = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

SPREAD = 1e-6  # a smaller σ is the rounding of float32 vectors


@dataclass(frozen=True)
class Normalized(Scorer):
    """Scores the distance of the person in standard deviations from that of impostors.

    Attributes:
        form: `z`, `t` or `s`.
        top: number of the nearest impostors that count, at least 2; None for all.
        base: scorer of the distances.
    """

    form: Literal["z", "t", "s"]
    top: int | None = None
    base: Scorer = field(default_factory=Nearest)

    def __post_init__(self) -> None:
        if self.form not in ("z", "t", "s"):
            raise ValueError(f"normalization: the form is z, t or s, got {self.form!r}")
        if self.top is not None and self.top < 2:
            raise ValueError(f"{self.form}-norm: top is at least 2, got {self.top}")

    def score_function(self, known: TemplateGroups) -> ScoreFunction:
        """Fit the base, and for Z the mean and spread of the impostors of every person.

        Raises:
            ValueError: there are fewer than two impostors for someone.
        """
        base = self.base.score_function(known)
        norms: list[Norm] = []
        if self.form in "zs":
            norms.append(self._of_people(known, base))
        if self.form in "ts":
            norms.append(self._of_query(known))

        def score(query: NDArray[np.float64]) -> NDArray[np.float64]:
            own = base(query)
            return np.asarray(np.mean([norm(query, own) for norm in norms], axis=0))

        return score

    def _of_people(self, known: TemplateGroups, base: ScoreFunction) -> Norm:
        columns = range(len(known.people))
        if len(known.cohort):
            # One row a person: the distances of all of the cohort to them.
            impostors = list(np.array([base(stranger) for stranger in known.cohort]).T)
        else:
            impostors = [np.array([base(row)[p] for row in known.others(p)]) for p in columns]
        self._need_two(min(map(len, impostors)))
        mean, spread = np.array([self._mean_spread(scores) for scores in impostors]).T
        return lambda _, own: (own - mean) / spread

    def _of_query(self, known: TemplateGroups) -> Norm:
        if len(known.cohort):
            self._need_two(len(known.cohort))

            def by_cohort(query: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
                mean, spread = self._mean_spread(distances(query, known.cohort))
                return np.asarray((own - mean) / spread)

            return by_cohort
        self._need_two(len(known.people) - 1)

        def by_people(query: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
            mean, spread = np.array([self._mean_spread(np.delete(own, p)) for p in range(len(own))]).T
            return np.asarray((own - mean) / spread)

        return by_people

    def _mean_spread(self, impostors: NDArray[np.float64]) -> tuple[float, float]:
        counted = np.sort(impostors)[: self.top]
        return float(counted.mean()), max(float(counted.std()), SPREAD)

    def _need_two(self, impostors: int) -> None:
        if impostors < 2:
            raise ValueError(
                f"{self.form}-norm: needs at least 2 impostors to compare with, received {impostors}: give a "
                "cohort of people who are not in the gallery, enroll others, or use the scorer `nearest`"
            )


def build_scorer(name: str) -> Scorer:
    """Return the scorer of this name."""
    forms: dict[str, Literal["z", "t", "s"]] = {"z-norm": "z", "t-norm": "t", "s-norm": "s"}
    return Normalized(forms[name])
