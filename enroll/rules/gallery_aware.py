"""The probability that a face is of a person, given everyone in the gallery and the unknown.

Erlygin and Zaytsev 2024, "Gallery-Aware Uncertainty Estimation For Open-Set Face Recognition", arXiv
2408.14229, of which this is the part that needs vectors alone: faces between two people are doubtful. The
paper's second part, the doubt about each vector, needs a network that was trained to give it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.rules.base import Rule
from enroll.rules.known import Known, distances
from enroll.rules.mean import unit_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.rules.base import Scorer

LENGTHS = 0.01, 0.9999  # mean resultant lengths that a concentration is estimated from


@dataclass(frozen=True)
class GalleryAware(Rule):
    """ln((1 − P) / P) of the person's probability P; below 0 the person is likelier than all else together.

    P is proportional to (1 − unknown) / people · f(q; m, κ / temperature), f being the density of von Mises
    and Fisher about the person's mean direction m with one concentration κ for all; the unknown has
    `unknown` · uniform density on the sphere, or with `background` · f about the mean of the strangers.

    Attributes:
        unknown: prior probability of the unknown, above 0 and below 1.
        temperature: divides κ; above 1 it trusts the spread of the templates less.
        concentration: κ; None estimates it from people with several templates.
        background: fit the unknown to the cohort, or without one to everyone's templates.
    """

    unknown: float = 0.5
    temperature: float = 1.0
    concentration: float | None = None
    background: bool = False

    def __post_init__(self) -> None:
        given = self.concentration
        if not (0 < self.unknown < 1 and self.temperature > 0 and (given is None or given > 0)):
            raise ValueError(
                "gallery-aware: unknown is between 0 and 1, temperature and concentration above 0, got "
                f"{self.unknown}, {self.temperature} and {given}"
            )

    def scorer(self, known: Known) -> Scorer:
        """Fit the people and the unknown.

        Raises:
            ValueError: nobody has two different templates and no concentration is given.
        """
        means, dim = unit_means(known), known.vectors.shape[1]
        kappa = self.concentration
        if kappa is None:
            kappa = estimate_concentration(np.sqrt(max(mean_cosine(known), 0.0)), dim)
        kappa /= self.temperature
        prior = float(np.log1p(-self.unknown) - np.log(len(means)) + log_constant(kappa, dim))
        strangers = known.cohort if len(known.cohort) else known.vectors
        middle = strangers.mean(axis=0) if self.background else np.zeros(dim)
        length = max(float(np.sqrt((middle**2).sum())), LENGTHS[0])
        wide = estimate_concentration(length, dim) if self.background else 0.0
        prior_unknown = float(np.log(self.unknown)) + (log_constant(wide, dim) if self.background else 0.0)

        def score(query: NDArray[np.float64]) -> NDArray[np.float64]:
            own = prior + kappa * (1 - distances(query, means) ** 2 / 2)
            doubt = prior_unknown
            if self.background:
                doubt += wide * float((query * middle).sum()) / length
            # Sums over all before and all after a person: taking one off the total would leave rounding.
            before = np.logaddexp.accumulate(np.concatenate([[doubt], own[:-1]]))
            after = np.logaddexp.accumulate(np.concatenate([[-np.inf], own[:0:-1]]))[::-1]
            return np.logaddexp(before, after) - own

        return score


def mean_cosine(known: Known) -> float:
    """The mean cosine between two templates of one person, each person counting the same.

    Raises:
        ValueError: nobody has two.
    """
    several = [own for own in known.groups(known.vectors) if len(own) > 1]
    if not several:
        raise ValueError(
            "gallery-aware: nobody has two different templates to estimate the concentration from: "
            "enroll a second photo, give the concentration, or use the rule `nearest`"
        )
    pairs = [((own.sum(axis=0) ** 2).sum() - len(own)) / (len(own) * (len(own) - 1)) for own in several]
    return float(np.mean(pairs))


def estimate_concentration(length: float, dim: int) -> float:
    """κ = r (dim − r²) / (1 − r²), Banerjee, Dhillon, Ghosh and Sra 2005; r is the mean resultant length.

    The mean cosine of two samples is r²; callers with such give its root.
    """
    r = min(max(float(length), LENGTHS[0]), LENGTHS[1])
    return r * (dim - r**2) / (1 - r**2)


def log_constant(kappa: float, dim: int) -> float:
    """Logarithm of the density's constant over that of the uniform: −ln of the mean of e^(κ · cosine).

    That mean is Γ(dim / 2) (2 / κ)^v I_v(κ) with v = dim / 2 − 1, or 0F1(dim / 2; κ² / 4) where the Bessel
    function is too small for a float.
    """
    from scipy.special import gammaln, hyp0f1, ive

    order = dim / 2 - 1
    bessel = float(ive(order, kappa))
    if bessel > 1e-300:
        return -float(gammaln(dim / 2) + order * np.log(2 / kappa) + np.log(bessel) + kappa)
    return -float(np.log(hyp0f1(dim / 2, kappa**2 / 4)))


def build(name: str) -> Rule:
    """Give the rule of this name."""
    return GalleryAware()
