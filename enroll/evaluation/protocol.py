"""Evaluate open-set identification over random splits: figures with their intervals.

Some people are enrolled, all others are strangers; terms are those of ISO/IEC 19795-1: a search is mated if
its person is enrolled; the false positive identification rate (FPIR) is the share of non-mated searches that
name anyone, the true positive identification rate (TPIR) that of mated searches that name the right person
(docs/glossary.md). In each split people are drawn at random to be known or strangers, and of each known
person's photos some to be enrolled; the rest, and all photos of strangers, are searched for. A photo without
a face counts as a search that names no one: wrong if it is mated, right if it is not.

Thresholds for a stated FPIR are set within a split, on its strangers, so that models can be compared at one
error rate; `as_calibrated` sets them as `embed calibrate` does, from the enrolled photos and the model's
distances between strangers. Figures are means over the splits, and intervals come from drawing the identities
again (`embedder.metrics.identity_weights`), the same draw for all splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import identity_weights, trials_of_one
from enroll.calibration import calibrate
from enroll.confidence import Reliability, fit_confidence_model, leave_one_out_searches, reliability
from enroll.config import EvaluationConfig
from enroll.decision import is_within
from enroll.evaluation.estimates import Estimate, figure, insufficient
from enroll.evaluation.once import computed_once
from enroll.evaluation.samples import EmbeddedSamples
from enroll.evaluation.splits import SearchSplit, draw_splits, search_split
from enroll.evaluation.weighted import narrowed, summed, within_share
from enroll.scoring import get_scorer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from embedder.strangers import StrangerDistances


FPIRS = (0.001, 0.01, 0.05, 0.1)
_POINTS = 25  # of the curve, at most
_CALIBRATED = 60_000  # enrolled photos of all splits together that are calibrated with: 20 splits of 3,000
_FEWEST = 3  # least number of these splits: with so many people, splits hardly differ

Samples = TypeVar("Samples", bound=EmbeddedSamples)
SomeSamples = TypeVar("SomeSamples", bound=EmbeddedSamples, covariant=True)  # an evaluation never changes


@dataclass(frozen=True)
class AsCalibrated:
    """Holds the rates at the thresholds that calibration sets.

    Attributes:
        target_fpir: the FPIR that was calibrated for.
        threshold: the mean of all splits.
        tpir: share of mated searches that name the right person.
        fpir: share of non-mated searches that name anyone.
        splits: number of splits, the first ones; all, unless they have very many enrolled photos.
    """

    target_fpir: float
    threshold: float
    tpir: Estimate
    fpir: Estimate
    splits: int


@dataclass(frozen=True, eq=False)
class Evaluation(Generic[SomeSamples]):
    """Holds the searches of all splits, and computes figures from them.

    Attributes:
        samples: the photos.
        config: how splits were drawn.
        splits: the searches of each split.
        scorer: name of the scorer whose scores were used as distances.

    Example:
        >>> result = evaluate(np.repeat(np.eye(6), 3, axis=0), np.repeat(list("abcdef"), 3))
        >>> result.rank(1).value, result.tpir(0.001).needed
        (1.0, '1000 non-mated searches a split')
    """

    samples: SomeSamples
    config: EvaluationConfig
    splits: tuple[SearchSplit, ...]
    scorer: str = "nearest"

    @computed_once
    def weights(self) -> NDArray[np.float64]:
        """Draw the bootstrap: how often each identity is in each replicate.

        Returns:
            (replicates, identities) float64.
        """
        rng = np.random.default_rng([self.config.seed, 1])
        return identity_weights(len(self.samples.identities), self.config.replicates, rng)

    @property
    def non_mated_searches(self) -> int:
        """The number of non-mated searches of a split, the smallest of all splits."""
        return min(len(split.non_mated) for split in self.splits)

    @property
    def drawn(self) -> str | None:
        """How many of all searches were made in a split, as text; None if all were."""
        kinds = {
            "mated": [(len(one.mated), one.mated_total) for one in self.splits],
            "non-mated": [(len(one.non_mated), one.non_mated_total) for one in self.splits],
        }
        some = [
            f"{searched:,} of {count(total, f'{kind} search', ',')}"
            for kind, numbers in kinds.items()
            for searched, total in [max(numbers)]
            if searched < total
        ]
        return f"drawn at random in each split: {', '.join(some)}" if some else None

    @property
    def calibrated(self) -> tuple[SearchSplit, ...]:
        """The splits that are calibrated: all, or the first ones if they have very many photos."""
        return self.splits[: max(_FEWEST, _CALIBRATED // max(1, len(self.splits[0].enrolled)))]

    def supports(self, fpir: float) -> bool:
        """Return whether a split has so many non-mated searches that one of them is this share."""
        return self.non_mated_searches >= trials_of_one(fpir)

    @computed_once
    def rank(self, k: int) -> Estimate:
        """Compute rank-k: the share of mated searches with the right person among the k nearest.

        The distance does not matter.
        """
        if k > len(self.splits[0].known):
            return insufficient(count(k, "enrolled person"))
        return self._figure(lambda weights: self.rank_replicates(k, weights))

    def rank_replicates(self, k: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute rank-k for each row of weights.

        Args:
            k: number of the nearest people.
            weights: (replicates, identities) float64, how often each identity counts.

        Returns:
            (replicates,) float64.
        """
        return _mean_over_splits(
            [
                _weighted_share(weights[:, self.samples.labels[split.mated]], split.rank <= k)
                for split in self.splits
            ]
        )

    @computed_once
    def tpir(self, fpir: float) -> Estimate:
        """Compute the TPIR at the largest threshold with at most this FPIR, above 0 and at most 1."""
        if not self.supports(fpir):
            return insufficient(f"{count(trials_of_one(fpir), 'non-mated search')} a split")
        return self._figure(lambda weights: self.tpir_replicates(fpir, weights))

    def tpir_replicates(self, fpir: float, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the TPIR at an FPIR for each row of weights.

        Args:
            fpir: share of non-mated searches that may name anyone.
            weights: (replicates, identities) float64, how often each identity counts.

        Returns:
            (replicates,) float64.
        """
        small = narrowed(weights)
        return _mean_over_splits(
            [_weighted_tpir(split, self.samples.labels, small, fpir) for split in self.splits]
        )

    @computed_once
    def as_calibrated(self, fpir: float) -> AsCalibrated | None:
        """Measure each split at the threshold that calibrating its enrolled photos sets.

        Args:
            fpir: the FPIR to calibrate for.

        Returns:
            None if no threshold can be set: too few people, or scores that are no distances.
        """
        samples, thresholds = self.samples, []
        if self.scorer != "nearest":
            return None
        some = self.calibrated
        for split in some:
            rows = split.enrolled[samples.enrollable[split.enrolled]]
            try:
                found = calibrate(samples.vectors[rows], samples.labels[rows], fpir, known=samples.strangers)
            except (UsageError, ValueError):  # no one can be enrolled, or too few people
                return None
            thresholds.append(found.threshold)
        both = list(zip(some, thresholds, strict=True))
        tpir = self._share([(one.mated, (one.rank == 1) & is_within(one.distance, at)) for one, at in both])
        named = self._share([(one.non_mated, is_within(one.other_distance, at)) for one, at in both])
        return AsCalibrated(fpir, float(np.mean(thresholds)), tpir, named, len(some))

    @computed_once
    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute the DET curve: FNIR over FPIR, mean over the splits.

        FNIR, the false negative identification rate, is 1 - TPIR.

        Returns:
            FPIRs from one non-mated search to all, in whole searches, and FNIR at each, both (points,)
            float64.
        """
        searches = self.non_mated_searches
        fpirs = np.unique(np.rint(np.geomspace(1, searches, _POINTS))) / searches
        return fpirs, np.array([1 - self.tpir_replicates(fpir, self._once)[0] for fpir in fpirs])

    @computed_once
    def reliability(self) -> Reliability | None:
        """Compare the confidence fitted to each split's templates with the share of right names.

        Only the splits of `calibrated` are used. Mated and non-mated searches have the same total weight.

        Returns:
            None if no split can be fitted, or scores are no distances.
        """
        if self.scorer != "nearest":
            return None
        probabilities, right, weights = [], [], []
        for split in self.calibrated:
            rows = split.enrolled[self.samples.enrollable[split.enrolled]]
            if len(np.unique(self.samples.labels[rows])) < 2:
                continue
            curve = fit_confidence_model(
                leave_one_out_searches(self.samples.vectors[rows], self.samples.labels[rows])
            )
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

    def _share(self, searches: list[tuple[NDArray[np.int64], NDArray[np.bool_]]]) -> Estimate:
        """Compute the share of hits of each split, mean over the splits.

        Args:
            searches: of each split, the rows searched for and whether each is a hit.
        """
        labels = self.samples.labels
        return self._figure(
            lambda weights: _mean_over_splits(
                [_weighted_share(weights[:, labels[rows]], hits) for rows, hits in searches]
            )
        )

    def _figure(self, of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Estimate:
        return figure(of(self._once)[0], of(self.weights()), len(self.samples.identities))


def evaluate(
    vectors: ArrayLike,
    labels: ArrayLike,
    config: EvaluationConfig | None = None,
    *,
    detected: ArrayLike | None = None,
    enrollable: ArrayLike | None = None,
    strangers: StrangerDistances | None = None,
    scorer: str = "nearest",
) -> Evaluation[EmbeddedSamples]:
    """Evaluate open-set identification on vectors of labelled photos, over repeated splits.

    Args:
        vectors: (n, dim) float unit rows, one per photo; rows of photos without a face may hold anything.
        labels: (n,) names or numbers of the people.
        config: splits, shares and seed; None: the defaults.
        detected: (n,) bool, whether a face was found in each photo; None: in all. A search for a photo
            without one names nobody, and counts.
        enrollable: (n,) bool, whether it is good enough to be enrolled; None: all that have a face are.
        strangers: distances between strangers by the model, for thresholds as calibrated; None: unknown.
        scorer: how people are compared with a photo, see `enroll.get_scorer`.

    Returns:
        Figures with 95 % intervals: `.rank(k)`, `.tpir(fpir)`, `.as_calibrated(fpir)`.

    Raises:
        UsageError: too few people or photos, or a vector that is not finite.
        ValueError: arrays of other shapes or rows that are not of length 1, or no such scorer.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> names = np.repeat([f"person {number}" for number in range(12)], 6)
        >>> people = np.repeat(rng.normal(size=(12, 16)), 6, axis=0)
        >>> photos = people + 0.3 * rng.normal(size=people.shape)
        >>> result = evaluate(photos / np.linalg.norm(photos, axis=1, keepdims=True), names)
        >>> round(result.rank(1).value, 3), round(result.tpir(fpir=0.05).value, 3)
        (1.0, 1.0)
    """
    samples = EmbeddedSamples.of(vectors, labels, detected, enrollable, strangers)
    return evaluate_samples(samples, config or EvaluationConfig(), scorer)


def evaluate_samples(
    samples: Samples, config: EvaluationConfig, scorer: str = "nearest"
) -> Evaluation[Samples]:
    """Evaluate open-set identification on photos; see `evaluate`.

    Args:
        samples: photos of at least three people, two of whom have two photos.
        config: splits, shares and seed; the same values give the same splits for any model.
        scorer: how people are compared with a photo, see `enroll.scoring.get_scorer`.

    Raises:
        UsageError: too few people or photos, for the scorer too, or no one can be enrolled.
        ValueError: no such scorer.
    """
    drawn = list(draw_splits(samples.labels, config))
    if not samples.enrollable.any():
        first = next(iter(samples.problems.values()), None)
        raise UsageError(f"no photo can be enrolled{f'; the first: {first}' if first else ''}")
    chosen = None if scorer == "nearest" else get_scorer(scorer)
    try:
        splits = tuple(
            search_split(
                samples,
                one,
                chosen,
                one.searched(config.searches, np.random.default_rng([config.seed, 2, number])),
            )
            for number, one in enumerate(drawn)
        )
    except ValueError as error:  # a split has too few people for it
        raise UsageError(f"scorer {scorer}: {error}") from error
    return Evaluation(samples, config, splits, scorer)


def _weighted_share(weights: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a replicate may have drawn no one of a split: NaN
        return np.asarray((weights @ hits) / weights.sum(axis=1))


def _weighted_tpir(
    split: SearchSplit, labels: NDArray[np.int64], weights: NDArray[Any], fpir: float
) -> NDArray[np.float64]:
    """Compute the TPIR of a split, each search weighted by how often its person was drawn.

    Args:
        split: its searches.
        labels: (n,) int64, the identity of each row.
        weights: (replicates, identities), how often each identity is drawn.
        fpir: share of non-mated searches that may name anyone.

    Returns:
        (replicates,) float64, NaN where no mated search was drawn.
    """
    others = np.argsort(split.other_distance, kind="stable")
    passed = summed(np.take(weights, labels[split.non_mated[others]], axis=1))
    limits = np.append(split.other_distance[others], np.inf)[within_share(passed, fpir)]
    order = np.argsort(split.distance, kind="stable")
    mated = np.take(weights, labels[split.mated[order]], axis=1)
    right = summed(mated * (split.rank[order] == 1))
    below = np.searchsorted(split.distance[order], limits, side="left")  # strictly nearer than the limit
    with np.errstate(invalid="ignore"):
        return np.asarray(right[np.arange(len(weights)), below] / mated.sum(axis=1))


def _mean_over_splits(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    table = np.stack(values)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, table, 0).sum(axis=0) / known.sum(axis=0))
