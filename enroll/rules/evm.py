"""The extreme value machine: how far each template's own region reaches, from its nearest negatives.

Rudd, Jain, Scheirer and Boult 2015, "The Extreme Value Machine"; Günther, Cruz, Rudd and Boult 2017, "Toward
Open-Set Face Recognition". No set cover: a template costs one row, and none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.rules.base import Rule
from enroll.rules.known import Known, distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.rules.base import Scorer

NEAR = 1e-9  # stands for a distance of 0, whose logarithm there is none of
SHAPES = 1e-2, 1e3  # of a Weibull distribution; the upper one is met by a tail of equal distances
HALVINGS = 50  # of the interval of ln(shape): to 1e-14


@dataclass(frozen=True)
class ExtremeValueMachine(Rule):
    """The smallest κ · ln(d / λ) of the person's templates.

    Each template has a Weibull distribution of shape κ and scale λ, fitted to half the distances of its
    `tail` nearest negatives: templates of other people, and the cohort. The probability of inclusion is
    Ψ = exp(−(d / λ)^κ), so the score is ln(−ln Ψ): it orders as Ψ does, and unlike Ψ it stays apart where Ψ
    is 0. At 0, Ψ is 1/e.

    Attributes:
        tail: negatives a template is fitted to, at least 2; all if there are fewer.
    """

    tail: int = 25

    def __post_init__(self) -> None:
        if self.tail < 2:
            raise ValueError(f"evm: the tail is at least 2, got {self.tail}")

    def scorer(self, known: Known) -> Scorer:
        """Fit one distribution a template.

        Raises:
            ValueError: someone has fewer than two negatives.
        """
        fits = []
        for person, own in enumerate(known.groups(known.vectors)):
            negatives = np.concatenate([known.others(person), known.cohort])
            if len(negatives) < 2:
                raise ValueError(
                    f"evm: needs at least 2 templates of other people, received {len(negatives)}: enroll "
                    "others, give a cohort, or use the rule `nearest`"
                )
            margins = np.array([np.sort(distances(row, negatives))[: self.tail] / 2 for row in own])
            fits.append(fit_weibull(np.maximum(margins, NEAR)))
        shapes, scales = np.concatenate(fits, axis=1)

        def score(query: NDArray[np.float64]) -> NDArray[np.float64]:
            reached = np.maximum(distances(query, known.vectors), NEAR) / scales
            return np.minimum.reduceat(shapes * np.log(reached), known.starts)

        return score


def fit_weibull(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a Weibull distribution to each row by maximum likelihood.

    The shape k solves Σ x^k ln x / Σ x^k − 1 / k = mean ln x, whose left side grows with k (Cohen 1965), so
    its logarithm is found by halving; the scale is then (mean x^k)^(1/k).

    Args:
        values: (n, tail) positive.

    Returns:
        Shapes and scales, (n,) each; shapes within `SHAPES`.
    """
    largest = values.max(axis=1, keepdims=True)
    x = values / largest  # so that no power overflows
    logs = np.log(x)
    low, high = (np.full((len(x), 1), np.log(end)) for end in SHAPES)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        powers = np.exp(np.exp(middle) * logs)
        slope = (powers * logs).sum(1, keepdims=True) / powers.sum(1, keepdims=True)
        above = slope - np.exp(-middle) > logs.mean(1, keepdims=True)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    shapes = np.exp((low + high) / 2)
    scales = largest * (x**shapes).mean(1, keepdims=True) ** (1 / shapes)
    return shapes[:, 0], scales[:, 0]


def build(name: str) -> Rule:
    """Give the rule of this name."""
    return ExtremeValueMachine()
