"""What finds templates near a query: a fitted index here, or the engine that keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from enroll.search.pool import Pool
    from enroll.store.contract import Templates

INDEXES = ("exact", "approximate")


@dataclass(frozen=True)
class Found:
    """Templates near one query, in any order.

    Attributes:
        ids: (k,) int64.
        identities: (k,) object, names.
        vectors: (k, dim) float32 unit rows: what exact distances are computed from.
        reach: every template nearer than this is among them; infinite if all templates are. An approximate
            index may miss some, as often as its recall says.
    """

    ids: NDArray[np.int64]
    identities: NDArray[np.object_]
    vectors: NDArray[np.float32]
    reach: float


class Finder(Protocol):
    """Finds nearest templates."""

    @property
    def templates(self) -> int:
        """How many there are."""

    @property
    def people(self) -> int:
        """How many identities they are of."""

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Found]:
        """Find at least the `count` nearest templates of each query, or all if there are fewer.

        Args:
            queries: (n, dim) float32 unit rows.
            count: at least 1.
        """


class Index(Finder, Protocol):
    """A finder of this process, which more templates can be added to."""

    @property
    def pool(self) -> Pool:
        """What is searched."""

    def extend(self, more: Templates) -> None:
        """Add templates with ids above all that are there; costs the same whatever is there, amortized."""
