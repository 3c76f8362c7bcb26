"""Figures of an open-set search, in numpy alone.

Words are those of ISO/IEC 19795-1: a *mated* search looks for someone enrolled, a *non-mated* search for
someone who is not; FPIR is the share of non-mated searches that return anyone, TPIR the share of mated
searches that return the right identity within the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Searches:
    """Outcomes of searches in galleries, before any threshold.

    Attributes:
        correct: (mated,) bool; the nearest template is of the right identity.
        mated: (mated,) float64; distance of the nearest template of a mated search.
        non_mated: (searches,) float64; distance of the nearest template of a non-mated search.
        gallery_identities: people in each gallery that was searched by a non-mated search.
    """

    correct: NDArray[np.bool_]
    mated: NDArray[np.float64]
    non_mated: NDArray[np.float64]
    gallery_identities: int

    @property
    def rank1(self) -> float:
        """Share of mated searches whose nearest template is of the right identity."""
        return float(self.correct.mean()) if len(self.correct) else float("nan")

    def tpir(self, fpir: float) -> float:
        """TPIR at the largest threshold whose FPIR on these searches is at most `fpir`."""
        if not len(self.correct):
            return float("nan")
        return float((self.correct & (self.mated <= threshold_at_fpir(self.non_mated, fpir))).mean())

    @staticmethod
    def concatenate(parts: Sequence[Searches]) -> Searches:
        """Pool the searches of several galleries of one size."""
        return Searches(
            np.concatenate([part.correct for part in parts]),
            np.concatenate([part.mated for part in parts]),
            np.concatenate([part.non_mated for part in parts]),
            parts[0].gallery_identities,
        )


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """All squared euclidean distances between the rows of (n, dim) and (m, dim), as (n, m) float64."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    norms: NDArray[np.float64] = (a64**2).sum(1)[:, None] + (b64**2).sum(1)[None] - 2 * (a64 @ b64.T)
    return np.maximum(norms, 0.0)


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
    allowed = int(np.floor(fpir * len(non_mated) + 1e-9))
    if allowed >= len(non_mated):
        return float("inf")
    return float(np.nextafter(np.float64(np.partition(non_mated, allowed)[allowed]), -np.inf))


def fpir_upper_bound(searches: int, passed: int = 0, confidence: float = 0.95) -> float:
    """Upper confidence bound of a rate after `passed` of `searches` (Clopper & Pearson 1934).

    Without a pass it is 1 - (1 - confidence)^(1/n), about 3/n at 95 % (the rule of three).
    """
    if passed >= searches:
        return 1.0
    low, high = passed / searches, 1.0
    for _ in range(50):  # bisection of P(X <= passed | rate) = 1 - confidence
        rate = (low + high) / 2
        if _binomial_cdf(passed, searches, rate) > 1 - confidence:
            low = rate
        else:
            high = rate
    return high


def leave_one_out(vectors: NDArray[np.floating], labels: NDArray[np.integer]) -> Searches:
    """Search every sample against all others, once with its own identity enrolled and once without.

    Uses each held-out photo for both kinds of search and needs no random split, so that two models differ
    only by their vectors. Identities with one sample give non-mated searches only.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) identity of each row; at least two identities.

    Returns:
        The searches, in the order of the rows; galleries hold all other identities.
    """
    squared = squared_distances(vectors, vectors)
    same = labels[:, None] == labels[None]
    own = np.where(same & ~np.eye(len(labels), dtype=bool), squared, np.inf).min(1)
    other = np.where(same, np.inf, squared).min(1)
    mated = np.isfinite(own)
    return Searches(
        (own < other)[mated],
        np.sqrt(np.minimum(own, other))[mated],
        np.sqrt(other),
        len(np.unique(labels)) - 1,
    )


def gallery_searches(
    vectors: NDArray[np.floating],
    labels: NDArray[np.integer],
    known: NDArray[np.integer],
    strangers: NDArray[np.integer],
    enrolled: int,
    rng: np.random.Generator,
) -> Searches:
    """Enroll some photos of known people, search with their others and with all photos of strangers.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) identity of each row.
        known: identities to enroll; each needs more than `enrolled` rows.
        strangers: identities that are searched for but not enrolled.
        enrolled: templates per known identity, drawn at random.
        rng: draws them.
    """
    drawn = [rng.permutation(np.flatnonzero(labels == identity)) for identity in known]
    gallery = np.concatenate([rows[:enrolled] for rows in drawn])
    probes = np.concatenate([rows[enrolled:] for rows in drawn])
    others = np.flatnonzero(np.isin(labels, strangers))
    mated = squared_distances(vectors[probes], vectors[gallery])
    nearest = mated.argmin(1)
    return Searches(
        labels[gallery][nearest] == labels[probes],
        np.sqrt(mated.min(1)),
        np.sqrt(squared_distances(vectors[others], vectors[gallery]).min(1)),
        len(known),
    )


def _binomial_cdf(successes: int, trials: int, rate: float) -> float:
    # In logarithms: (1 - rate)^trials is zero in floating point for a million searches.
    choose = math.lgamma(trials + 1)
    return sum(
        math.exp(
            choose
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * math.log(rate)
            + (trials - k) * math.log1p(-rate)
        )
        for k in range(successes + 1)
    )
