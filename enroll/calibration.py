"""The threshold for a wanted FPIR at a gallery's own size, and what stands behind it.

Each enrolled person is searched for among the others, as a stranger, and so are strangers the user gives.
Counting alone promises little: if none of n independent searches names anyone, FPIR is below about 3/n (the
rule of three), so 1 % takes 300 strangers. A gallery of ten people has ten. So the threshold is modelled:

- d, the distance from a photo to the nearest template of one other person, has a distribution F whose
  logarithm is taken as normal, corrected for its skewness (Cornish and Fisher 1938);
- of N enrolled people, none is nearer than t with probability (1 - F(t))^N at least, since the distances of
  one photo to many people go up and down together (Slepian 1962): FPIR(t) <= 1 - (1 - F(t))^N;
- ln t is estimated anew without each person (the jackknife, Tukey 1958), and a lower confidence bound by
  Student's t is the threshold: with few people the promise stays and the threshold shrinks.

The threshold is never beyond what counting allows, either. `scripts/prove_calibration.py` checks the promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import CONFIDENCE, squared_distances, threshold_at_fpir, trials_needed, upper_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NO_DISTANCE = 1e-3  # two copies of one picture; their logarithm would be infinite
_CONFIDENCE = 0.985  # of the bound: for 95 % in the end, the model being a little wrong too (docs/trust.md)
_MOMENTS = 3  # estimated from as many people; Student's t has so many degrees of freedom less
_LEAST_PEOPLE = _MOMENTS + 1
_MOST_SKEWED = 2.0  # a few people who look alike are no law
_MOST_SEARCHES = 5000  # more are drawn from at random: they would add nothing but time
_ROWS_AT_ONCE, _PHOTOS_AT_ONCE = 512, 8192  # 4 million distances in memory, however many people there are
_POWERS = 4  # of the logarithms, from 0 to 3


@dataclass(frozen=True)
class Promise:
    """A threshold, what it promises, and what that rests on.

    Attributes:
        distance: the threshold; a face is someone's if it is at most this far from their template.
        target_fpir: share of strangers that is named at most.
        confidence: how sure that is, by the model.
        named: of the searches counted, those that name someone at this threshold.
        searches: non-mated searches: photos of enrolled people among the others, and of strangers.
        strangers: people they belong to.
        counted_bound: upper confidence bound of FPIR by counting people alone, without a model.
        identities: people in the gallery.
        templates: their photos.
    """

    distance: float
    target_fpir: float
    confidence: float
    named: int
    searches: int
    strangers: int
    counted_bound: float
    identities: int
    templates: int


def calibrate(
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer],
    target_fpir: float,
    strangers: NDArray[np.float32] | None = None,
    stranger_labels: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> Promise:
    """Find the threshold for a wanted FPIR.

    Args:
        vectors: (n, dim) unit rows, the gallery's templates.
        labels: (n,) whose they are.
        target_fpir: share of strangers that may be named, above 0 and below 1.
        strangers: (m, dim) unit rows of people who are not in the gallery.
        stranger_labels: (m,) whose they are, apart from `labels`.
        seed: of the draw, where there are too many searches to make all.

    Raises:
        UsageError: fewer than four people, or a vector that is not finite.
    """
    people, owners = np.unique(labels, return_inverse=True)
    probes = vectors
    if strangers is not None and stranger_labels is not None and len(strangers):
        _, others = np.unique(stranger_labels, return_inverse=True)
        probes = np.concatenate([vectors, strangers])
        owners = np.concatenate([owners, others + len(people)])
    if len(np.unique(owners)) < _LEAST_PEOPLE or len(people) < 2:
        raise UsageError(
            f"calibrating needs at least {count(_LEAST_PEOPLE, 'person')}, 2 of them enrolled; got "
            f"{len(people)} enrolled and {count(len(np.unique(owners)) - len(people), 'stranger')}: enroll "
            "more, or give --strangers"
        )
    if not np.isfinite(probes).all():
        raise UsageError("calibrating: a vector is not finite; the model is broken, train it again")
    if len(probes) > _MOST_SEARCHES:
        drawn = np.sort(np.random.default_rng(seed).permutation(len(probes))[:_MOST_SEARCHES])
        probes, owners = probes[drawn], owners[drawn]
    sums, nearest = LogSums(owners, len(people)), np.full(len(probes), np.inf)
    for rows, columns, distances in _blocks(probes, vectors, labels):
        sums.add(rows, columns, distances)
        distances[_own(owners[rows], columns)] = np.inf
        nearest[rows] = np.minimum(nearest[rows], distances.min(axis=1))
    limit = min(modelled_threshold(sums, target_fpir), counted_threshold(nearest, target_fpir), 2.0)
    if limit <= 0:
        raise UsageError(
            "calibrating: photos of different people have the same vector, so no threshold tells them apart; "
            "`embed evaluate` on their folders finds the same person under two names"
        )
    named = nearest <= limit
    return Promise(
        distance=limit,
        target_fpir=target_fpir,
        confidence=CONFIDENCE,
        named=int(named.sum()),
        searches=len(nearest),
        strangers=len(np.unique(owners)),
        counted_bound=upper_bound(len(np.unique(owners[named])), len(np.unique(owners))),
        identities=len(people),
        templates=len(vectors),
    )


def person_distances(
    probes: NDArray[np.float32], vectors: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Give the distance of each probe to the nearest template of each person, (probes, people)."""
    result = np.empty((len(probes), len(np.unique(labels))))
    for rows, columns, distances in _blocks(probes, vectors, labels):
        result[rows, columns] = distances
    return result


