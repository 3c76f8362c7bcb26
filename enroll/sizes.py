"""FPIR against the number of enrolled people, at one threshold for all.

Of sub-galleries none is drawn: of n people m of whom a stranger comes near enough to, a random part of k
people has none of the m with probability C(n - m, k) / C(n, k). That gives the mean over all sub-galleries
of k people, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import squared_distances
from enroll.figures import Figure, figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.embedded import EmbeddedFolder
    from enroll.evaluation import Evaluation, Split

_PAIRS_AT_ONCE = 4_000_000  # distances in memory: 32 MB


@dataclass(frozen=True)
class BySize:
    """FPIR in galleries of several sizes.

    Attributes:
        limit: a search names someone when its nearest template is nearer than this.
        people: enrolled people, rising; the last is the gallery of a split.
        fpir: of each size.
        fmr: share of comparisons of a stranger's photo with an enrolled person that pass.
    """

    limit: float
    people: tuple[int, ...]
    fpir: tuple[Figure, ...]
    fmr: float

    def expected(self, people: NDArray[np.integer]) -> NDArray[np.float64]:
        """Give the FPIR if comparisons were independent, 1 - (1 - FMR)^N."""
        return np.asarray(-np.expm1(people * np.log1p(-self.fmr))) if self.fmr < 1 else np.ones(len(people))


def fpir_by_size(evaluation: Evaluation, limit: float) -> BySize:
    """Measure the FPIR of smaller galleries, mean over all of a size and over the splits.

    Args:
        evaluation: the splits.
        limit: first distance that does not pass, as `Split.limit` gives it.
    """
    folder, known = evaluation.folder, len(evaluation.splits[0].known)
    sizes = gallery_sizes(known)
    weights = np.vstack([np.ones(len(folder.identities)), evaluation.weights()])
    total = np.zeros((len(weights), len(sizes)))
    splits = np.zeros((len(weights), 1))
    for split in evaluation.splits:
        named = _named(_near_people(folder, split, limit), known, sizes)
        drawn = weights[:, folder.labels[split.non_mated]]
        all_drawn = drawn.sum(axis=1, keepdims=True)
        total += drawn @ named / np.maximum(all_drawn, 1)
        splits += all_drawn > 0  # a replicate may have drawn no stranger of a split
    with np.errstate(invalid="ignore"):
        shares = total / splits
    figures = [figure(column[0], column[1:], len(folder.identities)) for column in shares.T]
    return BySize(limit, sizes, tuple(figures), float(shares[0, 0]))


def gallery_sizes(known: int) -> tuple[int, ...]:
    """Give 1, 2, 5, 10, 20, 50, ... below a number of people, and that number."""
    steps = [step * 10**power for power in range(len(str(known))) for step in (1, 2, 5)]
    return (*(step for step in steps if step < known), known)


def _near_people(folder: EmbeddedFolder, split: Split, limit: float) -> NDArray[np.int64]:
    """Count the people that each non-mated search comes near enough to, (non_mated,)."""
    near = np.zeros(len(split.non_mated), np.int64)
    gallery = split.enrolled[folder.enrollable[split.enrolled]]
    if not len(gallery):
        return near
    gallery = gallery[np.argsort(folder.labels[gallery], kind="stable")]
    starts = np.unique(folder.labels[gallery], return_index=True)[1]
    found = np.flatnonzero(folder.found[split.non_mated])
    step = max(1, _PAIRS_AT_ONCE // len(gallery))
    for start in range(0, len(found), step):
        rows = found[start : start + step]
        squared = squared_distances(folder.vectors[split.non_mated[rows]], folder.vectors[gallery])
        near[rows] = (np.sqrt(np.minimum.reduceat(squared, starts, axis=1)) < limit).sum(axis=1)
    return near


def _named(near: NDArray[np.int64], known: int, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """Share of the sub-galleries of each size in which a search names someone, (searches, sizes)."""
    counts, search = np.unique(near, return_inverse=True)
    people = np.arange(known)
    # C(n - m, k) / C(n, k), as a product over the k people drawn one after another.
    factors = np.clip((known - counts[:, None] - people) / (known - people), 0, None)
    return np.asarray(1 - np.cumprod(factors, axis=1)[:, np.array(sizes) - 1][search])
