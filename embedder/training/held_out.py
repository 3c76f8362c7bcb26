"""How well features tell held-out people apart; computed outside the training graph."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import Threshold
from embedder.metrics import Searches, leave_one_out, squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_DISTANCE = 1e-3  # two copies of one picture; their logarithm would be infinite


@dataclass(frozen=True, order=True)
class Score:
    """Open-set figures of held-out people; compares in the order of its fields.

    Attributes:
        tpir: share of mated searches answered rightly at the target FPIR.
        rank1: share of mated searches whose nearest template is the right person's.
        decidability: d' = |μ_other - μ_own| / sqrt((σ²_other + σ²_own) / 2) of the two kinds of nearest
            distances (Daugman 2000); tells models apart where the shares are all 1.
    """

    tpir: float
    rank1: float
    decidability: float

    @property
    def shares(self) -> tuple[float, float]:
        """TPIR and rank-1, what a user feels."""
        return self.tpir, self.rank1


def score(vectors: NDArray[np.float32], labels: NDArray[np.int32], target_fpir: float) -> Score:
    """Score unit vectors (n, dim) of people with at least two photos each."""
    searches = leave_one_out(vectors, labels)
    return Score(searches.tpir(target_fpir), searches.rank1, _decidability(searches))


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
    squared = squared_distances(vectors, vectors)
    nearest = np.stack([squared[:, labels == person].min(axis=1) for person in people], axis=1)
    strangers = np.arange(len(people)) != inverse[:, None]
    logarithms = np.log(np.maximum(np.sqrt(nearest[strangers]), _NO_DISTANCE))
    quantile = NormalDist().inv_cdf(1 - (1 - target_fpir) ** (1 / gallery))
    distance = float(np.exp(logarithms.mean() + quantile * logarithms.std()))
    return Threshold(
        distance=min(distance, 2.0),
        target_fpir=target_fpir,
        gallery_identities=gallery,
        searches=len(labels),
        people=len(people),
    )


def _decidability(searches: Searches) -> float:
    spread = np.sqrt((searches.non_mated.var() + searches.mated.var()) / 2)
    return float(abs(searches.non_mated.mean() - searches.mated.mean()) / max(spread, 1e-12))
