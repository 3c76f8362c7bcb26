"""How sure a share is: exact bounds of counts, and resampling of people.

Photos of one person resemble each other, so ten photos of one person say less than ten of ten people. Where
photos are counted, intervals come from resampling the people, with all their photos (the subset bootstrap of
Bolle, Ratha and Pankanti 2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95


def upper_bound(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Give the share that is exceeded with a chance of `1 - confidence`, by Clopper and Pearson 1934.

    Of no hits it is about 3 / trials, the rule of three.

    Args:
        hits: how often it happened, 0 to `trials`.
        trials: independent trials.
        confidence: one-sided.
    """
    from scipy.stats import beta

    return 1.0 if hits >= trials else float(beta.ppf(confidence, hits + 1, trials - hits))


def trials_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """Give how many trials without a hit bound a share: ln(1 - confidence) / ln(1 - share), upward."""
    return int(np.ceil(np.log1p(-confidence) / np.log1p(-share)))


def trials_of_one(share: float) -> int:
    """Give how many trials there must be for one of them to be that share: 1 / share, upward."""
    return int(np.ceil(1 / share - 1e-9))  # 1 / (1 / 49) is more than 49


def identity_weights(people: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw people with replacement: (replicates, people) float64, how often each one is drawn."""
    return rng.multinomial(people, np.full(people, 1 / people), size=replicates).astype(np.float64)


def interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the percentile interval of a figure's bootstrap values; those that are NaN count for nothing."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
