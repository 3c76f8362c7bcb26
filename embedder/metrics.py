"""Unit vectors, distances, error rates of identification, and how sure they are.

The words are those of ISO/IEC 19795-1: a *mated* search looks for someone enrolled, a *non-mated* search
for someone who is not. FPIR (false positive identification rate) is the share of non-mated searches that
return anyone, TPIR (true positive identification rate) the share of mated searches that return the right
identity within the threshold.

Photos of one person resemble each other, so ten photos of one person say less than ten of ten people. Where
photos are counted, intervals come from resampling the people, with all their photos (the subset bootstrap
of Bolle, Ratha and Pankanti 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


_BLOCK = 2**22  # distances at a time, 32 MB
_PAIRS_AT_ONCE = 2**14  # whose vectors are in memory at once

CONFIDENCE = 0.95


@dataclass(frozen=True)
class OpenSetScores:
    """Outcomes of searches in galleries, before any threshold.

    Attributes:
        correct: (mated,) bool; the nearest template is of the right identity.
        mated: (mated,) float64; distance of the nearest template of a mated search.
        non_mated: (searches,) float64; distance of the nearest template of a non-mated search.
    """

    correct: NDArray[np.bool_]
    mated: NDArray[np.float64]
    non_mated: NDArray[np.float64]

    @classmethod
    def of_nearest(cls, own: NDArray[np.float64], other: NDArray[np.float64]) -> OpenSetScores:
        """Search each sample against all others, see `leave_one_out`, by its `nearest_own_and_other`."""
        mated = np.isfinite(own)
        return cls((own < other)[mated], np.minimum(own, other)[mated], other)

    @property
    def rank1(self) -> float:
        """Share of mated searches whose nearest template is of the right identity."""
        return float(self.correct.mean()) if len(self.correct) else float("nan")

    def tpir(self, fpir: float) -> float:
        """TPIR at the largest threshold whose FPIR on these searches is at most `fpir`."""
        if not len(self.correct):
            return float("nan")
        return float((self.correct & (self.mated <= threshold_at_fpir(self.non_mated, fpir))).mean())


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """All squared euclidean distances between the rows of (n, dim) and (m, dim), as (n, m) float64."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    squares: NDArray[np.float64] = (a64**2).sum(1)[:, None] + (b64**2).sum(1)[None]
    products = a64 @ b64.T
    products *= 2
    squares -= products  # in place: new memory takes longer than what is computed
    return np.maximum(squares, 0.0, out=squares)


