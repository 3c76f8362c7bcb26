"""What a network's distances between strangers are, how sure that is, and the threshold that follows.

d is the distance from a photo to the nearest photo of one other person. Its logarithm is described by three
numbers, together the *moments*: mean, logarithm of the spread (standard deviation), and skewness. A quantile
of it is that of Cornish and Fisher (1938), and in a gallery of N people

    FPIR(t) <= 1 - (1 - F(t))^N

since the distances of one photo to many people go up and down together (Slepian 1962).

The moments differ from one set of people and photos to the next. What a model carries is their distribution
over sets, as normal with a mean and a deviation each, estimated from a few sets (`StrangerDistances.fit`). It is
the prior of a gallery's own moments; the gallery's own comparisons update it by Bayes' rule
(`Moments.updated`). With no comparison the prior is all there is; with many it weighs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.metrics import squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_DISTANCE = 1e-3  # two copies of one picture; their logarithm would be infinite
MOST_SKEWED = 2.0  # a few people who look alike are no law
# How much sets differ, before looking: as deviations of mean / spread, ln spread, skewness. Those of ORL and of
# three sets of web and film photos by SFace, rounded up (scripts/fit_strangers.py).
BETWEEN_SETS = (0.4, 0.1, 0.2)
BETWEEN_FREEDOM = 4.0  # so many sets that is worth
_SHRINK, _SHRINK_SD = 0.4, 0.15  # of the spread: where no person has two photos
_MOST_PHOTOS = 3000  # of a set; more are drawn from at random
_NEARER = 3  # photos a person for the shrinking: as many as are usually enrolled
_RARE = 1e-2  # comparisons as near as a near one among all of a set or gallery, expected of strangers
_WARY = -1.0  # skewness where it is not known; a longer tail than any set's
_SCALE = 1.4826  # makes the median deviation of a normal distribution its standard deviation
_LEAST_SPREAD = 1e-6
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
        mean, log_spread, skewness = self.values
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
        from scipy.stats import t

        reach = self.log_quantile(z) - float(self.values[0])
        error = math.hypot(self.error(z), _TAIL * reach / math.sqrt(1 + seen / _TAIL_PEOPLE))
        return math.exp(self.log_quantile(z) - float(t.ppf(confidence, self.freedom)) * error)


def reach_of(skewness: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Give how many spreads from the mean a lower quantile lies, by Cornish and Fisher; never above z / 2."""
    bend = (z**2 - 1) * np.clip(skewness, -MOST_SKEWED, MOST_SKEWED) / 6
    return np.asarray(np.minimum(z + bend, z / 2))


