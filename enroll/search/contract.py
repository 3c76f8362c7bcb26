"""What finds templates near a query: a fitted index here, or the engine that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Found:
    """Templates near one query, in any order.

    Attributes:
        ids: (k,) int64.
        identities: (k,) object, names.
        vectors: (k, dim) float32 unit rows: what exact distances are computed from.
        reach: every template nearer than this is among them; infinite if all templates are.
    """

    ids: NDArray[np.int64]
    identities: NDArray[np.object_]
    vectors: NDArray[np.float32]
    reach: float


class Finder(Protocol):
    """Finds nearest templates.

    Attributes:
        templates: how many there are.
        people: how many identities there are.
    """

    templates: int
    people: int

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Found]:
        """Find at least the `count` nearest templates of each query, or all if there are fewer.

        Args:
            queries: (n, dim) float32 unit rows.
            count: at least 1.
        """
