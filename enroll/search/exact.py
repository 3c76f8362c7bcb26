"""Exact nearest neighbours by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestNeighbors

from enroll.search.contract import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store import Templates

# scikit-learn's distances of float32 unit vectors are off by less; nearer than this is looked at again.
_ROUNDING = 1e-3


class ExactFinder:
    """Searches templates by brute force, so that building it copies and computes next to nothing."""

    def __init__(self, templates: Templates) -> None:
        """Make them ready to be searched."""
        self._found = templates
        self.templates = len(templates.ids)
        self.people = len(set(templates.identities))
        self._search = NearestNeighbors(algorithm="brute", metric="euclidean")
        if self.templates:
            self._search.fit(templates.vectors)

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Found]:
        """Find the `count` nearest templates of each query; see `Finder`."""
        distances, rows = self._search.kneighbors(queries, min(count, self.templates))
        everything = count >= self.templates
        return [
            Found(
                self._found.ids[found],
                self._found.identities[found],
                self._found.vectors[found],
                np.inf if everything else float(reached) - _ROUNDING,
            )
            for reached, found in zip(distances[:, -1], rows, strict=True)
        ]
