"""Combine the prior of a network's distances between strangers with a gallery's own distances.

The prior that a model carries is of ordinary photos. Where photos show little, strangers are nearer to each
other, and their distances spread more. So the prior is one of two kinds, of ordinary photos or of poor ones.
Each is updated by the gallery's own estimate of the moments of ln d by Bayes' rule, and weighted by how
probable that estimate is by it. In a small gallery one wrong photo makes distances as poor photos do, nearer
and more spread; so the weight of poor photos is the smallest of that with all people and of those without
each of them, but not below its prior probability.

The error of the estimate is that of the jackknife over people (Tukey 1958, "Bias and Confidence in Not Quite
Large Samples"), which for few people is itself uncertain: it is averaged with the error of as many
independent pairs, which counts as much as 10 people. If the estimate is far from a prior, that prior weighs
less, as in Student's t distribution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import CONFIDENCE
from embedder.moments import Moments, normal_quantile, student_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.distances import LogSums

MOMENTS = 3  # moments are estimated; Student's t has as many degrees of freedom less than people
_JACKKNIFE_FROM = 10.0  # people; the jackknife's error and that of independent pairs then have equal weight
# What poor photos add to mean / spread, ln spread and skewness, and its deviations: of faces of `wild`,
# `cast` and `knn` shrunk to 10, 12 and 16 pixels, by SFace. The share of galleries that are of such photos,
# before looking, was chosen on every second person of `wild` and ORL (docs/trust.md).
_POOR, _POOR_SD = (-2.0, 0.55, -0.2), (1.2, 0.25, 0.25)
_POOR_SHARE = 0.04
_STEPS = 50  # of halving, to more digits than a distance has


def posterior_threshold(
    sums: LogSums,
    target_fpir: float,
    prior: Moments,
    person_sd: float,
    confidence: float = CONFIDENCE,
    people: int | None = None,
) -> tuple[float, float]:
    """Return the lower confidence bound of the threshold for an FPIR, and the agreement.

    Args:
        sums: of the logarithms of the distances of all searches; there may be none.
        target_fpir: limit of the share of strangers that are named.
        prior: of the moments of ln d.
        person_sd: standard deviation, between people, of a low quantile of ln d to strangers.
        confidence: of the bound, one-sided.
        people: number of people in the gallery; None: those of `sums`.

    Returns:
        The distance, and `Calibration.agreement`.
    """
    z = normal_quantile(target_fpir, people or sums.people.shape[1])
    spread = float(np.exp(prior.values[1]))
    data = estimated(sums, spread, person_sd)
    if data is None:
        return prior.lower_bound(z, confidence), 1.0
    seen = int((sums.parts()[0] > 0).sum())
    kinds = (prior, of_poor_photos(prior))
    poor = weight_of_poor(sums, data, kinds, spread)
    weights = np.array([1 - poor, poor])
    posteriors = [_updated(kind, data) for kind in kinds]
    ends = [(*one.quantile_and_error(z, seen), one.freedom) for one in posteriors]
    low, high = (choose(one.lower_bound(z, confidence, seen) for one in posteriors) for choose in (min, max))
    low, high = math.log(low), math.log(high)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        shares = [student_share((middle - quantile) / error, freedom) for quantile, error, freedom in ends]
        low, high = (middle, high) if float(weights @ shares) < 1 - confidence else (low, middle)
    away = data.values - prior.values
    deviations = np.sqrt(np.diag(prior.covariance + data.covariance))
    surprise = float((np.abs(away) / deviations)[:2].max())
    agreement = min(1.0, 4 * student_share(-surprise, prior.freedom), float(weights[0]))
    return math.exp(low), agreement


def weight_of_poor(sums: LogSums, data: Moments, kinds: tuple[Moments, Moments], spread: float) -> float:
    """Return the probability that the photos are poor, as far as no single person decides it.

    Args:
        sums: of all searches.
        data: moments estimated from them.
        kinds: priors of ordinary photos and of poor ones.
        spread: of ln d, by the prior.
    """

    def weight(values: NDArray[np.float64]) -> float:
        ordinary, poor = (likelihood(kind, Moments(values, data.covariance, data.freedom)) for kind in kinds)
        odds = math.log(_POOR_SHARE / (1 - _POOR_SHARE)) + poor - ordinary
        return 1 / (1 + math.exp(-odds)) if odds > 0 else math.exp(odds) / (1 + math.exp(odds))

    found = weight(data.values)
    if found <= _POOR_SHARE:
        return found
    parts = sums.parts()
    without = sums.searches.sum(axis=1)[:, None] - parts
    values = _moments(without[:, (parts[0] > 0) & (without[0] > 0)], spread)  # of two, no comparison is left
    values[0] += sums.middle
    others = [weight(column) for column in values.T] or [0.0]
    return max(_POOR_SHARE, min(found, *others))


def of_poor_photos(prior: Moments) -> Moments:
    """Return the prior of poor photos for one of ordinary ones."""
    unit = np.array([math.exp(prior.values[1]), 1.0, 1.0])
    deviations = np.diag((np.array(_POOR_SD) * unit) ** 2)
    return Moments(prior.values + np.array(_POOR) * unit, prior.covariance + deviations, prior.freedom)


def likelihood(prior: Moments, data: Moments) -> float:
    """Return the log likelihood of data by a prior, up to a constant: Student's t distribution."""
    both, freedom = prior.covariance + data.covariance, prior.freedom
    _, size = np.linalg.slogdet(both)
    return -float(size) / 2 - (freedom + MOMENTS) / 2 * math.log1p(_distance(prior, data) / freedom)


