"""Draw pairs of samples from all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_pairs(
    begin: NDArray[np.int64], end: NDArray[np.int64], limit: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Pair each row i with rows begin[i] to end[i], or draw `limit` of all these pairs.

    If there are more, one pair is drawn from each of `limit` equally long stretches of the list of all.

    Args:
        begin: (n,) int64, first row that each is paired with.
        end: (n,) int64, the row after the last one.
        limit: largest number of pairs.
        rng: draws them.

    Returns:
        The rows of each pair, (pairs,) int64 twice, and the number of pairs in all.
    """
    last: NDArray[np.int64] = np.cumsum(end - begin)
    total = int(last[-1]) if len(last) else 0
    number = np.arange(min(total, limit))
    if total > limit:
        edges = np.arange(limit + 1) * total // limit
        # Stretches differ in length by one; turning the list makes each pair equally likely all the same.
        number = np.sort((rng.integers(edges[:-1], edges[1:]) + rng.integers(total)) % total)
    i = np.searchsorted(last, number, side="right")
    return i, end[i] - (last[i] - number), total
