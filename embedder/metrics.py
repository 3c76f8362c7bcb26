"""Compute distances of unit vectors, identification error rates, and confidence bounds.

The terms are those of ISO/IEC 19795-1: a *mated* search is one for an enrolled person, a *non-mated* search
one for a stranger. FPIR (false positive identification rate) is the share of non-mated searches that
return anyone, TPIR (true positive identification rate) the share of mated searches that return the right
identity within the threshold.

Photos of one person resemble each other, so ten photos of one person say less than ten of ten people. Where
photos are counted, intervals come from resampling the people, with all their photos (the subset bootstrap
of Bolle, Ratha and Pankanti 2004, "Error analysis of pattern recognition systems: the subsets bootstrap").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_BLOCK = 2**22  # distances computed at a time: 32 MB of float64
_PAIRS_AT_ONCE = 2**14  # whose vectors are in memory at once
CONFIDENCE = 0.95  # of bounds and intervals, unless another is given


@dataclass(frozen=True)
class OpenSetScores:
    """Holds the nearest templates of open-set searches, before a threshold is applied.

    Attributes:
        correct: (mated,) bool, whether the nearest template of each mated search is of the right person.
        mated: (mated,) float64, distance to the nearest template of each mated search.
        non_mated: (searches,) float64, distance to the nearest template of each non-mated search.

    Example:
        >>> scores = OpenSetScores(np.array([True, True]), np.array([0.2, 0.7]), np.array([0.5, 0.6]))
        >>> scores.rank1, scores.tpir(fpir=0.0)
        (1.0, 0.5)
    """

    correct: NDArray[np.bool_]
    mated: NDArray[np.float64]
    non_mated: NDArray[np.float64]

    @classmethod
    def of_nearest(cls, own: NDArray[np.float64], other: NDArray[np.float64]) -> OpenSetScores:
        """Make the scores of `leave_one_out` from the distances of `nearest_own_and_other`.

        Args:
            own: (n,) distance from each sample to the nearest other one of its person; infinity if none.
            other: (n,) distance from each sample to the nearest one of another person.
        """
        mated = np.isfinite(own)
        return cls((own < other)[mated], np.minimum(own, other)[mated], other)

    @property
    def rank1(self) -> float:
        """Share of mated searches whose nearest template is of the right person; NaN of none."""
        return float(self.correct.mean()) if len(self.correct) else float("nan")

    def tpir(self, fpir: float) -> float:
        """Compute the TPIR at the largest threshold whose FPIR here is at most `fpir`, 0 to 1."""
        if not len(self.correct):
            return float("nan")
        return float((self.correct & (self.mated <= threshold_at_fpir(self.non_mated, fpir))).mean())


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the squared Euclidean distances between all rows of two arrays.

    Args:
        a: (n, dim) rows, any float dtype.
        b: (m, dim) rows, any float dtype.

    Returns:
        (n, m) float64.

    Example:
        >>> squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [[25.0, 1.0]]
    """
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    squares: NDArray[np.float64] = (a64**2).sum(1)[:, None] + (b64**2).sum(1)[None]
    a64 *= 2
    squares -= a64 @ b64.T  # in place: new memory takes longer than what is computed
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
    """Divide the rows of a (count, count) matrix into blocks of at most 32 MB of float64.

    Example:
        >>> [(rows.start, rows.stop) for rows in blocks_of_rows(5000)][:2]
        [(0, 838), (838, 1676)]
    """
    step = max(1, _BLOCK // max(count, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def threshold_at_fpir(non_mated: NDArray[np.floating], fpir: float) -> float:
    """Find the largest threshold within which at most a share of non-mated searches lie.

    A name is given when the distance is at most the threshold, so the threshold lies just below the first
    distance at which no name may be given.

    Args:
        non_mated: (searches,) distance to the nearest template of each non-mated search.
        fpir: largest share of the searches that may give a name, 0 to 1.

    Returns:
        The threshold; infinity if every search may give a name.

    Raises:
        ValueError: there is no search.

    Example:
        >>> 0.6 < threshold_at_fpir(np.array([0.5, 0.6, 0.7, 0.8]), fpir=0.5) < 0.7
        True
    """
    if not len(non_mated):
        raise ValueError("expected at least one non-mated search, received none")
    limit = first_refused(non_mated, fpir)
    return limit if np.isinf(limit) else float(np.nextafter(limit, -np.inf))


def first_refused(non_mated: NDArray[np.floating], fpir: float) -> float:
    """Find the smallest distance of a non-mated search that must not give a name.

    Args:
        non_mated: (searches,) distance to the nearest template of each non-mated search.
        fpir: largest share of the searches that may give a name, 0 to 1.

    Returns:
        A distance; infinity if every search may give a name.

    Example:
        >>> first_refused(np.array([0.5, 0.6, 0.7, 0.8]), fpir=0.5)
        0.7
    """
    allowed = int(np.floor(fpir * len(non_mated) + 1e-9))  # in floating point 0.29 * 100 is less than 29
    return float(np.partition(non_mated, allowed)[allowed]) if allowed < len(non_mated) else float("inf")


def nearest_own_and_other(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    templates: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute each row's distances to the nearest row of the same person and of another one.

    Args:
        vectors: (n, dim) rows of unit length.
        labels: (n,) integer label of each row's person.
        templates: (n, dim) rows of unit length that are searched instead of `vectors`: the same photos in the
            same order, such as copies of better quality; None: `vectors`.

    Returns:
        Two (n,) float64 arrays; infinity where there is no such row.

    Example:
        >>> own, other = nearest_own_and_other(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1]))
        >>> own.tolist()[:2], other.round(3).tolist()
        ([0.0, 0.0], [1.414, 1.414, 1.414])
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
    """Compute the TPIR at the largest threshold that names at most a share of strangers.

    Args:
        own: (n,) distance from each sample to the nearest other sample of its person; infinity if none.
        other: (n,) distance to the nearest sample of another person; see `nearest_own_and_other`.
        fpir: largest share of non-mated searches that may give a name, 0 to 1.

    Returns:
        The TPIR, 0 to 1; NaN if no person has two samples.

    Example:
        >>> tpir_at_fpir(np.array([0.1, 0.2, 0.9]), np.array([0.5, 0.6, 0.4]), fpir=0.0)
        0.6666666666666666
    """
    return OpenSetScores.of_nearest(np.asarray(own, np.float64), np.asarray(other, np.float64)).tpir(fpir)


