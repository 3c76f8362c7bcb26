"""Estimate the distribution of a network's distances between strangers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import squared_distances
from embedder.moments import (
    LEAST_SPREAD,
    MOST_SKEWED,
    NO_DISTANCE,
    limit_of_strangers,
    middle_and_spread,
    reach_of,
)
from embedder.strangers import StrangerDistances

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Prior standard deviations between sets of mean / spread, ln spread and skewness: those of ORL and of three
# sets of web and film photos with SFace, rounded up (docs/trust.md).
_BETWEEN_SETS = (0.4, 0.1, 0.2)
_BETWEEN_FREEDOM = 4.0  # number of sets that the prior counts as
_SHRINK, _SHRINK_SD = 0.4, 0.15  # shrink and its deviation in spreads, where no person has two photos
_MOST_PHOTOS = 3000  # of a set; of more, so many are drawn at random
_NEARER = 3  # photos per person at which the shrink is measured: as many as are usually enrolled
_MOMENT_NAMES = ("mean", "log_spread", "skewness", "mean_sd", "log_spread_sd", "skewness_sd")


def fit_strangers(
    sets: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]],
) -> StrangerDistances | None:
    """Estimate the distribution of the moments from sets of held-out people.

    Sets are weighted by the variance between sets over the sum of this and the variance of their own error.
    The deviation between sets has a prior, `_BETWEEN_SETS`, that counts as `_BETWEEN_FREEDOM` sets.

    Args:
        sets: pairs of (n, dim) rows of unit length and (n,) integer labels. Pairs of people who are nearer
            than strangers can be, by wrong labels or copies of photos, are left out.

    Returns:
        The distribution; None if no set has two people.
    """
    measured = [one for vectors, labels in sets if (one := _SetMoments.of(vectors, labels)) is not None]
    if not measured:
        return None
    moments = np.array([one.moments for one in measured])
    errors = np.array([one.errors for one in measured])
    before = np.array(_BETWEEN_SETS) * [float(np.exp(np.median(moments[:, 1]))), 1.0, 1.0]
    counts = before**2 / (before**2 + errors**2)  # near 1 for a large set
    total = counts.sum(axis=0)
    middle = (counts * moments).sum(axis=0) / total
    freedom = _BETWEEN_FREEDOM + np.maximum(total - 1, 0)
    scatter = _BETWEEN_FREEDOM * before**2 + (counts * (moments - middle) ** 2).sum(axis=0)
    deviations = np.sqrt(scatter / freedom * (1 + 1 / total))
    spread = math.exp(middle[1])
    shrinks = np.array([one.shrink for one in measured])
    known = np.isfinite(shrinks)
    shrink = float(np.mean(shrinks[known])) if known.any() else _SHRINK * spread
    people = np.array([one.people for one in measured])
    return StrangerDistances(
        **{name: float(value) for name, value in zip(_MOMENT_NAMES, [*middle, *deviations], strict=True)},
        shrink=max(shrink, 0.0),
        shrink_sd=_SHRINK_SD * spread,
        person_sd=float(np.sqrt(np.average([one.person_sd**2 for one in measured], weights=people))),
        freedom=float(freedom[0]),
        people=int(people.sum()),
        photos=sum(one.photos for one in measured),
        sets=len(measured),
    )


@dataclass(frozen=True)
class _SetMoments:
    """Holds the moments of ln d in one set, with their standard errors.

    Attributes:
        moments: mean, logarithm of the standard deviation, and skewness of ln d.
        errors: standard errors of `moments`.
        shrink: decrease of ln d with e times as many photos per person; NaN if no person has two photos.
        person_sd: standard deviation of the people's quantiles of ln d at 1 %.
        people: number of people.
        photos: number of photos.
    """

    moments: tuple[float, float, float]
    errors: tuple[float, float, float]
    shrink: float
    person_sd: float
    people: int
    photos: int

    @classmethod
    def of(cls, vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> _SetMoments | None:
        """Measure a set of (n, dim) unit rows and (n,) labels; None with less than two people."""
        if len(labels) > _MOST_PHOTOS:
            drawn = np.sort(np.random.default_rng(0).permutation(len(labels))[:_MOST_PHOTOS])
            vectors, labels = vectors[drawn], labels[drawn]
        order = np.lexsort((*vectors.T[:2], labels))  # sums then do not depend on the order of the photos
        vectors, labels = vectors[order], labels[order]
        people, starts, index, photos = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        if len(people) < 2:
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
        mean, deviation = float(values.mean()), max(float(values.std()), LEAST_SPREAD)
        skewness = float(np.clip((((values - mean) / deviation) ** 3).mean(), -MOST_SKEWED, MOST_SKEWED))
        # For each person: (people,) sums of powers of ln d between other people and their photos.
        powers = [
            np.add.reduceat(np.where(counted, logs**power, 0).sum(axis=0), starts) for power in range(3)
        ]
        compared = powers[0] > 0
        means = powers[1][compared] / powers[0][compared]
        spreads = np.sqrt(np.maximum(powers[2][compared] / powers[0][compared] - means**2, 0))
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
    """Estimate the decrease of ln d per ln of the number of photos; NaN if no one has two.

    Of m sorted photos, the i-th is the nearest of k drawn ones with probability C(m - i, k - 1) / C(m, k).

    Args:
        logs: (n, n) float64, ln d between all photos, sorted by person.
        apart: (people, people) bool, which people are compared.
        index: (n,) row of `apart` of each photo.
        starts: (people,) number of the first photo of each person.
        photos: (people,) number of photos of each person.
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
