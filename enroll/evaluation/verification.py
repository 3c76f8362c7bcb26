"""Figures of 1:1 comparisons, and their bootstrap over identities, in numpy alone.

A *mated* pair is two samples of one identity, a *non-mated* pair samples of two; a pair passes a threshold
when its distance is at most that. FMR is the share of non-mated pairs that pass, TAR the share of mated pairs
that do (ISO/IEC 19795-1). In a replicate of the bootstrap that draws identity i w_i times, a mated pair of i
weighs w_i and a non-mated pair of i and j weighs w_i w_j: i and j meet that often, and a person who was drawn
twice is no stranger to himself (Bolle, Ratha and Pankanti 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.wording import count
from embedder.metrics import pair_distances, trials_of_one
from enroll.evaluation.pairs import draw_pairs
from enroll.evaluation.weighted import narrowed, summed, within_share
from enroll.templates import checked_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


LIMIT = 2_000_000  # pairs of a kind: some 50 MB each; TAR at an FMR of 1e-5 still rests on 20 of them
_CHUNK = 2**20  # weights of pairs in memory at once; a few arrays of 8 MiB


@dataclass(frozen=True)
class TarAtFmr:
    """TAR at an FMR.

    Attributes:
        fmr: the share of non-mated pairs that may pass.
        pairs: non-mated pairs that were compared.
        needed: non-mated pairs of which one is this share, 1 / `fmr`.
        threshold: the largest at which at most that share passes; None with fewer pairs than needed.
        tar: share of mated pairs that pass; None with fewer pairs than needed, or without a mated pair.
    """

    fmr: float
    pairs: int
    needed: int
    threshold: float | None
    tar: float | None


@dataclass(frozen=True, eq=False)
class Replicates:
    """Figures of each replicate; NaN where no mated or no non-mated pair was drawn.

    Attributes:
        threshold: (replicates, fmrs) float64, threshold at each FMR.
        tar: (replicates, fmrs) float64, TAR at each FMR.
        eer: (replicates,) float64.
        f1: (replicates,) float64, the best F1.
        f1_threshold: (replicates,) float64, the threshold with the best F1.
    """

    threshold: NDArray[np.float64]
    tar: NDArray[np.float64]
    eer: NDArray[np.float64]
    f1: NDArray[np.float64]
    f1_threshold: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairComparisons:
    """Distances of pairs; `of_vectors` and `of_pairs` make them.

    Attributes:
        mated: (mated,) float64 distances, ascending; infinity is a comparison that failed: it never passes.
        mated_identity: (mated,) int64, index of the identity among all, sorted.
        non_mated: (non_mated,) float64 distances, ascending.
        non_mated_identities: (non_mated, 2) int64, indices of both identities.
        identities: how many there are, those of no pair too.
        mated_total: mated pairs there are; more than `mated` has if that was drawn from them.
        non_mated_total: non-mated pairs there are.
    """

    mated: NDArray[np.float64]
    mated_identity: NDArray[np.int64]
    non_mated: NDArray[np.float64]
    non_mated_identities: NDArray[np.int64]
    identities: int
    mated_total: int
    non_mated_total: int

    @classmethod
    def of_vectors(
        cls, vectors: NDArray[np.floating], labels: NDArray[np.generic], limit: int = LIMIT, seed: int = 0
    ) -> PairComparisons:
        """Compare every two samples, or as many pairs of a kind as `limit` allows.

        Of more pairs, `limit` different ones are drawn: one at random from each of so many equally long
        stretches of the list of all, so that every sample has its share; each pair is equally likely.

        Args:
            vectors: (n, dim) unit rows.
            labels: (n,) identity of each row, numbers or texts.
            limit: mated pairs, and non-mated pairs, that are compared.
            seed: draws them.

        Raises:
            ValueError: other shapes, or rows that are not finite.
        """
        if vectors.ndim != 2 or labels.shape != vectors.shape[:1]:
            raise ValueError(
                f"expected (n, dim) vectors and (n,) labels, got {vectors.shape} and {labels.shape}"
            )
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            first = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
            raise ValueError(
                f"vectors: expected finite numbers, got others in {count(len(bad), 'row')}: {first}"
            )
        _, label, photos = np.unique(labels, return_inverse=True, return_counts=True)
        order = np.argsort(label, kind="stable")
        vectors, label = vectors[order], label[order]
        # Row i of the sorted rows is paired with the rest of its identity, then with all that follow those.
        after, end = np.arange(len(label)) + 1, np.cumsum(photos)[label]
        rng = np.random.default_rng(seed)
        a, b, mated_total = draw_pairs(after, end, limit, rng)
        c, d, non_mated_total = draw_pairs(end, np.full_like(end, len(label)), limit, rng)
        mated, non_mated = pair_distances(vectors, a, vectors, b), pair_distances(vectors, c, vectors, d)
        both = np.stack([label[c], label[d]], axis=1)
        totals = mated_total, non_mated_total
        return cls.of_pairs(mated, label[a], non_mated, both, len(photos), totals)

    @classmethod
    def of_pairs(
        cls,
        mated: NDArray[np.float64],
        mated_identity: NDArray[np.integer],
        non_mated: NDArray[np.float64],
        non_mated_identities: NDArray[np.integer],
        identities: int,
        totals: tuple[int, int] | None = None,
    ) -> PairComparisons:
        """Take pairs in any order, as the attributes describe them.

        Args:
            mated: (mated,) distances.
            mated_identity: (mated,) index of the identity.
            non_mated: (non_mated,) distances.
            non_mated_identities: (non_mated, 2) indices of both identities.
            identities: how many there are.
            totals: mated and non-mated pairs there are; None: as many as these.

        Raises:
            ValueError: a distance that is not a number.
        """
        if np.isnan(mated).any() or np.isnan(non_mated).any():
            raise ValueError("expected distances, got one that is not a number")
        first, second = np.argsort(mated, kind="stable"), np.argsort(non_mated, kind="stable")
        return cls(
            mated[first],
            mated_identity[first].astype(np.int64),
            non_mated[second],
            non_mated_identities[second].astype(np.int64),
            identities,
            *(totals or (len(mated), len(non_mated))),
        )

    @property
    def drawn(self) -> str | None:
        """Say how many pairs of how many were compared, or None if all were."""
        kinds = [
            (len(self.mated), self.mated_total, "mated"),
            (len(self.non_mated), self.non_mated_total, "non-mated"),
        ]
        some = [f"{n:,} of {count(total, f'{kind} pair', ',')}" for n, total, kind in kinds if n < total]
        return f"drawn at random: {', '.join(some)}" if some else None

    def at_fmr(self, fmr: float) -> TarAtFmr:
        """Give the largest threshold at which at most a share `fmr` of non-mated pairs passes, and its TAR.

        Args:
            fmr: the share, above 0 and at most 1.

        Raises:
            ValueError: another share.
        """
        needed = pairs_needed(fmr)
        if len(self.non_mated) < needed:
            return TarAtFmr(fmr, len(self.non_mated), needed, None, None)
        threshold, tar = (float(value[0]) for value in self._all.at_fmr(fmr))
        return TarAtFmr(fmr, len(self.non_mated), needed, threshold, tar if len(self.mated) else None)

    def eer(self) -> float:
        """Give the equal error rate: where FMR and 1 - TAR are the same.

        Between the two neighbouring distances where they change order, both are taken to change along a
        straight line. NaN without mated or without non-mated pairs.
        """
        return float(self._all.eer()[0])

    def best_f1(self) -> tuple[float, float]:
        """Give the smallest threshold with the largest F1, and that F1 (van Rijsbergen 1979).

        It is `best_f` with β = 1: 2 TP / (TP + FP + mated pairs).
        """
        return self.best_f(1.0)

    def best_f(self, beta: float) -> tuple[float, float]:
        """Give the smallest threshold with the largest F-beta, and that F-beta.

        (1 + β²) TP / (β² mated pairs + TP + FP), of pairs that pass: recall, the share of mated pairs that
        pass, counts β times precision, the share of passing pairs that are mated. It depends on how many
        non-mated pairs there are to a mated one. Both are NaN without mated or without non-mated pairs.

        Args:
            beta: β, above 0; below 1 to be strict, above 1 to miss few.

        Raises:
            ValueError: another β.
        """
        if not 0 < beta < np.inf:
            raise ValueError(f"beta: expected a number above 0, got {beta}")
        threshold, f = self._all.best_f(beta)
        return float(threshold[0]), float(f[0])

    def replicates(self, weights: NDArray[np.float64], fmrs: Sequence[float] = ()) -> Replicates:
        """Give all figures for each row of weights; a row of ones gives those of `at_fmr`, `eer`, `best_f1`.

        Args:
            weights: (replicates, identities), how often each identity is drawn.
            fmrs: as of `at_fmr`; also those for which there are too few pairs.

        Raises:
            ValueError: weights of another number of identities, or another share.
        """
        for fmr in fmrs:
            pairs_needed(fmr)
        if weights.ndim != 2 or weights.shape[1] != self.identities:
            raise ValueError(f"weights: expected (replicates, {self.identities}), got {weights.shape}")
        rows = len(weights)
        result = Replicates(
            np.empty((rows, len(fmrs))), np.empty((rows, len(fmrs))), *(np.empty(rows) for _ in range(3))
        )
        step = max(1, _CHUNK // max(1, len(self.mated) + len(self.non_mated)))
        for start in range(0, rows, step):
            now = slice(start, start + step)
            weighted = _Weighted(self, weights[now])
            for column, fmr in enumerate(fmrs):
                result.threshold[now, column], result.tar[now, column] = weighted.at_fmr(fmr)
            result.eer[now] = weighted.eer()
            result.f1_threshold[now], result.f1[now] = weighted.best_f(1.0)
        return result

    @cached_property
    def _all(self) -> _Weighted:
        return _Weighted(self, np.ones((1, self.identities)))

    @cached_property
    def _steps(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """How many pairs of each kind pass below the least distance, and at each distance there is."""
        distances = np.unique(np.concatenate([self.mated, self.non_mated]))
        mated, non_mated = self._passing(distances)
        return np.append(0, mated), np.append(0, non_mated)

    @cached_property
    def _mated_steps(self) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
        """Each distance of a mated pair, and how many pairs of each kind pass at it."""
        distances = np.unique(self.mated[np.isfinite(self.mated)])
        return distances, *self._passing(distances)

    @cached_property
    def _stops(self) -> NDArray[np.float64]:
        return np.append(self.non_mated, np.inf)

    @cached_property
    def _both(self) -> NDArray[np.int64]:
        return np.ascontiguousarray(self.non_mated_identities.T)

    def _passing(self, distances: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return (
            np.searchsorted(self.mated, distances, side="right"),
            np.searchsorted(self.non_mated, distances, side="right"),
        )


class _Weighted:
    """Some replicates: the weight of the first k pairs of each kind, (replicates, pairs + 1)."""

    def __init__(self, pairs: PairComparisons, weights: NDArray[np.float64]) -> None:
        self._pairs = pairs
        small = narrowed(weights)
        self._mated = summed(np.take(small, pairs.mated_identity, axis=1))
        both = np.take(small, pairs._both[0], axis=1)
        both *= np.take(small, pairs._both[1], axis=1)
        self._non_mated = summed(both)
        empty = (self._mated[:, -1] == 0) | (self._non_mated[:, -1] == 0)
        self._nan = np.where(empty, np.nan, 0.0)  # is added to figures that need both kinds
        self._row = np.arange(len(weights))

    def at_fmr(self, fmr: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Threshold and TAR, (replicates,)."""
        # The first distance that must not pass; of equal ones none does.
        stop = self._pairs._stops[within_share(self._non_mated, fmr)]
        threshold = np.where(np.isinf(stop), np.inf, np.nextafter(stop, -np.inf))
        threshold[self._non_mated[:, -1] == 0] = np.nan
        passing = self._mated[self._row, np.searchsorted(self._pairs.mated, stop)]
        return threshold, _share(passing, self._mated[:, -1]) + self._nan

    def eer(self) -> NDArray[np.float64]:
        low = np.zeros(len(self._row), np.intp)
        high = np.full_like(low, len(self._pairs._steps[0]) - 1)
        while (high - low > 1).any():
            middle = (low + high) // 2
            above = self._difference(middle) >= 0
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        before, after = self._difference(low), self._difference(high)
        way = _share(-before, after - before)
        steps = self._pairs._steps[1]
        left, right = self._non_mated[self._row, steps[low]], self._non_mated[self._row, steps[high]]
        return _share(left + way * (right - left), self._non_mated[:, -1])

    def _difference(self, step: NDArray[np.intp]) -> NDArray[np.float64]:
        """FMR - (1 - TAR) at a step, times the weight of both kinds: exact for whole weights."""
        mated, non_mated = self._pairs._steps
        false, all_false = self._non_mated[self._row, non_mated[step]], self._non_mated[:, -1]
        true, all_true = self._mated[self._row, mated[step]], self._mated[:, -1]
        difference: NDArray[np.float64] = false * all_true - (all_true - true) * all_false
        return difference

    def best_f(self, beta: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Threshold and F-beta, (replicates,)."""
        # Between two mated distances only false positives are added, so the best is at a mated one.
        distances, mated, non_mated = self._pairs._mated_steps
        if not len(distances):
            return np.full(len(self._row), np.nan), np.full(len(self._row), np.nan)
        true, false = self._mated[:, mated], self._non_mated[:, non_mated]
        f = _share((1 + beta**2) * true, true + false + beta**2 * self._mated[:, -1:])
        best = f.argmax(axis=1)
        return distances[best] + self._nan, f[self._row, best] + self._nan


def compare_pairs(vectors: ArrayLike, labels: ArrayLike, seed: int = 0) -> PairComparisons:
    """Compare every two photos, as verification does: one person, or two.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) names or numbers of the people.
        seed: draws the pairs, where there are more than can be compared.

    Raises:
        ValueError: other shapes, or rows that are not of length 1.
        UsageError: a vector is not finite.

    Example:
        >>> compare_pairs(np.eye(4)[[0, 0, 1, 1]], ["a", "a", "b", "b"]).eer()
        0.0
    """
    rows, of = checked_rows(vectors, labels)
    return PairComparisons.of_vectors(rows, of, seed=seed)


def pairs_needed(fmr: float) -> int:
    """Give how many non-mated pairs an FMR needs, so that one of them is that share: 1 / FMR, upward.

    Raises:
        ValueError: no share above 0 and up to 1.
    """
    if not 0 < fmr <= 1:
        raise ValueError(f"fmr: expected a share above 0 and at most 1, got {fmr}")
    return trials_of_one(fmr)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        share: NDArray[np.float64] = part / whole
    return share
