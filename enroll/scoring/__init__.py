"""Score how alike a query and a person are, from the person's templates.

Smaller scores are more alike, for every scorer, so that the nearest person, a threshold and a margin work for
all of them the same way. Each module has one family of scorers; their accuracy is measured in
docs/scoring.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enroll.scoring.base import Scorer

SCORERS = {
    "nearest": "enroll.scoring.nearest",
    "k-nearest": "enroll.scoring.nearest",
    "mean": "enroll.scoring.mean",
    "nearest+mean": "enroll.scoring.mean",
    "margin": "enroll.scoring.margin",
    "cohort": "enroll.scoring.cohort",
    "z-norm": "enroll.scoring.normalization",
    "t-norm": "enroll.scoring.normalization",
    "s-norm": "enroll.scoring.normalization",
}


def get_scorer(name: str) -> Scorer:
    """Return the scorer of a name, with its parameters at their defaults.

    Args:
        name: `nearest`, `k-nearest`, `mean`, `nearest+mean`, `margin`, `cohort`, `z-norm`, `t-norm` or
            `s-norm` (docs/scoring.md).

    Raises:
        ValueError: there is none of this name.

    Example:
        >>> get_scorer("k-nearest").k
        3
    """
    if name not in SCORERS:
        raise ValueError(f"expected a scorer of {', '.join(SCORERS)}, got {name!r}")
    scorer: Scorer = importlib.import_module(SCORERS[name]).build_scorer(name)
    return scorer
