"""Give shares and differences of shares with their bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder.metrics import CONFIDENCE, interval, upper_bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """Holds a share or a difference of shares, with its interval.

    Attributes:
        value: None if there are too few photos for it.
        low, high: ends of the 95 % interval, or None.
        needed: what is needed for it, as "1000 non-mated searches a split", or None.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    needed: str | None = None

    def __str__(self) -> str:
        return format(self)

    def __format__(self, sign: str) -> str:
        """Format as text; the format `+` shows the sign, for differences."""
        if self.value is None:
            return f"not supported; needs {self.needed}"
        numbers = [
            f"{number:{sign}z.3f}" for number in (self.value, self.low, self.high) if number is not None
        ]
        return numbers[0] if len(numbers) < 3 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def figure(value: float, replicates: NDArray[np.float64], people: int) -> Estimate:
    """Return a share with the percentile interval of its bootstrap replicates.

    Where the share is 0 or 1, every replicate is the same and gives no interval; then it is the exact one of
    as many independent people.

    Args:
        value: the share, 0 to 1.
        replicates: (replicates,) float64, the share in each.
        people: number of people.
    """
    low, high = interval(replicates)
    if low == high and value in (0, 1):
        reach = upper_bound(0, people, (1 + CONFIDENCE) / 2)
        low, high = (0.0, reach) if value == 0 else (1 - reach, 1.0)
    return Estimate(float(value), low, high)


def difference(value: float, replicates: NDArray[np.float64]) -> Estimate:
    """Return a difference with the percentile interval of its bootstrap replicates.

    Args:
        value: the difference.
        replicates: (replicates,) float64, the difference in each.
    """
    low, high = interval(replicates)
    return Estimate(float(value), low, high)


def insufficient(needed: str) -> Estimate:
    """Return an estimate without a value, and what is needed for one."""
    return Estimate(None, needed=needed)
