"""A figure, its interval, or what it would take to have one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder.intervals import CONFIDENCE, interval, upper_bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Figure:
    """A share or a difference of shares.

    Attributes:
        value: None if the photos cannot support it.
        low, high: 95 % interval, or None.
        needed: what would support it, as "1000 non-mated searches a split", or None.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    needed: str | None = None

    def __str__(self) -> str:
        return format(self)

    def __format__(self, sign: str) -> str:
        """Give it in words; `+` as the format shows the sign, for differences."""
        if self.value is None:
            return f"not supported; needs {self.needed}"
        numbers = [
            f"{number:{sign}.3f}" for number in (self.value, self.low, self.high) if number is not None
        ]
        return numbers[0] if len(numbers) < 3 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def figure(value: float, replicates: NDArray[np.float64], people: int) -> Figure:
    """Give a share with the percentile interval of its bootstrap replicates.

    Where all went right or all wrong, every replicate is the same and says nothing; then the interval is the
    exact one of that many independent people.
    """
    low, high = interval(replicates)
    if low == high and value in (0, 1):
        reach = upper_bound(0, people, (1 + CONFIDENCE) / 2)
        low, high = (0.0, reach) if value == 0 else (1 - reach, 1.0)
    return Figure(float(value), low, high)


def difference(value: float, replicates: NDArray[np.float64]) -> Figure:
    """Give a difference with the percentile interval of its bootstrap replicates."""
    low, high = interval(replicates)
    return Figure(float(value), low, high)


def not_supported(needed: str) -> Figure:
    """Give a figure that needs more, such as "1000 non-mated searches a split"."""
    return Figure(None, needed=needed)