def _blocks(
    probes: NDArray[np.float32], vectors: NDArray[np.float32], labels: NDArray[np.integer]
) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Give `person_distances` in blocks, each with its rows and columns."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    first = 0
    while first < len(starts):
        # People whose photos fit, one of them at least.
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + _PHOTOS_AT_ONCE, "right")))
        theirs = vectors[order[starts[first] : ends[last - 1]]]
        for row in range(0, len(probes), _ROWS_AT_ONCE):
            rows = slice(row, row + _ROWS_AT_ONCE)
            squared = squared_distances(probes[rows], theirs)
            nearest = np.minimum.reduceat(squared, starts[first:last] - starts[first], axis=1)
            yield rows, slice(first, last), np.sqrt(nearest)
        first = last


class LogSums:
    """Sums of the powers 0 to 3 of the logarithms of distances to others, which the model is estimated from.

    Attributes:
        middle: what the logarithms are taken about, so that no digits are lost.
        searches: (4, searches) by the one searched for.
        people: (4, people) by the one found.
    """

    def __init__(self, owners: NDArray[np.integer], people: int) -> None:
        """Begin without any distance.

        Args:
            owners: (searches,) whose photo it is; a column's index if that person is enrolled. Their own
                distance is left out.
            people: number of columns.
        """
        self.owners, self.middle = owners, 0.0
        self.searches, self.people = np.zeros((_POWERS, len(owners))), np.zeros((_POWERS, people))

    def add(self, rows: slice, columns: slice, distances: NDArray[np.float64]) -> None:
        """Add a block of the distances of each search to the nearest template of each person."""
        logs = np.log(np.maximum(distances, _NO_DISTANCE))
        if not self.searches.any():
            self.middle = float(logs.mean())
        logs -= self.middle
        power, own = np.ones_like(logs), _own(self.owners[rows], columns)
        power[own] = 0.0
        for searches, people in zip(self.searches, self.people, strict=True):
            searches[rows] += power.sum(axis=1)
            people[columns] += power.sum(axis=0)
            power *= logs


def _own(owners: NDArray[np.integer], columns: slice) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Give where in a block of distances those to the owners themselves are."""
    rows = np.flatnonzero((owners >= columns.start) & (owners < columns.stop))
    return rows, owners[rows] - columns.start


def counted_threshold(nearest: NDArray[np.float64], target_fpir: float) -> float:
    """Give the largest threshold that counting allows.

    With enough searches, the upper confidence bound of the share named is at most the target, photos counted
    as if each were of another person; with fewer, the share itself.

    Args:
        nearest: (searches,) distance of the nearest template of each non-mated search.
        target_fpir: share of strangers that may be named.
    """
    searches = len(nearest)
    if searches < trials_needed(target_fpir):
        return threshold_at_fpir(nearest, target_fpir)
    named = np.arange(int(target_fpir * searches) + 1)
    allowed = sum(upper_bound(int(count), searches) <= target_fpir for count in named) - 1
    return threshold_at_fpir(nearest, allowed / searches)


def modelled_threshold(sums: LogSums, target_fpir: float, confidence: float = _CONFIDENCE) -> float:
    """Give the lower confidence bound of the distance at which FPIR is as wanted.

    Args:
        sums: of all searches.
        target_fpir: share of strangers that may be named.
        confidence: of the bound, one-sided.
    """
    from scipy.stats import norm, t

    people = sums.people.shape[1]
    quantile = float(norm.ppf(-np.expm1(np.log1p(-target_fpir) / people)))
    _, units = np.unique(np.concatenate([sums.owners, np.arange(people)]), return_inverse=True)
    # What each person adds, as the one searched for and as the one found.
    both = np.concatenate([sums.searches, sums.people], axis=1)
    parts = np.stack([np.bincount(units, powers) for powers in both])
    total = sums.searches.sum(axis=1)
    estimate = sums.middle + _log_quantile(total[:, None], quantile)[0]
    without = sums.middle + _log_quantile(total[:, None] - parts, quantile)
    count = len(without)
    jackknife = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    # Of few people the jackknife's own spread is large; no one is surer than from independent pairs.
    pairs = people * (people - 1) / 2 + people * (count - people)
    mean, second, _ = total[1:] / total[0]
    least = np.sqrt(max(second - mean**2, 0.0) * (1 + quantile**2 / 2) / pairs)
    error = max(jackknife, least)
    return float(np.exp(estimate - t.ppf(confidence, count - _MOMENTS) * error))


def _log_quantile(sums: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Quantile by mean, deviation and skewness, from sums of the powers 0 to 3, (4, n)."""
    mean, second, third = sums[1:] / sums[0]
    variance = np.maximum(second - mean**2, 1e-12)
    skewness = (third - 3 * mean * second + 2 * mean**3) / variance**1.5
    correction = (quantile**2 - 1) * np.clip(skewness, -_MOST_SKEWED, _MOST_SKEWED) / 6
    return np.asarray(mean + np.sqrt(variance) * np.minimum(quantile + correction, quantile / 2))