def pair_distances(
    first: NDArray[np.floating], a: NDArray[np.intp], second: NDArray[np.floating], b: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Compare rows a[k] of the first vectors and b[k] of the second: (pairs,) euclidean distances."""
    distances = np.empty(len(a))
    for start in range(0, len(a), _PAIRS_AT_ONCE):
        now = slice(start, start + _PAIRS_AT_ONCE)
        apart = first[a[now]].astype(np.float64) - second[b[now]]
        distances[now] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return distances


def blocks_of_rows(count: int) -> Iterator[slice]:
    """Divide the rows of a (count, count) matrix, so that a few blocks of float64 fit into any memory."""
    step = max(1, _BLOCK // max(count, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def threshold_at_fpir(non_mated: NDArray[np.floating], fpir: float) -> float:
    """Largest threshold that at most a share `fpir` of the non-mated searches passes.

    A search passes when its distance is at most the threshold, so the threshold lies just below the first
    distance that must not pass.

    Args:
        non_mated: (searches,) distance of the nearest template of each non-mated search.
        fpir: the share allowed, 0 to 1.

    Returns:
        The threshold; infinity when every search may pass.

    Raises:
        ValueError: there is no search.
    """
    if not len(non_mated):
        raise ValueError("expected at least one non-mated search, received none")
    limit = first_refused(non_mated, fpir)
    return limit if np.isinf(limit) else float(np.nextafter(limit, -np.inf))


def first_refused(non_mated: NDArray[np.floating], fpir: float) -> float:
    """Give the smallest distance of a non-mated search that must not be named, or infinity if all may be.

    Args:
        non_mated: (searches,) distance of the nearest template of each non-mated search.
        fpir: share of the searches that may be named, 0 to 1.
    """
    allowed = int(np.floor(fpir * len(non_mated) + 1e-9))  # in floating point 0.29 * 100 is less than 29
    return float(np.partition(non_mated, allowed)[allowed]) if allowed < len(non_mated) else float("inf")


def nearest_own_and_other(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    templates: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each row's distance to the nearest other row of its identity, and of any other identity.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) identity of each row.
        templates: (n, dim) unit rows that are searched instead, of the same photos in the same order, as of
            better copies; None: `vectors`.

    Returns:
        Two (n,) arrays; infinity where there is no such row.
    """
    own, other = np.full((2, len(labels)), np.inf)
    searched = vectors if templates is None else templates
    for rows in blocks_of_rows(len(labels)):
        squared = squared_distances(vectors[rows], searched)
        same = labels[rows, None] == labels[None]
        other[rows] = np.where(same, np.inf, squared).min(axis=1)
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf  # itself
        own[rows] = np.where(same, squared, np.inf).min(axis=1)
    return np.sqrt(own), np.sqrt(other)


def tpir_at_fpir(own: NDArray[np.floating], other: NDArray[np.floating], fpir: float) -> float:
    """Compute the TPIR at the largest threshold that names at most a share `fpir` of strangers.

    Args:
        own: (n,) distance from each sample to the nearest other sample of its identity; infinity if none.
        other: (n,) distance to the nearest sample of another identity; see `nearest_own_and_other`.
        fpir: share of non-mated searches that may be named, 0 to 1.

    Returns:
        A share; NaN if no sample has another of its identity.

    Example:
        >>> tpir_at_fpir(np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.6, 0.4]), fpir=0.0)
        0.6666666666666666
    """
    return OpenSetScores.of_nearest(np.asarray(own, np.float64), np.asarray(other, np.float64)).tpir(fpir)


def rank_1(own: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Compute the share of mated searches whose nearest template is of the right identity.

    Args:
        own: (n,), as of `tpir_at_fpir`.
        other: (n,), as of `tpir_at_fpir`.

    Returns:
        A share; NaN if no sample has another of its identity.

    Example:
        >>> rank_1(np.array([0.1, 0.2, 0.9, np.inf]), np.array([0.5, 0.6, 0.4, 0.3]))
        0.6666666666666666
    """
    return OpenSetScores.of_nearest(np.asarray(own, np.float64), np.asarray(other, np.float64)).rank1


def leave_one_out(vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> OpenSetScores:
    """Search every sample against all others, once with its own identity enrolled and once without.

    Uses each held-out photo for both kinds of search and needs no random split, so that two models differ
    only by their vectors. Identities with one sample give non-mated searches only.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) identity of each row; at least two identities.

    Returns:
        The searches, in the order of the rows; galleries hold all other identities.
    """
    return OpenSetScores.of_nearest(*nearest_own_and_other(vectors, labels))


def gallery_searches(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    known: NDArray[np.integer],
    strangers: NDArray[np.integer],
    enrolled: int,
    rng: np.random.Generator,
    templates: NDArray[np.floating] | None = None,
) -> OpenSetScores:
    """Enroll some photos of known people, search with their others and with all photos of strangers.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) identity of each row.
        known: identities to enroll; each needs more than `enrolled` rows.
        strangers: identities that are searched for but not enrolled.
        enrolled: templates per known identity, drawn at random.
        rng: draws them.
        templates: (n, dim) unit rows that are enrolled instead, of the same photos in the same order, as of
            better copies; None: `vectors`.
    """
    templates = vectors if templates is None else templates
    drawn = [rng.permutation(np.flatnonzero(labels == identity)) for identity in known]
    gallery = np.concatenate([rows[:enrolled] for rows in drawn])
    probes = np.concatenate([rows[enrolled:] for rows in drawn])
    others = np.flatnonzero(np.isin(labels, strangers))
    mated = squared_distances(vectors[probes], templates[gallery])
    nearest = mated.argmin(1)
    return OpenSetScores(
        labels[gallery][nearest] == labels[probes],
        np.sqrt(mated.min(1)),
        np.sqrt(squared_distances(vectors[others], templates[gallery]).min(1)),
    )


def upper_bound(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Give the share that is exceeded with a chance of `1 - confidence`, by Clopper and Pearson 1934.

    Of no hits it is about 3 / trials, the rule of three.

    Args:
        hits: how often it happened, 0 to `trials`.
        trials: independent trials.
        confidence: one-sided.
    """
    from scipy.stats import beta

    return 1.0 if hits >= trials else float(beta.ppf(confidence, hits + 1, trials - hits))


def trials_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """Give how many trials without a hit bound a share: ln(1 - confidence) / ln(1 - share), upward."""
    return int(np.ceil(np.log1p(-confidence) / np.log1p(-share)))


def trials_of_one(share: float) -> int:
    """Give how many trials there must be for one of them to be that share: 1 / share, upward."""
    return int(np.ceil(1 / share - 1e-9))  # 1 / (1 / 49) is more than 49


def identity_weights(people: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw people with replacement: (replicates, people) float64, how often each one is drawn."""
    return rng.multinomial(people, np.full(people, 1 / people), size=replicates).astype(np.float64)


def interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the percentile interval of a figure's bootstrap values; those that are NaN count for nothing."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def unit_vectors(features: NDArray[np.float32], mirrored: bool) -> NDArray[np.float32]:
    """Scale features to unit length, averaging each picture with its mirror picture.

    Args:
        features: (n, dim), or (2n, dim) if `mirrored`: all pictures, then all mirror pictures.
        mirrored: whether the second half belongs to mirror pictures.

    Returns:
        (n, dim) float32, rows of unit length.

    Raises:
        ModelError: a row is zero or not finite.
    """
    vectors = _unit(features)
    if mirrored:
        left, right = np.split(vectors, 2)
        vectors = _unit(left + right)
    return vectors


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ModelError("the network gave a vector without a direction (zero or not finite); train it again")
    vectors: NDArray[np.float32] = features / lengths
    return vectors
