"""Medians and ratios of measurements that took turns: ours, theirs, ours, theirs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    """How much longer one took than the other: the median over turns, the smallest and the largest."""

    median: float
    lowest: float
    highest: float


def ratio(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """Compare turn by turn, so that what slows both down for a while cancels out.

    Raises:
        ValueError: not as many turns of both, or none.
    """
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    if not ratios:
        raise ValueError("no turns to compare")
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))
