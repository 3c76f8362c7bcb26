"""How well features tell held-out people apart; computed outside the training graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import Threshold
from embedder.metrics import Searches, blocks_of_rows, nearest_own_and_other, squared_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NO_DISTANCE = 1e-3  # two copies of one picture; their logarithm would be infinite


@dataclass(frozen=True)
class Score:
    """Open-set figures of held-out people.

    Attributes:
        tpir: share of mated searches answered rightly at the target FPIR.
        rank1: share of mated searches whose nearest template is the right person's.
        separation: mean over photos of ln(distance to the nearest other person / distance to the nearest
            own photo); it goes on telling models apart where the shares are all 1.
        searches: mated searches behind the shares.
    """

    tpir: float
    rank1: float
    separation: float
    searches: int

    @property
    def shares(self) -> tuple[float, float]:
        """TPIR and rank-1, what a user feels."""
        return self.tpir, self.rank1


def score(vectors: NDArray[np.float32], labels: NDArray[np.int32], target_fpir: float) -> Score:
    """Score unit vectors (n, dim) of people with at least two photos each, one photo left out at a time."""
    nearest = nearest_own_and_other(vectors, labels)
    searches = Searches.of_nearest(*nearest)
    own, other = (np.log(np.maximum(distances, _NO_DISTANCE)) for distances in nearest)
    separation = float((other - own).mean())
    return Score(searches.tpir(target_fpir), searches.rank1, separation, len(searches.correct))


def mean_score(scores: Sequence[Score]) -> Score:
    """Give the mean of scores of the same people; as many searches as one of them has stand behind it."""
    tpir, rank1, separation = (
        sum(getattr(entry, name) for entry in scores) / len(scores)
        for name in ("tpir", "rank1", "separation")
    )
    return Score(tpir, rank1, separation, scores[0].searches)


def is_better(now: Score, earlier: Sequence[Score], best: Score) -> bool:
    """Say whether an epoch is better than the best one before it.

    With a few dozen searches TPIR jumps by chance from epoch to epoch. So an epoch qualifies if its TPIR is
    at most one standard error below the highest so far (the rule of Breiman et al. 1984 for pruning trees),
    and among those the separation decides; see docs/decisions/004.

    Args:
        now: the score of this epoch.
        earlier: the scores of all epochs before it.
        best: the one of them that was best.
    """
    highest = max(entry.tpir for entry in [*earlier, now])
    share = (highest * now.searches + 1) / (now.searches + 2)  # no share is certain (Laplace)
    bar = highest - math.sqrt(share * (1 - share) / now.searches) - 1e-9
    if best.tpir < bar:
        return True
    return now.tpir >= bar and now.separation > best.separation


def first_threshold(
    vectors: NDArray[np.float32], labels: NDArray[np.int32], target_fpir: float, gallery: int
) -> Threshold | None:
    """Estimate the distance at which a share `target_fpir` of strangers is named in a gallery of some size.

    The held-out people are few, so their searches alone say nothing about one stranger in a hundred in a
    gallery of twenty. Instead the distances from each photo to each other person's nearest photo are taken
    as log-normal with distribution function F, and the gallery's people as independent:
    FPIR(t) = 1 - (1 - F(t))^gallery. See docs/decisions/003.

    Args:
        vectors: (n, dim) unit rows, of people who were not learned from.
        labels: (n,) identity of each.
        target_fpir: share of strangers that may be named.
        gallery: people in the gallery it is meant for.

    Returns:
        None if there are fewer than two people.
    """
    people, inverse = np.unique(labels, return_inverse=True)
    if len(people) < 2:
        return None
    by_person = np.argsort(inverse, kind="stable")
    vectors, inverse = vectors[by_person], inverse[by_person]
    first = np.searchsorted(inverse, np.arange(len(people)))
    total = squares = 0.0
    for rows in blocks_of_rows(len(labels)):
        nearest = np.minimum.reduceat(squared_distances(vectors[rows], vectors), first, axis=1)
        strangers = np.arange(len(people)) != inverse[rows, None]
        logarithms = np.log(np.maximum(np.sqrt(nearest[strangers]), _NO_DISTANCE))
        total, squares = total + logarithms.sum(), squares + (logarithms**2).sum()
    mean = total / (len(labels) * (len(people) - 1))
    deviation = math.sqrt(max(0.0, squares / (len(labels) * (len(people) - 1)) - mean**2))
    quantile = NormalDist().inv_cdf(1 - (1 - target_fpir) ** (1 / gallery))
    distance = math.exp(mean + quantile * deviation)
    return Threshold(
        distance=min(distance, 2.0),
        target_fpir=target_fpir,
        gallery_identities=gallery,
        searches=len(labels),
        people=len(people),
    )
