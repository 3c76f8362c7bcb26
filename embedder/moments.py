"""Describe distances between strangers by three moments, and compute thresholds from them.

d is the distance from a photo to the nearest photo of one other person. ln d is described by its mean, the
logarithm of its spread (standard deviation), and its skewness. A quantile of ln d follows from these (Cornish
and Fisher 1938, "Moments and Cumulants in the Specification of Distributions"). In a gallery of N people the
FPIR (false positive identification rate, the share of strangers who are named) at threshold t is at most

    FPIR(t) <= 1 - (1 - F(t))^N

where F is the distribution of d, since the distances of one photo to several people are positively correlated
(Slepian 1962, "The one-sided barrier problem for Gaussian noise").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_DISTANCE = 1e-3  # least distance; at 0, of two copies of a picture, the logarithm would be infinite
MOST_SKEWED = 2.0  # largest absolute skewness; beyond, a few look-alikes would decide every quantile
LEAST_SPREAD = 1e-6
_RARE = 1e-2  # expected number of comparisons of strangers, in a whole set or gallery, below the limit
WARY = -1.0  # skewness where it is not known; that of all measured sets of faces is higher
_MANY, _BEYOND = 100.0, 40.0  # from 100 degrees of freedom on, all quantiles used are below 40
_NORMAL = 1e7  # degrees of freedom at which t is normal to 6 digits; beyond, lgamma loses precision
_SCALE = 1.4826  # standard deviation of a normal distribution, in median absolute deviations
# Relative error of the distance from mean to quantile, and the number of people at which it has fallen to
# 1 / sqrt(2) of that; chosen on galleries of 1 to 10 people of the set `wild` (docs/trust.md).
_TAIL, _TAIL_PEOPLE = 0.15, 100


@dataclass(frozen=True, eq=False)
class Moments:
    """Holds mean, ln spread and skewness of ln d, with the covariance of their errors.

    Attributes:
        values: (3,) float64, the mean, the logarithm of the standard deviation, and the skewness of ln d.
        covariance: (3, 3) float64, covariance of the errors of `values`.
        freedom: degrees of freedom of the covariance, for Student's t.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    freedom: float

    def updated(self, data: Moments) -> Moments:
        """Compute the posterior of this prior, by Bayes' rule for normal distributions.

        Args:
            data: measured moments, with the error of the estimate as covariance.
        """
        weight = self.covariance @ np.linalg.inv(self.covariance + data.covariance)
        values = self.values + weight @ (data.values - self.values)
        covariance = (np.eye(3) - weight) @ self.covariance
        # Share of the data in the posterior, for the degrees of freedom of a sum of variances (Satterthwaite
        # 1946, "An Approximate Distribution of Estimates of Variance Components").
        share = float(np.trace(weight)) / 3
        freedom = 1 / ((1 - share) ** 2 / self.freedom + share**2 / data.freedom)
        return Moments(values, (covariance + covariance.T) / 2, freedom)

    def log_quantile(self, z: float) -> float:
        """Compute the quantile of ln d that corresponds to the standard normal quantile `z`."""
        return float(log_quantile(self.values[:, None], z)[0])

    def error(self, z: float) -> float:
        """Compute the standard error of `log_quantile` from the covariance of the moments."""
        _, log_spread, skewness = self.values
        spread = math.exp(log_spread)
        reach = float(reach_of(np.array([skewness]), z)[0])
        bent = reach < z / 2 and abs(skewness) < MOST_SKEWED
        slope = np.array([1.0, spread * reach, spread * (z**2 - 1) / 6 if bent else 0.0])
        return math.sqrt(max(float(slope @ self.covariance @ slope), 0.0))

    def lower_bound(self, z: float, confidence: float, seen: int = 0) -> float:
        """Compute the lower confidence bound of a quantile of the distance, one-sided.

        Three moments do not determine the lower tail: its length has the relative error `_TAIL` with no
        people measured, and less the more people there are.

        Args:
            z: standard normal quantile that says which quantile.
            confidence: probability with which the quantile is at least the bound.
            seen: number of people whose distances are in the moments.
        """
        quantile, error = self.quantile_and_error(z, seen)
        return math.exp(quantile - student_quantile(confidence, self.freedom) * error)

    def quantile_and_error(self, z: float, seen: int = 0) -> tuple[float, float]:
        """Compute the quantile of ln d and its standard error, that of the tail included.

        The arguments are those of `lower_bound`.
        """
        quantile = self.log_quantile(z)
        reach = quantile - float(self.values[0])
        return quantile, math.hypot(self.error(z), _TAIL * reach / math.sqrt(1 + seen / _TAIL_PEOPLE))


