"""Evaluate open-set identification over random splits: figures with their intervals.

Some people are enrolled, all others are strangers; the words are those of ISO/IEC 19795-1. In each split
people are drawn at random to be known or strangers, and of each known person's photos some to be enrolled;
the rest, and all photos of strangers, are searched for. A photo without a face finds no one: a mated search
is missed, a non-mated one names nobody. It still counts.

Thresholds are set within a split, figures are means over the splits, and intervals come from drawing the
identities again (`embedder.metrics.identity_weights`), the same draw for all splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import (
    CONFIDENCE,
    first_refused,
    identity_weights,
    interval,
    squared_distances,
    trials_of_one,
    upper_bound,
)
from enroll.confidence import FARTHEST, Reliability, fit_curve, leave_one_out_searches, reliability
from enroll.evaluation.once import computed_once
from enroll.evaluation.samples import EmbeddedSamples

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from enroll.config import EvaluationConfig


FPIRS = (0.001, 0.01, 0.05, 0.1)
_POINTS = 25  # of the curve, at most
_PAIRS_AT_ONCE = 4_000_000  # distances in memory: 32 MB

Samples = TypeVar("Samples", bound=EmbeddedSamples)
SomeSamples = TypeVar("SomeSamples", bound=EmbeddedSamples, covariant=True)  # an evaluation never changes


@dataclass(frozen=True)
class Figure:
    """A share or a difference of shares.

    Attributes:
        value: None if the photos cannot support it.
        low, high: 95 % interval, or None.
        needed: what would support it, as "1000 non-mated searches a split", or None.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    needed: str | None = None

    def __str__(self) -> str:
        return format(self)

    def __format__(self, sign: str) -> str:
        """Give it in words; `+` as the format shows the sign, for differences."""
        if self.value is None:
            return f"not supported; needs {self.needed}"
        numbers = [
            f"{number:{sign}.3f}" for number in (self.value, self.low, self.high) if number is not None
        ]
        return numbers[0] if len(numbers) < 3 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def figure(value: float, replicates: NDArray[np.float64], people: int) -> Figure:
    """Give a share with the percentile interval of its bootstrap replicates.

    Where all went right or all wrong, every replicate is the same and says nothing; then the interval is the
    exact one of that many independent people.
    """
    low, high = interval(replicates)
    if low == high and value in (0, 1):
        reach = upper_bound(0, people, (1 + CONFIDENCE) / 2)
        low, high = (0.0, reach) if value == 0 else (1 - reach, 1.0)
    return Figure(float(value), low, high)


def difference(value: float, replicates: NDArray[np.float64]) -> Figure:
    """Give a difference with the percentile interval of its bootstrap replicates."""
    low, high = interval(replicates)
    return Figure(float(value), low, high)


def not_supported(needed: str) -> Figure:
    """Give a figure that needs more, such as "1000 non-mated searches a split"."""
    return Figure(None, needed=needed)


@dataclass(frozen=True, eq=False)
class Split:
    """The searches of one split.

    Attributes:
        known: identities that are enrolled.
        enrolled: rows that were drawn to be enrolled, also those that could not be.
        mated, non_mated: (n,) rows that were searched for.
        rank: (mated,) rank of the right person, ties counting against it; infinite if not found.
        distance, other_distance: (mated,), (non_mated,) distance of the nearest template.
        second, other_second: of the nearest template of any other person; 2 in a gallery of one.
        nearest, other_nearest: the row of the nearest template, -1 if there is none.
    """

    known: NDArray[np.int64]
    enrolled: NDArray[np.int64]
    mated: NDArray[np.int64]
    rank: NDArray[np.float64]
    distance: NDArray[np.float64]
    second: NDArray[np.float64]
    nearest: NDArray[np.int64]
    non_mated: NDArray[np.int64]
    other_distance: NDArray[np.float64]
    other_second: NDArray[np.float64]
    other_nearest: NDArray[np.int64]

    def limit(self, fpir: float) -> float:
        """Distance of the first stranger that must not pass; a search passes when it is nearer."""
        return first_refused(self.other_distance, fpir)


