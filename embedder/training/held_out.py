"""How well features tell held-out people apart; computed outside the training graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import Threshold
from embedder.metrics import (
    Searches,
    fpir_upper_bound,
    leave_one_out,
    squared_distances,
    threshold_at_fpir,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    vectors: NDArray[np.float32],
    labels: NDArray[np.int32],
    unseen: NDArray[np.intp],
    target_fpir: float,
) -> Threshold | None:
    """Choose the largest distance that keeps people the model has not met from being named.

    Each photo of theirs is searched for in a gallery of everyone else, those who were learned from too: FPIR
    grows with the gallery, and a gallery of only the few who were held out would promise too much. With
    fewer than 1 / target searches not one may pass; the bound says what that proves.

    Args:
        vectors: (n, dim) unit rows of all photos.
        labels: (n,) identity of each.
        unseen: rows of people who were not learned from.
        target_fpir: share of those searches that may pass.

    Returns:
        None if there is no such search.
    """
    if not len(unseen) or len(np.unique(labels)) < 2:
        return None
    squared = squared_distances(vectors[unseen], vectors)
    squared[labels[unseen][:, None] == labels[None]] = np.inf
    non_mated = np.sqrt(squared.min(axis=1))
    distance = max(0.0, threshold_at_fpir(non_mated, target_fpir))
    return Threshold(
        distance=min(distance, 2.0),
        target_fpir=target_fpir,
        searches=len(non_mated),
        gallery_identities=len(np.unique(labels)) - 1,
        fpir_upper=fpir_upper_bound(len(non_mated), int((non_mated <= distance).sum())),
    )


def _decidability(searches: Searches) -> float:
    spread = np.sqrt((searches.non_mated.var() + searches.mated.var()) / 2)
    return float(abs(searches.non_mated.mean() - searches.mated.mean()) / max(spread, 1e-12))