def student_quantile(probability: float, freedom: float) -> float:
    """Compute a quantile of Student's t without scipy, whose import would delay `identify`.

    With x = sqrt(freedom) tan(angle) the density is cos(angle)^(freedom - 1), integrated by Gauss-Legendre
    quadrature.

    Args:
        probability: probability below the quantile, 0.5 to 1.
        freedom: degrees of freedom.
    """
    freedom = min(freedom, _NORMAL)
    points, weights = np.polynomial.legendre.leggauss(64)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    # With many degrees of freedom the density is too narrow for 64 points over all angles.
    low, high = 0.0, math.pi / 2 if freedom < _MANY else math.atan(_BEYOND / math.sqrt(freedom))
    for _ in range(60):
        angle = (low + high) / 2
        area = scale * angle / 2 * float(weights @ np.cos(angle / 2 * (points + 1)) ** (freedom - 1))
        low, high = (angle, high) if area < probability - 0.5 else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def student_share(value: float, freedom: float) -> float:
    """Compute the probability of Student's t below a value; see `student_quantile`."""
    freedom = min(freedom, _NORMAL)
    points, weights = _gauss()
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    reach = abs(value) if freedom < _MANY else min(abs(value), _BEYOND)
    angle = math.atan(reach / math.sqrt(freedom))
    area = scale * angle / 2 * float(weights @ np.cos(angle / 2 * (points + 1)) ** (freedom - 1))
    return 0.5 + math.copysign(min(area, 0.5), value)  # the sum may be above by 1e-9


@cache
def _gauss() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points, weights = np.polynomial.legendre.leggauss(64)
    return points, weights


def reach_of(skewness: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Compute how many standard deviations from the mean a lower quantile lies, at most z / 2.

    Args:
        skewness: (n,) skewness of ln d.
        z: standard normal quantile, below 0.

    Returns:
        (n,) float64; the expansion of Cornish and Fisher.
    """
    bend = (z**2 - 1) * np.clip(skewness, -MOST_SKEWED, MOST_SKEWED) / 6
    return np.asarray(np.minimum(z + bend, z / 2))


def log_quantile(values: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Compute a quantile of ln d for each column of (3, n) moments, as (n,) float64."""
    return np.asarray(values[0] + np.exp(values[1]) * reach_of(values[2], z))


def normal_quantile(target_fpir: float, people: int) -> float:
    """Compute the standard normal quantile of one person's distances for a target FPIR.

    Args:
        target_fpir: share of strangers who are to be within the distance of anyone, 0 to 1.
        people: number of enrolled people, independent of each other.
    """
    return NormalDist().inv_cdf(-math.expm1(math.log1p(-target_fpir) / people))


def limit_of_strangers(mean: float, spread: float, skewness: float | None, comparisons: int) -> float:
    """Compute the distance below which no comparison of strangers is expected.

    Args:
        mean: mean of ln d.
        spread: standard deviation of ln d.
        skewness: skewness of ln d; None if it is not known.
        comparisons: number of comparisons; one in 100 sets of so many has a smaller distance.
    """
    z = NormalDist().inv_cdf(_RARE / max(comparisons, 1))
    skew = WARY if skewness is None else skewness
    return math.exp(mean + spread * float(reach_of(np.array([skew]), z)[0]))


def middle_and_spread(logs: NDArray[np.float64]) -> tuple[float, float]:
    """Compute the median of (n,) values, and a standard deviation from their median deviation."""
    middle = float(np.median(logs))
    return middle, max(_SCALE * float(np.median(np.abs(logs - middle))), LEAST_SPREAD)
