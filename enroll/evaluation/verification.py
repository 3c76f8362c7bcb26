"""Compute figures of 1:1 comparisons, and their bootstrap over identities, in numpy alone.

A *mated* pair is two samples of one identity, a *non-mated* pair samples of two; a pair matches when its
distance is at most the threshold. FMR, the false match rate, is the share of non-mated pairs that match, TAR,
the true accept rate, the share of mated pairs that do (ISO/IEC 19795-1). In a replicate of the bootstrap that
draws identity i w_i times, a mated pair of i has the weight w_i and a non-mated pair of i and j the weight
w_i w_j: the number of times that i is drawn with j. Two copies of one person are no non-mated pair (Bolle,
Ratha and Pankanti 2004).
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
    """Holds the TAR at an FMR.

    Attributes:
        fmr: the share of non-mated pairs that may match.
        pairs: number of non-mated pairs that were compared.
        needed: number of non-mated pairs of which one is this share, 1 / `fmr`.
        threshold: the largest at which at most that share matches; None with fewer pairs than needed.
        tar: share of mated pairs that match; None with fewer pairs than needed, or without a mated pair.
    """

    fmr: float
    pairs: int
    needed: int
    threshold: float | None
    tar: float | None


@dataclass(frozen=True, eq=False)
class Replicates:
    """Holds the figures of each bootstrap replicate; NaN where one kind of pair was not drawn.

    Attributes:
        threshold: (replicates, fmrs) float64, threshold at each FMR.
        tar: (replicates, fmrs) float64, TAR at each FMR.
        eer: (replicates,) float64, the equal error rate.
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
    """Holds the distances of pairs; made by `of_vectors` or `of_pairs`.

    Attributes:
        mated: (mated,) float64 distances, ascending; infinite for a comparison that failed and never matches.
        mated_identity: (mated,) int64, index of the identity among all, sorted.
        non_mated: (non_mated,) float64 distances, ascending.
        non_mated_identities: (non_mated, 2) int64, indices of both identities.
        identities: number of identities, those without a pair too.
        mated_total: number of mated pairs in all, larger than that of `mated` if these were drawn.
        non_mated_total: number of non-mated pairs in all.
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
        """Compare every two samples, or `limit` pairs of a kind if there are more.

        Of more pairs, `limit` different ones are drawn: one at random from each of as many equally long
        stretches of the list of all, so that every sample has its share; each pair is equally likely.

        Args:
            vectors: (n, dim) float unit rows.
            labels: (n,) identity of each row, numbers or texts.
            limit: largest number of mated pairs, and of non-mated pairs.
            seed: of the draw.

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
        """Build comparisons from pairs in any order.

        Args:
            mated: (mated,) float64 distances.
            mated_identity: (mated,) index of the identity.
            non_mated: (non_mated,) float64 distances.
            non_mated_identities: (non_mated, 2) indices of both identities.
            identities: number of identities.
            totals: number of mated and of non-mated pairs in all; None: as many as these.

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
        """How many of all pairs were compared, as text; None if all were."""
        kinds = [
            (len(self.mated), self.mated_total, "mated"),
            (len(self.non_mated), self.non_mated_total, "non-mated"),
        ]
        some = [f"{n:,} of {count(total, f'{kind} pair', ',')}" for n, total, kind in kinds if n < total]
        return f"drawn at random: {', '.join(some)}" if some else None

    def at_fmr(self, fmr: float) -> TarAtFmr:
        """Return the largest threshold at which at most a share `fmr` of non-mated pairs matches.

        Args:
            fmr: the share, above 0 and at most 1.

        Returns:
            The threshold and its TAR.

        Raises:
            ValueError: another share.
        """
        needed = pairs_needed(fmr)
        if len(self.non_mated) < needed:
            return TarAtFmr(fmr, len(self.non_mated), needed, None, None)
        threshold, tar = (float(value[0]) for value in self._all.at_fmr(fmr))
        return TarAtFmr(fmr, len(self.non_mated), needed, threshold, tar if len(self.mated) else None)

    def eer(self) -> float:
        """Compute the equal error rate: where FMR and 1 - TAR are the same.

        Between the two neighbouring distances where they change order, both are interpolated linearly. NaN
        without mated or without non-mated pairs.
        """
        return float(self._all.eer()[0])

    def best_f1(self) -> tuple[float, float]:
        """Find the smallest threshold with the largest F1.

        It is `best_f` with β = 1: 2 TP / (TP + FP + mated pairs).

        Returns:
            The threshold and its F1.
        """
        return self.best_f(1.0)

    def best_f(self, beta: float) -> tuple[float, float]:
        """Find the smallest threshold with the largest F-beta.

        F-beta = (1 + β²) TP / (β² mated pairs + TP + FP), of pairs that match (van Rijsbergen 1979,
        "Information Retrieval"): recall, the share of mated pairs that match, counts β times precision, the
        share of matching pairs that are mated. It depends on how many non-mated pairs there are to a mated
        one.

        Args:
            beta: β, above 0; below 1 favours precision, above 1 recall.

        Returns:
            The threshold and its F-beta; both are NaN without mated or without non-mated pairs.

        Raises:
            ValueError: β is not above 0.
        """
        if not 0 < beta < np.inf:
            raise ValueError(f"beta: expected a number above 0, got {beta}")
        threshold, f = self._all.best_f(beta)
        return float(threshold[0]), float(f[0])

    def replicates(self, weights: NDArray[np.float64], fmrs: Sequence[float] = ()) -> Replicates:
        """Compute all figures for each row of weights.

        A row of ones gives those of `at_fmr`, `eer` and `best_f1`.

        Args:
            weights: (replicates, identities), how often each identity is drawn.
            fmrs: as for `at_fmr`; also those for which there are too few pairs.

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
        """Count the pairs of each kind within each distance, from below the least one on."""
        distances = np.unique(np.concatenate([self.mated, self.non_mated]))
        mated, non_mated = self._passing(distances)
        return np.append(0, mated), np.append(0, non_mated)

    @cached_property
    def _mated_steps(self) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
        """Return each distance of a mated pair, and how many pairs of each kind are within it."""
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
    """Sums the weights of the first k pairs of each kind, (replicates, pairs + 1)."""

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
        """Return threshold and TAR at an FMR, (replicates,) each."""
        # The first distance that must not pass; of equal ones none does.
        stop = self._pairs._stops[within_share(self._non_mated, fmr)]
        threshold = np.where(np.isinf(stop), np.inf, np.nextafter(stop, -np.inf))
        threshold[self._non_mated[:, -1] == 0] = np.nan
        passing = self._mated[self._row, np.searchsorted(self._pairs.mated, stop)]
        return threshold, _share(passing, self._mated[:, -1]) + self._nan

    def eer(self) -> NDArray[np.float64]:
        """Return the equal error rate, (replicates,)."""
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
        """Return FMR - (1 - TAR) at a step, times the weight of both kinds: exact for whole weights."""
        mated, non_mated = self._pairs._steps
        false, all_false = self._non_mated[self._row, non_mated[step]], self._non_mated[:, -1]
        true, all_true = self._mated[self._row, mated[step]], self._mated[:, -1]
        difference: NDArray[np.float64] = false * all_true - (all_true - true) * all_false
        return difference

    def best_f(self, beta: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the threshold with the largest F-beta, and that F-beta, (replicates,) each."""
        # Between two mated distances only false positives are added, so the best is at a mated one.
        distances, mated, non_mated = self._pairs._mated_steps
        if not len(distances):
            return np.full(len(self._row), np.nan), np.full(len(self._row), np.nan)
        true, false = self._mated[:, mated], self._non_mated[:, non_mated]
        f = _share((1 + beta**2) * true, true + false + beta**2 * self._mated[:, -1:])
        best = f.argmax(axis=1)
        return distances[best] + self._nan, f[self._row, best] + self._nan


def compare_pairs(vectors: ArrayLike, labels: ArrayLike, seed: int = 0) -> PairComparisons:
    """Compare every two photos for verification (1:1).

    Args:
        vectors: (n, dim) float unit rows.
        labels: (n,) names or numbers of the people.
        seed: of the random draw of pairs, if there are more than 2,000,000 of a kind.

    Returns:
        The distances, with figures such as `.at_fmr(fmr)` and `.eer()`.

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
    """Return the number of non-mated pairs of which one is a share `fmr`: 1 / FMR, rounded up.

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
