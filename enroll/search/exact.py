"""Search for exact nearest neighbours, by numpy if there are few, else by scikit-learn.

scikit-learn's brute force (`ArgKmin`) goes over float32 vectors once, in blocks, converts those to
double and multiplies them as matrices, so it copies nothing and its rounding is far below what float32 could
distinguish.

Few templates, or few queries, are compared by products in float32 instead, with a bound on their rounding:
importing scikit-learn takes longer than all else that `embed identify photo.jpg` does, its threads
wait for each other where the cores are busy, and one query among many takes it several passes over the
memory (docs/decisions/013). `enroll.search.base` recomputes the distances of what is found in any case,
and asks for more where rounding could matter, so the answers are the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import threads_here
from enroll.search.base import Matches
from enroll.templates import GrowableTemplates

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.neighbors import NearestNeighbors

    from enroll.templates import Templates

    _Block = tuple[int, NDArray[np.float32], NDArray[np.float32]]  # first row, templates, squares of lengths

# scikit-learn's |x|² - 2xy + |y|², in double, is off by less; pairs nearer than this are compared again.
ROUNDING = 1e-5
FEW = 32_768  # templates, 16 MB of them: a pass takes a millisecond or two
PAIRS = 2**23  # of templates and queries: half a second, as long as importing scikit-learn takes
ALONE = 8  # queries: a pass for each is quicker than scikit-learn, which widens all that it passes
_BLOCK = 16_384  # templates at a time, 8 MB
_QUERIES = 256  # at a time: 16 MB of products with a block


class ExactIndex:
    """Searches templates by brute force, so that building it copies and computes nothing.

    Threads may search at once, but not while templates are added.
    """

    def __init__(self, templates: Templates) -> None:
        """Build the index of some templates."""
        self.pool = GrowableTemplates(templates)
        self._start: NearestNeighbors | None = None
        self._recent: NearestNeighbors | None = None
        self._squares: list[NDArray[np.float32]] = []  # of the lengths of the templates, part by part

    @property
    def templates(self) -> int:
        """The number of templates."""
        return len(self.pool)

    @property
    def people(self) -> int:
        """The number of people they show."""
        return self.pool.people

    def extend(self, more: Templates) -> None:
        """Add templates; see `GrowableIndex`."""
        self.pool.extend(more)
        self._recent = None
        self._squares = self._squares[:1]

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        """Find the `count` nearest templates of each query; see `SearchIndex`.

        Args:
            queries: (n, dim) float32 unit rows.
            count: number of templates per query, at least 1.
        """
        if self.templates <= count:
            every = self.pool.everything()
            return [Matches(every.ids, every.identities, every.vectors, np.inf)] * len(queries)
        few = self.templates <= FEW and self.templates * len(queries) <= PAIRS
        if few or len(queries) <= ALONE:
            starts = range(0, len(queries), _QUERIES)
            return [found for at in starts for found in self._few(queries[at : at + _QUERIES], count)]
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
            Matches(found.ids, found.identities, found.vectors, float(reached) - ROUNDING)
            for found, reached in zip(taken, distances[:, -1], strict=True)
        ]

    def _few(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        """Compare all templates with a few queries by |x|² - 2xy + |y|², a block of templates at a time.

        Queries are multiplied one by one, because the threads of a matrix product go on spinning for 20 ms,
        on the cores that the next photo needs. A block stays in the cache until all queries have passed it;
        of many blocks each core takes some.
        """
        blocks = self._blocks()
        search = partial(_nearest_of, queries, count)
        cores = threads_here() if self.templates > FEW else 1
        if cores > 1:
            with ThreadPoolExecutor(cores) as pool:
                found = list(pool.map(search, blocks))
        else:
            found = list(map(search, blocks))
        distances, rows = (np.hstack(parts) for parts in zip(*found, strict=True))
        kept = np.argpartition(distances, count - 1, axis=1)[:, :count]
        rows = np.take_along_axis(rows, kept, axis=1)
        distances = np.take_along_axis(distances, kept, axis=1) + np.vecdot(queries, queries)[:, None]
        # A sum of n products is off by at most n half roundings of the product of the lengths, 1, in whatever
        # order; twice that for 2xy, once for each of the squares, and some for adding them.
        rounding = 2 * (queries.shape[1] + 8) * np.finfo(np.float32).eps
        reaches = np.sqrt(np.maximum(0, distances.max(axis=1).astype(np.float64) - rounding))
        taken = map(self.pool.take, rows)
        return [
            Matches(found.ids, found.identities, found.vectors, float(reach))
            for found, reach in zip(taken, reaches, strict=True)
        ]

    def _blocks(self) -> list[_Block]:
        parts = [part.vectors for part in self.pool.parts]
        known = self._squares
        squares = [*known, *(np.vecdot(part, part) for part in parts[len(known) :])]
        self._squares = squares  # whole, since other threads search too
        blocks, first = [], 0
        for own, part in zip(squares, parts, strict=True):
            for start in range(0, len(part), _BLOCK):
                rows = slice(start, start + _BLOCK)
                blocks.append((first + start, part[rows], own[rows]))
            first += len(part)
        return blocks


def _nearest_of(
    queries: NDArray[np.float32], count: int, block: _Block
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return |x|² - 2xy of the `count` nearest of a block, or all of fewer, and their rows in the index."""
    first, vectors, squares = block
    distances = np.vecdot(queries[:, None], vectors)
    distances *= -2
    distances += squares
    if len(vectors) <= count:
        return distances, np.broadcast_to(np.arange(first, first + len(vectors)), distances.shape)
    rows = np.argpartition(distances, count - 1, axis=1)[:, :count]
    return np.take_along_axis(distances, rows, axis=1), first + rows


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