@dataclass(frozen=True, eq=False)
class Evaluation(Generic[SomeSamples]):
    """The searches of all splits, and the figures they give.

    Attributes:
        samples: the photos.
        config: how splits were drawn.
        splits: one entry a split.
    """

    samples: SomeSamples
    config: EvaluationConfig
    splits: tuple[Split, ...]

    @computed_once
    def weights(self) -> NDArray[np.float64]:
        """Give how often each identity is drawn in each bootstrap replicate, (replicates, identities)."""
        rng = np.random.default_rng([self.config.seed, 1])
        return identity_weights(len(self.samples.identities), self.config.replicates, rng)

    @property
    def non_mated_searches(self) -> int:
        """Non-mated searches of a split, the smallest number of any."""
        return min(len(split.non_mated) for split in self.splits)

    def supports(self, fpir: float) -> bool:
        """Say whether there are searches enough for one of them to pass at this FPIR."""
        return self.non_mated_searches >= trials_of_one(fpir)

    @computed_once
    def rank(self, k: int) -> Figure:
        """Share of mated searches whose person is among the k nearest, whatever the distance."""
        if k > len(self.splits[0].known):
            return not_supported(count(k, "enrolled person"))
        return self._figure(lambda weights: self.rank_replicates(k, weights))

    def rank_replicates(self, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rank-k for each row of weights, (replicates,)."""
        return _mean_over_splits(
            [
                _weighted_share(weights[:, self.samples.labels[split.mated]], split.rank <= k)
                for split in self.splits
            ]
        )

    @computed_once
    def tpir(self, fpir: float) -> Figure:
        """Share of mated searches answered rightly at the largest threshold with at most this FPIR."""
        if not self.supports(fpir):
            return not_supported(f"{count(trials_of_one(fpir), 'non-mated search')} a split")
        return self._figure(lambda weights: self.tpir_replicates(fpir, weights))

    def tpir_replicates(self, fpir: float, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """TPIR at an FPIR for each row of weights, (replicates,)."""
        return _mean_over_splits(
            [_weighted_tpir(split, self.samples.labels, weights, fpir) for split in self.splits]
        )

    @computed_once
    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """FPIRs from one non-mated search to all, in steps of one, and FNIR at each, mean over the splits."""
        searches = self.non_mated_searches
        fpirs = np.unique(np.rint(np.geomspace(1, searches, _POINTS))) / searches
        return fpirs, np.array([1 - self.tpir_replicates(fpir, self._once)[0] for fpir in fpirs])

    @computed_once
    def reliability(self) -> Reliability | None:
        """Compare the confidence that each split's own templates teach with how often names are right.

        Mated and non-mated searches weigh the same. None if no split can teach it.
        """
        probabilities, right, weights = [], [], []
        for split in self.splits:
            rows = split.enrolled[self.samples.enrollable[split.enrolled]]
            if len(np.unique(self.samples.labels[rows])) < 2:
                continue
            curve = fit_curve(leave_one_out_searches(self.samples.vectors[rows], self.samples.labels[rows]))
            for correct, distance, second in (
                (split.rank == 1, split.distance, split.second),
                (np.zeros(len(split.non_mated), bool), split.other_distance, split.other_second),
            ):
                there = np.isfinite(distance)
                if curve is None or not there.any():
                    continue
                probabilities.append(curve.probabilities(distance[there], second[there]))
                right.append(correct[there])
                weights.append(np.full(there.sum(), 0.5 / there.sum()))
        if not probabilities:
            return None
        return reliability(np.concatenate(probabilities), np.concatenate(right), np.concatenate(weights))

    @property
    def _once(self) -> NDArray[np.float64]:
        return np.ones((1, len(self.samples.identities)))

    def _figure(self, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Figure:
        return figure(of(self._once)[0], of(self.weights()), len(self.samples.identities))


def evaluate(samples: Samples, config: EvaluationConfig) -> Evaluation[Samples]:
    """Repeat the protocol.

    Args:
        samples: photos of at least three people, two of whom have two photos.
        config: splits, shares and seed; the same give the same splits for any model.

    Raises:
        UsageError: too few people or photos, or no one can be enrolled.
    """
    counts = np.bincount(samples.labels)
    candidates = np.flatnonzero(counts >= 2)
    people = int(np.count_nonzero(counts))  # who has no photo can be no stranger either
    if people < 3 or len(candidates) < 2:
        raise UsageError(
            "evaluating needs at least 3 people, 2 of them with 2 photos or more: some are enrolled, another "
            f"photo of theirs is searched for, and the rest are strangers; got {count(people, 'person')}, "
            f"{len(candidates)} of them with 2 photos"
        )
    if not samples.enrollable.any():
        first = next(iter(samples.problems.values()), None)
        raise UsageError(f"no photo can be enrolled{f'; the first: {first}' if first else ''}")
    known = min(len(candidates), people - 1, max(1, round(config.known * people)))
    splits = []
    for number in range(config.splits):
        rng = np.random.default_rng([config.seed, 0, number])
        splits.append(_split(samples, np.sort(rng.permutation(candidates)[:known]), config.enrolled, rng))
    return Evaluation(samples, config, tuple(splits))


def _split(
    samples: EmbeddedSamples, known: NDArray[np.int64], enrolled: int | None, rng: np.random.Generator
) -> Split:
    drawn, rest = [], []
    for identity in known:
        rows = rng.permutation(np.flatnonzero(samples.labels == identity))
        some = min(len(rows) - 1, len(rows) // 2 if enrolled is None else enrolled)
        drawn.append(rows[:some])
        rest.append(rows[some:])
    chosen, mated = np.concatenate(drawn), np.concatenate(rest)
    non_mated = np.flatnonzero(~np.isin(samples.labels, known))
    gallery = chosen[samples.enrollable[chosen]]  # sorted by identity, as `known` is
    of_known, of_strangers = (_search(samples, probes, gallery) for probes in (mated, non_mated))
    return Split(
        known=known,
        enrolled=chosen,
        mated=mated,
        rank=of_known.rank,
        distance=of_known.distance,
        second=of_known.second,
        nearest=of_known.nearest,
        non_mated=non_mated,
        other_distance=of_strangers.distance,
        other_second=of_strangers.second,
        other_nearest=of_strangers.nearest,
    )


@dataclass(frozen=True, eq=False)
class _Found:
    rank: NDArray[np.float64]
    distance: NDArray[np.float64]
    second: NDArray[np.float64]
    nearest: NDArray[np.int64]


def _search(samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]) -> _Found:
    """Search for each probe in the enrolled rows; one without a face finds nothing."""
    rank, distance, second = (np.full(len(probes), np.inf) for _ in range(3))
    nearest = np.full(len(probes), -1, np.int64)
    found = np.flatnonzero(samples.found[probes])
    people, starts = np.unique(samples.labels[gallery], return_index=True)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(gallery)))
    for start in range(0, len(found) if len(gallery) else 0, step):
        rows = found[start : start + step]
        squared = squared_distances(samples.vectors[probes[rows]], samples.vectors[gallery])
        by_person = np.minimum.reduceat(squared, starts, axis=1)
        own = people[None] == samples.labels[probes[rows], None]
        of_own = np.where(own, by_person, np.inf).min(axis=1)
        others = np.where(own, np.inf, by_person)
        rank[rows] = np.where(np.isfinite(of_own), 1 + (others <= of_own[:, None]).sum(axis=1), np.inf)
        first = squared.argmin(axis=1)
        distance[rows], nearest[rows] = np.sqrt(squared[np.arange(len(rows)), first]), gallery[first]
        second[rows] = np.sqrt(np.partition(by_person, 1, axis=1)[:, 1]) if len(people) > 1 else FARTHEST
    return _Found(rank, distance, second, nearest)


def _weighted_share(weights: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a replicate may have drawn no one of a split: NaN
        return np.asarray((weights @ hits) / weights.sum(axis=1))


def _weighted_tpir(
    split: Split, labels: NDArray[np.int64], weights: NDArray[np.float64], fpir: float
) -> NDArray[np.float64]:
    """TPIR of a split, each search weighing as often as its person was drawn."""
    others = np.argsort(split.other_distance, kind="stable")
    passed = np.cumsum(weights[:, labels[split.non_mated[others]]], axis=1)
    allowed = (passed <= fpir * passed[:, -1:] + 1e-9).sum(axis=1)
    limits = np.append(split.other_distance[others], np.inf)
    order = np.argsort(split.distance, kind="stable")
    mated = weights[:, labels[split.mated[order]]]
    right = np.cumsum(np.pad(mated * (split.rank[order] == 1), ((0, 0), (1, 0))), axis=1)
    below = np.searchsorted(split.distance[order], limits, side="left")  # strictly nearer than the limit
    with np.errstate(invalid="ignore"):
        return np.asarray(right[np.arange(len(weights)), below[allowed]] / mated.sum(axis=1))


def _mean_over_splits(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    table = np.stack(values)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, table, 0).sum(axis=0) / known.sum(axis=0))