def log_quantile(values: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Give the quantile of ln d of each column of (3, n) moments."""
    return np.asarray(values[0] + np.exp(values[1]) * reach_of(values[2], z))


def normal_quantile(target_fpir: float, people: int) -> float:
    """Give z for one person, so that of `people` together a share `target_fpir` of strangers is within."""
    from scipy.stats import norm

    return float(norm.ppf(-np.expm1(np.log1p(-target_fpir) / people)))


def limit_of_strangers(mean: float, spread: float, skewness: float | None, comparisons: int) -> float:
    """Give the distance below which no stranger is expected, however many comparisons there are.

    Args:
        mean, spread, skewness: of ln d; no skewness: it is not known.
        comparisons: number of distances that are looked at; one in 100 such sets has a nearer one.
    """
    from scipy.stats import norm

    z = float(norm.ppf(_RARE / max(comparisons, 1)))
    skew = _WARY if skewness is None else skewness
    return math.exp(mean + spread * float(reach_of(np.array([skew]), z)[0]))


def middle_and_spread(logs: NDArray[np.float64]) -> tuple[float, float]:
    """Give the median, and the median deviation scaled to a standard deviation."""
    middle = float(np.median(logs))
    return middle, max(_SCALE * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)


@dataclass(frozen=True)
class StrangerDistances:
    """What is known of a network's distances between strangers, over sets of people and photos.

    Attributes:
        mean, mean_sd: of ln d with one photo a person, and its deviation between sets.
        log_spread, log_spread_sd: of the logarithm of ln d's standard deviation.
        skewness, skewness_sd: of ln d.
        shrink, shrink_sd: how much ln d falls when each person has e times as many photos.
        person_sd: deviation between people of one set in how far they are from strangers.
        freedom: degrees of freedom of the deviations between sets.
        people, photos, sets: what it was measured on.
    """

    mean: float
    mean_sd: float
    log_spread: float
    log_spread_sd: float
    skewness: float
    skewness_sd: float
    shrink: float
    shrink_sd: float
    person_sd: float
    freedom: float
    people: int
    photos: int
    sets: int

    def __post_init__(self) -> None:
        """Refuse numbers that no distances have.

        Raises:
            ValueError: a number is not finite or out of its range.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"strangers: {name}: expected {low:g} to {high:g}, got {value}")

    def prior(self, people: int, photos: float = 1.0) -> Moments:
        """Give what is known of the moments in a gallery that is not seen yet.

        Args:
            people: number of enrolled people; the fewer, the more one who is near to many matters.
            photos: of each, the geometric mean.
        """
        more = math.log(max(photos, 1.0))
        deviations = np.array(
            [
                math.sqrt(self.mean_sd**2 + (self.shrink_sd * more) ** 2 + self.person_sd**2 / people),
                self.log_spread_sd,
                self.skewness_sd,
            ]
        )
        values = np.array([self.mean - self.shrink * more, self.log_spread, self.skewness])
        return Moments(values, np.diag(deviations**2), self.freedom)

    def in_words(self) -> str:
        """Say what it was measured on, for messages."""
        sets = f" in {self.sets} sets" if self.sets > 1 else ""
        return f"{self.people} people{sets}"

    def to_json(self) -> dict[str, Any]:
        """Give the numbers for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> StrangerDistances:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        names = {entry.name: entry.type for entry in fields(cls)}
        if not isinstance(content, dict) or content.keys() != names.keys():
            got = sorted(content) if isinstance(content, dict) else content
            raise ValueError(f"strangers: expected the numbers {sorted(names)}, got {got!r}")
        for name, kind in names.items():
            value = content[name]
            if isinstance(value, bool) or not isinstance(value, int if kind == "int" else (int, float)):
                raise ValueError(f"strangers: {name}: expected a number, got {value!r}")
        return cls(**content)

    @classmethod
    def fit(cls, sets: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]]) -> StrangerDistances | None:
        """Estimate it from sets of people who were not learned from.

        Each set counts by how sure its own moments are against how much sets differ; the deviation between
        sets begins with that of earlier ones (`BETWEEN_SETS`), worth `BETWEEN_FREEDOM` sets.

        Args:
            sets: (n, dim) unit rows and (n,) labels each; pairs of people nearer than strangers are, such as
                wrong labels and copies, are left out.

        Returns:
            None if no set has three people.
        """
        seen = [found for vectors, labels in sets if (found := _Seen.of(vectors, labels)) is not None]
        if not seen:
            return None
        moments = np.array([one.moments for one in seen])
        errors = np.array([one.errors for one in seen])
        before = np.array(BETWEEN_SETS) * [float(np.exp(np.median(moments[:, 1]))), 1.0, 1.0]
        counts = before**2 / (before**2 + errors**2)  # 1 of a large set
        total = counts.sum(axis=0)
        middle = (counts * moments).sum(axis=0) / total
        freedom = BETWEEN_FREEDOM + np.maximum(total - 1, 0)
        scatter = BETWEEN_FREEDOM * before**2 + (counts * (moments - middle) ** 2).sum(axis=0)
        deviations = np.sqrt(scatter / freedom * (1 + 1 / total))
        spread = math.exp(middle[1])
        shrinks = np.array([one.shrink for one in seen])
        known = np.isfinite(shrinks)
        shrink = float(np.mean(shrinks[known])) if known.any() else _SHRINK * spread
        people = np.array([one.people for one in seen])
        return cls(
            *(float(value) for pair in zip(middle, deviations, strict=True) for value in pair),
            shrink=max(shrink, 0.0),
            shrink_sd=_SHRINK_SD * spread,
            person_sd=float(np.sqrt(np.average([one.person_sd**2 for one in seen], weights=people))),
            freedom=float(freedom[0]),
            people=int(people.sum()),
            photos=sum(one.photos for one in seen),
            sets=len(seen),
        )


_RANGES = {
    "mean": (math.log(NO_DISTANCE), math.log(2)),
    "mean_sd": (0, 10),
    "log_spread": (math.log(_LEAST_SPREAD), 2),
    "log_spread_sd": (0, 10),
    "skewness": (-100, 100),
    "skewness_sd": (0, 100),
    "shrink": (0, 10),
    "shrink_sd": (0, 10),
    "person_sd": (0, 10),
    "freedom": (1, 1e9),
    "people": (3, 2**53),
    "photos": (3, 2**53),
    "sets": (1, 2**53),
}


@dataclass(frozen=True)
class _Seen:
    """The moments of one set, their errors, and the rest."""

    moments: tuple[float, float, float]
    errors: tuple[float, float, float]
    shrink: float
    person_sd: float
    people: int
    photos: int

    @classmethod
    def of(cls, vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> _Seen | None:
        """Measure a set; None if there are fewer than three people."""
        if len(labels) > _MOST_PHOTOS:
            drawn = np.sort(np.random.default_rng(0).permutation(len(labels))[:_MOST_PHOTOS])
            vectors, labels = vectors[drawn], labels[drawn]
        order = np.lexsort((*vectors.T[:2], labels))  # whatever order they came in
        vectors, labels = vectors[order], labels[order]
        people, starts, index, photos = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        if len(people) < 3:
            return None
        logs = np.log(np.maximum(np.sqrt(squared_distances(vectors, vectors)), NO_DISTANCE))
        other = index[:, None] != index[None]
        middle, spread = middle_and_spread(logs[other])
        near = other & (logs < math.log(limit_of_strangers(middle, spread, None, int(other.sum()) // 2)))
        first, second = np.nonzero(near)
        apart = np.ones((len(people), len(people)), bool)
        np.fill_diagonal(apart, False)
        apart[index[first], index[second]] = False
        if not apart.any():
            return None
        counted = apart[index[:, None], index[None]]
        values = logs[counted]
        mean, deviation = float(values.mean()), max(float(values.std()), _LEAST_SPREAD)
        skewness = float(np.clip((((values - mean) / deviation) ** 3).mean(), -MOST_SKEWED, MOST_SKEWED))
        # Each person's own: (people,) sums over the distances of others to their photos.
        powers = [
            np.add.reduceat(np.where(counted, logs**power, 0).sum(axis=0), starts) for power in range(3)
        ]
        heard = powers[0] > 0
        means = powers[1][heard] / powers[0][heard]
        spreads = np.sqrt(np.maximum(powers[2][heard] / powers[0][heard] - means**2, 0))
        tails = means + spreads * float(reach_of(np.array([skewness]), -2.326)[0])
        pairs = int(apart.sum()) / 2
        of_mean = math.sqrt(4 * float(means.var(ddof=1)) / len(people) + deviation**2 / pairs)
        return cls(
            (mean, math.log(deviation), skewness),
            (of_mean, math.sqrt(1 / (2 * pairs)), math.sqrt(6 / pairs)),
            _shrink(logs, apart, index, starts, photos),
            float(tails.std(ddof=1)),
            len(people),
            len(labels),
        )


def _shrink(
    logs: NDArray[np.float64],
    apart: NDArray[np.bool_],
    index: NDArray[np.integer],
    starts: NDArray[np.integer],
    photos: NDArray[np.integer],
) -> float:
    """Give how much ln d falls by ln of the number of photos, NaN if all people have one.

    Of m photos in order, the i-th is the nearest of k drawn ones with a chance of C(m - i, k - 1) / C(m, k).
    """
    falls: list[float] = []
    for person, (start, count) in enumerate(zip(starts.tolist(), photos.tolist(), strict=True)):
        if count < 2 or not apart[:, person].any():
            continue
        drawn = min(count, _NEARER)
        rows = np.sort(logs[apart[index, person], start : start + count], axis=1)
        chances = [math.comb(count - place, drawn - 1) for place in range(1, count + 1)]
        nearest = rows.mean(axis=0) @ np.array(chances) / math.comb(count, drawn)
        falls.append(float(rows.mean() - nearest) / math.log(drawn))
    return float(np.mean(falls)) if falls else math.nan
