"""Describe distances between strangers by three moments, how sure they are, and what threshold follows.

d is the distance from a photo to the nearest photo of one other person. Its logarithm is described by its
mean, the logarithm of its spread (standard deviation), and its skewness. A quantile of it is that of Cornish
and Fisher (1938), and in a gallery of N people

    FPIR(t) <= 1 - (1 - F(t))^N

since the distances of one photo to many people go up and down together (Slepian 1962).
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

NO_DISTANCE = 1e-3  # two copies of one picture; their logarithm would be infinite
MOST_SKEWED = 2.0  # a few people who look alike are no law
LEAST_SPREAD = 1e-6
_RARE = 1e-2  # comparisons as near as a near one among all of a set or gallery, expected of strangers
WARY = -1.0  # skewness where it is not known; a longer tail than that of any set of faces seen
_MANY, _BEYOND = 100.0, 40.0  # degrees of freedom from which no quantile that is asked for lies so far out
_NORMAL = 1e7  # degrees of freedom of which it is normal to 6 digits; of more, ln gamma has too few digits
_SCALE = 1.4826  # makes the median deviation of a normal distribution its standard deviation
_TAIL, _TAIL_PEOPLE = 0.15, 100  # chosen on galleries of 1 to 10 people of `wild` (docs/trust.md)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean, ln spread and skewness of ln d, and how sure they are.

    Attributes:
        values: (3,) float64.
        covariance: (3, 3) float64.
        freedom: degrees of freedom of the covariance, for Student's t.
    """

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]
    freedom: float

    def updated(self, data: Moments) -> Moments:
        """Give the posterior of this prior, by Bayes' rule for normal distributions.

        Args:
            data: what was seen, with the error of its estimate as covariance.
        """
        weight = self.covariance @ np.linalg.inv(self.covariance + data.covariance)
        values = self.values + weight @ (data.values - self.values)
        covariance = (np.eye(3) - weight) @ self.covariance
        share = float(np.trace(weight)) / 3  # what the data say of all that is said (Satterthwaite 1946)
        freedom = 1 / ((1 - share) ** 2 / self.freedom + share**2 / data.freedom)
        return Moments(values, (covariance + covariance.T) / 2, freedom)

    def log_quantile(self, z: float) -> float:
        """Give the quantile of ln d where a standard normal variable has `z`."""
        return float(log_quantile(self.values[:, None], z)[0])

    def error(self, z: float) -> float:
        """Give the standard deviation of `log_quantile`."""
        _, log_spread, skewness = self.values
        spread = math.exp(log_spread)
        reach = float(reach_of(np.array([skewness]), z)[0])
        bent = reach < z / 2 and abs(skewness) < MOST_SKEWED
        slope = np.array([1.0, spread * reach, spread * (z**2 - 1) / 6 if bent else 0.0])
        return math.sqrt(max(float(slope @ self.covariance @ slope), 0.0))

    def lower_bound(self, z: float, confidence: float, seen: int = 0) -> float:
        """Give the distance that the quantile exceeds with some confidence, one-sided.

        Three moments do not say everything about the lower end: how far it reaches is known to a share
        `_TAIL` at first, and better the more people are seen.

        Args:
            z: where a standard normal variable is.
            confidence: of the bound.
            seen: people whose distances are in the moments.
        """
        quantile, error = self.quantile_and_error(z, seen)
        return math.exp(quantile - student_quantile(confidence, self.freedom) * error)

    def quantile_and_error(self, z: float, seen: int = 0) -> tuple[float, float]:
        """Give the quantile of ln d and its whole error, that of the lower end too; see `lower_bound`."""
        quantile = self.log_quantile(z)
        reach = quantile - float(self.values[0])
        return quantile, math.hypot(self.error(z), _TAIL * reach / math.sqrt(1 + seen / _TAIL_PEOPLE))


def student_quantile(probability: float, freedom: float) -> float:
    """Give a quantile of Student's t, of a probability from .5 on; identifying must not wait for scipy.

    With x = sqrt(freedom) tan(angle) the density is cos(angle)^(freedom - 1), integrated by Gauss-Legendre.
    """
    freedom = min(freedom, _NORMAL)
    points, weights = np.polynomial.legendre.leggauss(64)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    # Of much freedom the density is too narrow to be integrated over all angles.
    low, high = 0.0, math.pi / 2 if freedom < _MANY else math.atan(_BEYOND / math.sqrt(freedom))
    for _ in range(60):
        angle = (low + high) / 2
        area = scale * angle / 2 * float(weights @ np.cos(angle / 2 * (points + 1)) ** (freedom - 1))
        low, high = (angle, high) if area < probability - 0.5 else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def student_share(value: float, freedom: float) -> float:
    """Give the share of Student's t below a value; as `student_quantile`, without scipy."""
    freedom = min(freedom, _NORMAL)
    points, weights = _gauss()
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    reach = abs(value) if freedom < _MANY else min(abs(value), _BEYOND)
    angle = math.atan(reach / math.sqrt(freedom))
    area = scale * angle / 2 * float(weights @ np.cos(angle / 2 * (points + 1)) ** (freedom - 1))
    return 0.5 + math.copysign(area, value)


@cache
def _gauss() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points, weights = np.polynomial.legendre.leggauss(64)
    return points, weights


def reach_of(skewness: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Give how many spreads from the mean a lower quantile lies, by Cornish and Fisher; never above z / 2."""
    bend = (z**2 - 1) * np.clip(skewness, -MOST_SKEWED, MOST_SKEWED) / 6
    return np.asarray(np.minimum(z + bend, z / 2))


def log_quantile(values: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Give the quantile of ln d of each column of (3, n) moments."""
    return np.asarray(values[0] + np.exp(values[1]) * reach_of(values[2], z))


def normal_quantile(target_fpir: float, people: int) -> float:
    """Give z for one person, so that of `people` together a share `target_fpir` of strangers is within."""
    return NormalDist().inv_cdf(-math.expm1(math.log1p(-target_fpir) / people))


def limit_of_strangers(mean: float, spread: float, skewness: float | None, comparisons: int) -> float:
    """Give the distance below which no stranger is expected, however many comparisons there are.

    Args:
        mean: of ln d.
        spread: its standard deviation.
        skewness: of it, None if it is not known.
        comparisons: number of distances that are looked at; one in 100 such sets has a nearer one.
    """
    z = NormalDist().inv_cdf(_RARE / max(comparisons, 1))
    skew = WARY if skewness is None else skewness
    return math.exp(mean + spread * float(reach_of(np.array([skew]), z)[0]))


def middle_and_spread(logs: NDArray[np.float64]) -> tuple[float, float]:
    """Give the median, and the median deviation scaled to a standard deviation."""
    middle = float(np.median(logs))
    return middle, max(_SCALE * float(np.median(np.abs(logs - middle))), LEAST_SPREAD)
