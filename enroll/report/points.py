"""The numbers that the plots of the report draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from enroll.figures import Figure, figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.evaluation import Evaluation

_RANKS = 10
_BINS = 50


@dataclass(frozen=True, eq=False)
class Line:
    """A figure at several places.

    Attributes:
        x: (n,) rising.
        y: (n,)
        low, high: (n,) 95 % interval.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, x: NDArray[np.generic], figures: list[Figure]) -> Line:
        """Take figures that all have a value; those without an interval have none in the plot either."""
        rows = [
            (entry.value, *((entry.value, entry.value) if entry.low is None else (entry.low, entry.high)))
            for entry in figures
        ]
        y, low, high = np.array(rows, np.float64).reshape(-1, 3).T
        return cls(x.astype(np.float64), y, low, high)


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances of the nearest template in the searches of all splits.

    Attributes:
        right: of mated searches, the nearest template is of the right person.
        wrong: of mated searches, it is of another.
        non_mated: of non-mated searches.
        mated: how many mated searches there were, also those that found nothing.
        without: searches that found nothing, since there was no face; they are in none of the first three.
    """

    right: NDArray[np.float64]
    wrong: NDArray[np.float64]
    non_mated: NDArray[np.float64]
    mated: int
    without: int

    def edges(self) -> NDArray[np.float64]:
        """Give the borders of bins that hold all of them."""
        every = np.concatenate([self.right, self.wrong, self.non_mated])
        return np.linspace(0, every.max() * (1 + 1e-9) if len(every) and every.max() else 1, _BINS + 1)


def det(evaluation: Evaluation) -> Line:
    """FNIR at FPIRs from one non-mated search to all of them, in steps of one search."""
    fpirs, values = evaluation.curve()
    weights, people = evaluation.weights(), len(evaluation.folder.identities)
    figures = [
        figure(value, 1 - evaluation.tpir_replicates(fpir, weights), people)
        for fpir, value in zip(fpirs.tolist(), values.tolist(), strict=True)
    ]
    line = Line.of(fpirs, figures)
    # FNIR falls with FPIR: what bounds it at one FPIR bounds it at larger ones, also where no search failed
    # and the interval is that of so many people.
    return replace(line, high=np.fmin.accumulate(line.high))


def cmc(evaluation: Evaluation) -> Line:
    """Rank-k for the first ranks."""
    ranks = np.arange(1, min(_RANKS, len(evaluation.splits[0].known)) + 1)
    weights, people = evaluation.weights(), len(evaluation.folder.identities)
    once = np.ones((1, people))
    figures = [
        figure(evaluation.rank_replicates(k, once)[0], evaluation.rank_replicates(k, weights), people)
        for k in ranks.tolist()
    ]
    line = Line.of(ranks, figures)
    return replace(line, low=np.fmax.accumulate(line.low))  # it rises with k, as in `det`


def distances(evaluation: Evaluation) -> Distances:
    """Gather the nearest distances of all splits."""
    mated = np.concatenate([split.distance for split in evaluation.splits])
    rank = np.concatenate([split.rank for split in evaluation.splits])
    others = np.concatenate([split.other_distance for split in evaluation.splits])
    there = np.isfinite(mated)
    return Distances(
        right=mated[there & (rank == 1)],
        wrong=mated[there & (rank != 1)],
        non_mated=others[np.isfinite(others)],
        mated=len(mated),
        without=int((~there).sum() + (~np.isfinite(others)).sum()),
    )


def median_limit(evaluation: Evaluation, fpir: float) -> float:
    """Give the median of the splits' thresholds for an FPIR."""
    return float(np.median([split.limit(fpir) for split in evaluation.splits]))
