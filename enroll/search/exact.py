"""Exact nearest neighbours by scikit-learn.

Its brute force (`ArgKmin`) goes over float32 vectors once, some at a time, widens those to double and
multiplies them as matrices, so it copies nothing and rounds far below what float32 could tell apart.

Importing scikit-learn takes longer than all else that `embed identify photo.jpg` does; few templates are all
given instead, and `ranking`, which computes distances anew in any case, finds the nearest among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from enroll.search.contract import Found
from enroll.search.pool import Pool

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.neighbors import NearestNeighbors

    from enroll.store.contract import Templates

# scikit-learn's |x|² - 2xy + |y|², in double, is off by less; what is nearer is looked at again.
ROUNDING = 1e-5
FEW = 1000  # templates; ranking them all takes about a millisecond a face


class ExactFinder:
    """Searches templates by brute force, so that building it copies and computes nothing."""

    def __init__(self, templates: Templates) -> None:
        """Make them ready to be searched."""
        self.pool = Pool(templates)
        self._start: NearestNeighbors | None = None
        self._recent: NearestNeighbors | None = None

    @property
    def templates(self) -> int:
        """How many there are."""
        return len(self.pool)

    @property
    def people(self) -> int:
        """How many identities they are of."""
        return self.pool.people

    def extend(self, more: Templates) -> None:
        """Add templates; see `Index`."""
        self.pool.extend(more)
        self._recent = None

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Found]:
        """Find the `count` nearest templates of each query; see `Finder`."""
        if self.templates <= max(FEW, count):
            every = self.pool.everything()
            return [Found(every.ids, every.identities, every.vectors, np.inf)] * len(queries)
        self._start = self._start or _fitted(self.pool.start.vectors)
        self._recent = self._recent or _fitted(self.pool.recent.vectors)
        distances, rows = _nearest(self._start, queries, count)
        if self._recent is not None:
            newer, places = _nearest(self._recent, queries, count)
            distances = np.hstack([distances, newer])
            rows = np.hstack([rows, places + len(self.pool.start.ids)])
            nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
            distances = np.take_along_axis(distances, nearest, axis=1)
            rows = np.take_along_axis(rows, nearest, axis=1)
        taken = map(self.pool.take, rows)
        return [
            Found(found.ids, found.identities, found.vectors, float(reached) - ROUNDING)
            for found, reached in zip(taken, distances[:, -1], strict=True)
        ]


def _fitted(vectors: NDArray[np.float32]) -> NearestNeighbors | None:
    from sklearn import config_context
    from sklearn.neighbors import NearestNeighbors

    if not len(vectors):
        return None
    # Otherwise each fit would look for numbers that are not finite; templates are of unit length.
    with config_context(assume_finite=True):
        return NearestNeighbors(algorithm="brute", metric="euclidean").fit(vectors)


def _nearest(
    search: NearestNeighbors | None, queries: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if search is None:
        return np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
    distances, rows = search.kneighbors(queries, min(count, search.n_samples_fit_))
    return distances, rows