def _updated(prior: Moments, data: Moments) -> Moments:
    """Return the posterior, by a prior that is widened the farther the data are from its middle."""
    # Student's t as a normal distribution whose variance grows so.
    wider = max(1.0, (prior.freedom + _distance(prior, data)) / (prior.freedom + MOMENTS))
    return Moments(prior.values, prior.covariance * wider, prior.freedom).updated(data)


def _distance(prior: Moments, data: Moments) -> float:
    """Return the squared Mahalanobis distance of the data from the prior."""
    away = data.values - prior.values
    return float(away @ np.linalg.solve(prior.covariance + data.covariance, away))


def estimated(sums: LogSums, spread: float, person_sd: float) -> Moments | None:
    """Estimate mean, ln spread and skewness of ln d from a gallery, and the error of that.

    Args:
        sums: of all searches.
        spread: of ln d, by the prior.
        person_sd: standard deviation, between people, of a low quantile of ln d to strangers.

    Returns:
        None without any comparison.
    """
    parts, total = sums.parts(), sums.searches.sum(axis=1)
    parts = parts[:, parts[0] > 0]
    count = parts.shape[1]
    if not count:
        return None
    known = sums.people.shape[1]
    pairs = max(known * (known - 1) / 2 + known * max(count - known, 0), 1.0)
    values = _moments(total[:, None], spread)
    error = np.diag([person_sd**2 / count + spread**2 / pairs, 1 / (2 * pairs), 6 / pairs])
    surer = max(count - MOMENTS, 0)
    if surer:
        without = _moments(total[:, None] - parts, spread)
        away = without - without.mean(axis=1, keepdims=True)
        jackknife = (count - 1) / count * (away @ away.T)
        error = (_JACKKNIFE_FROM * error + surer * jackknife) / (_JACKKNIFE_FROM + surer)
    values[0] += sums.middle
    return Moments(values[:, 0], error, _JACKKNIFE_FROM + surer)


def _moments(sums: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    """Compute mean, ln spread and skewness from sums of powers.

    One distance has no spread of its own: the prior's is counted as one more comparison.

    Args:
        sums: (4, n) float64 sums of the powers 0 to 3 of ln d.
        spread: of ln d, by the prior.

    Returns:
        (3, n) float64.
    """
    mean, second, third = sums[1:] / np.maximum(sums[0], 1)
    variance = np.maximum(second - mean**2, 1e-12)
    skewness = (third - 3 * mean * second + 2 * mean**3) / variance**1.5
    weight = sums[0] / (sums[0] + 1)
    blended = weight * variance + (1 - weight) * spread**2
    return np.array([mean, np.log(blended) / 2, np.clip(skewness, -2, 2)])