def rank_1(own: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Compute the share of mated searches whose nearest template is of the right person.

    Args:
        own: (n,) distance from each sample to the nearest other sample of its person; infinity if none.
        other: (n,) distance to the nearest sample of another person.

    Returns:
        The share, 0 to 1; NaN if no person has two samples.

    Example:
        >>> rank_1(np.array([0.1, 0.2, 0.9, np.inf]), np.array([0.5, 0.6, 0.4, 0.3]))
        0.6666666666666666
    """
    return OpenSetScores.of_nearest(np.asarray(own, np.float64), np.asarray(other, np.float64)).rank1


def leave_one_out(vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> OpenSetScores:
    """Search every sample among all others, once with its person enrolled and once without.

    No random split is needed, so results of two models differ by their vectors alone. A person with one
    sample gives a non-mated search only.

    Args:
        vectors: (n, dim) rows of unit length.
        labels: (n,) integer label of each row's person; at least two people.

    Returns:
        Scores of the searches, in the order of the rows.

    Example:
        >>> leave_one_out(np.eye(3)[[0, 0, 1]], np.array([0, 0, 1])).rank1
        1.0
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
    """Enroll some photos of known people, and search with their other photos and strangers'.

    Args:
        vectors: (n, dim) rows of unit length.
        labels: (n,) integer label of each row's person.
        known: labels of the people to enroll; each needs more than `enrolled` rows.
        strangers: labels of the people who are searched for but not enrolled.
        enrolled: number of templates per enrolled person, drawn at random.
        rng: generator that draws the templates.
        templates: (n, dim) rows of unit length that are enrolled instead of `vectors`: the same photos in the
            same order, such as copies of better quality; None: `vectors`.

    Example:
        >>> vectors, labels = np.eye(3)[[0, 0, 1]], np.array([0, 0, 1])
        >>> gallery_searches(vectors, labels, [0], [1], 1, np.random.default_rng(0)).mated.tolist()
        [0.0]
    """
    templates = vectors if templates is None else templates
    drawn = [rng.permutation(np.flatnonzero(labels == identity)) for identity in known]
    gallery = np.concatenate([rows[:enrolled] for rows in drawn])
    probes = np.concatenate([rows[enrolled:] for rows in drawn])
    stranger_rows = np.flatnonzero(np.isin(labels, strangers))
    mated = squared_distances(vectors[probes], templates[gallery])
    nearest = mated.argmin(1)
    return OpenSetScores(
        labels[gallery][nearest] == labels[probes],
        np.sqrt(mated.min(1)),
        np.sqrt(squared_distances(vectors[stranger_rows], templates[gallery]).min(1)),
    )


def upper_bound(hits: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Compute the one-sided upper confidence bound of a share that was counted.

    Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial". With no hits it is about 3 / trials, the rule of three.

    Args:
        hits: number of trials that hit, 0 to `trials`.
        trials: number of independent trials.
        confidence: probability with which the share is at most the bound.

    Example:
        >>> round(upper_bound(0, 300), 4)
        0.0099
    """
    from scipy.stats import beta

    return 1.0 if hits >= trials else float(beta.ppf(confidence, hits + 1, trials - hits))


def trials_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """Compute how many trials without a hit bound a share: ln(1 - confidence) / ln(1 - share).

    Example:
        >>> trials_needed(0.01)
        299
    """
    return int(np.ceil(np.log1p(-confidence) / np.log1p(-share)))


def trials_of_one(share: float) -> int:
    """Compute how many trials there must be for one of them to be a share: 1 / share.

    Example:
        >>> trials_of_one(0.01)
        100
    """
    return int(np.ceil(1 / share - 1e-9))  # 1 / (1 / 49) is more than 49


def identity_weights(people: int, replicates: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw people with replacement, for bootstrap samples of them.

    Args:
        people: number of people.
        replicates: number of bootstrap samples.
        rng: generator that draws.

    Returns:
        (replicates, people) float64: how often each person is drawn; rows sum to `people`.

    Example:
        >>> identity_weights(5, 2, np.random.default_rng(0)).sum(axis=1).tolist()
        [5.0, 5.0]
    """
    return rng.multinomial(people, np.full(people, 1 / people), size=replicates).astype(np.float64)


def interval(values: NDArray[np.float64], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Compute the percentile interval of bootstrap values, without those not finite.

    Args:
        values: (replicates,) float64.
        confidence: share of the values within the interval.

    Returns:
        Lower and upper end; NaN if no value is finite.

    Example:
        >>> [round(end, 3) for end in interval(np.arange(101.0), confidence=0.9)]
        [5.0, 95.0]
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def unit_vectors(features: NDArray[np.float32], mirrored: bool) -> NDArray[np.float32]:
    """Scale features to unit length, and average each picture with its mirror picture.

    Args:
        features: (n, dim) float32; (2n, dim) if `mirrored`: all pictures, then all mirror pictures.
        mirrored: whether the second half of the rows are mirror pictures.

    Returns:
        (n, dim) float32, rows of unit length.

    Raises:
        ModelError: a row is zero or not finite.

    Example:
        >>> vectors = unit_vectors(np.array([[3.0, 4.0]], np.float32), mirrored=False)
        >>> [round(float(number), 3) for number in vectors[0]]
        [0.6, 0.8]
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
