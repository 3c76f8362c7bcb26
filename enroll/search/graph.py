"""The links of an HNSW graph (Malkov and Yashunin 2016) without their vectors, checked before they are used.

Node i is the template with the i-th lowest id. A node of level l has 2·LINKS links to others in layer 0 and
LINKS in each layer up to l - 1, one after the other; a free place is -1, behind the links of its layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedder.wording import count

LINKS = 16
_MOST_LEVELS = 32  # a template in 16³² has so many


@dataclass(frozen=True)
class Graph:
    """Who is linked to whom.

    Attributes:
        levels: (n,) int32, layers each node is in, at least 1.
        links: (sum of all nodes' places,) int32, nodes, or -1 for none.
        entry: the node at which searches begin, one in the uppermost layer.
        dropped: nodes that were taken out since the graph was built.
    """

    levels: NDArray[np.int32]
    links: NDArray[np.int32]
    entry: int
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.levels)

    def offsets(self) -> NDArray[np.int64]:
        """Where each node's places begin, (n + 1,)."""
        return np.concatenate([[0], np.cumsum((self.levels.astype(np.int64) + 1) * LINKS)])

    def check(self) -> None:
        """See that following the links leads nowhere else, so that a search stays within its memory.

        Raises:
            ValueError: what is wrong.
        """
        if not len(self) or self.levels.min() < 1 or self.levels.max() > _MOST_LEVELS:
            raise ValueError(f"expected nodes of 1 to {_MOST_LEVELS} levels")
        if len(self.links) != self.offsets()[-1]:
            raise ValueError(f"expected {count(int(self.offsets()[-1]), 'link')}, got {len(self.links)}")
        if self.links.min() < -1 or self.links.max() >= len(self):
            raise ValueError("a link leads to a node that is not there")
        if not 0 <= self.entry < len(self) or self.levels[self.entry] != self.levels.max():
            raise ValueError(f"searches cannot begin at node {self.entry}")
        for layer in range(1, int(self.levels.max())):
            linked = self.links[self._places(layer)]
            if (self.levels[linked[linked >= 0]] <= layer).any():
                raise ValueError(f"a link of layer {layer} leads to a node that is not in it")

    def without(self, gone: NDArray[np.bool_]) -> Graph:
        """Take out nodes; the others keep their order, and the links among themselves."""
        number = np.where(gone, -1, np.cumsum(~gone) - 1).astype(np.int32)
        links = np.append(number, np.int32(-1))[self.links]  # -1 stays -1
        hit = np.zeros(len(self), bool)
        hit[np.searchsorted(self.offsets(), np.flatnonzero(links != self.links), "right") - 1] = True
        for layer in range(int(self.levels.max())):
            places = self._places(layer, hit)
            rows = links[places]
            links[places] = np.take_along_axis(rows, np.argsort(rows < 0, axis=1, kind="stable"), axis=1)
        kept = np.repeat(~gone, np.diff(self.offsets()))
        levels = self.levels[~gone]
        entry = int(levels.argmax()) if len(levels) else -1
        return Graph(levels, links[kept], entry, self.dropped + int(gone.sum()))

    def _places(self, layer: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Places of the links of all nodes in a layer, (nodes, 2·LINKS or LINKS)."""
        inside = self.levels > layer if among is None else (self.levels > layer) & among
        first, width = (0, 2 * LINKS) if layer == 0 else ((layer + 1) * LINKS, LINKS)
        return self.offsets()[:-1][inside][:, None] + np.arange(first, first + width)
