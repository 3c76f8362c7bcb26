"""Approximate nearest neighbours by an HNSW graph of faiss; what it finds is ranked by exact distances.

faiss keeps the vectors in half precision: they only choose what is looked at, and need no training. Its graph
is taken out and put back as `Graph`, which has no vectors: so it can be kept in a file, and nodes taken out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.errors import MissingPackageError
from enroll.search.contract import Found
from enroll.search.exact import ROUNDING, ExactFinder
from enroll.search.graph import LINKS, Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store.contract import Templates

_BUILD_BREADTH = 100  # candidates while a node is linked
_SEARCH_BREADTH = 256  # candidates while searching; docs/decisions/011-approximate-search.md
_LEAST = 32  # found for each query, so that half precision loses none of the nearest ten
_MOST = 128  # more is asked for only where one person has very many photos: there a graph has islands
_MOST_DROPPED = 0.1  # of the nodes: then too many ways are cut, and the graph is built anew
_LONG = 50_000  # templates that take so long to index that it is said

_log = logging.getLogger(__name__)


class ApproximateFinder(ExactFinder):
    """Searches templates by a graph; asked for many, it looks at all of them, as an exact one.

    Attributes:
        built: nodes that were linked by this object, rather than taken from a graph.
    """

    def __init__(self, templates: Templates, graph: Graph | None = None) -> None:
        """Make them ready to be searched.

        Args:
            templates: all of them.
            graph: of the first of them; the others are added.

        Raises:
            MissingPackageError: faiss is not installed.
        """
        try:
            import faiss
        except ImportError as error:
            raise MissingPackageError(
                "--index approximate needs faiss: pip install 'embedder-enroll[approximate]'"
            ) from error
        self._faiss: Any = faiss  # its stubs know half of it
        super().__init__(templates)
        self.built = 0
        dim = templates.vectors.shape[1]
        self._index: Any = self._faiss.IndexHNSWSQ(dim, self._faiss.ScalarQuantizer.QT_fp16, LINKS)
        self._index.hnsw.efConstruction = _BUILD_BREADTH
        self._dropped = 0
        if graph is not None and len(graph) and graph.dropped <= _MOST_DROPPED * len(graph):
            self._put_back(graph, templates.vectors[: len(graph)])
        self._add(templates.vectors[self._index.ntotal :])

    def extend(self, more: Templates) -> None:
        """Add templates; see `Index`."""
        super().extend(more)
        self._add(more.vectors)

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Found]:
        """Find the nearest templates of each query, nearly all of them; see `Finder`."""
        count = max(count, _LEAST)
        if count >= min(_MOST, self.templates):
            return super().nearest(queries, count)
        breadth = self._faiss.SearchParametersHNSW(efSearch=max(_SEARCH_BREADTH, 2 * count))
        _, rows = self._index.search(np.ascontiguousarray(queries), count, params=breadth)
        return [self._found(query, row, count) for query, row in zip(queries, rows, strict=True)]

    def _found(self, query: NDArray[np.float32], row: NDArray[np.int64], count: int) -> Found:
        if row[-1] < 0:  # fewer than there are: a part of the graph cannot be reached
            return super().nearest(query[None], count)[0]
        found = self.pool.take(row)
        reach = float(np.linalg.norm(found.vectors - query, axis=1).max()) - ROUNDING
        return Found(found.ids, found.identities, found.vectors, reach)

    def graph(self) -> Graph:
        """Give a copy of the links."""
        take, hnsw = self._faiss.vector_to_array, self._index.hnsw
        return Graph(take(hnsw.levels), take(hnsw.neighbors), int(hnsw.entry_point), self._dropped)

    def graph_of(self, templates: Templates) -> Graph | None:
        """Give the links among those of these templates that are here, None unless they are the first."""
        here = np.concatenate([part.ids for part in self.pool.parts])
        gone = ~np.isin(here, templates.ids)
        kept = here[~gone]
        if not len(kept) or not np.array_equal(kept, templates.ids[: len(kept)]):
            return None
        return self.graph().without(gone)

    def _put_back(self, graph: Graph, vectors: NDArray[np.float32]) -> None:
        put, hnsw = self._faiss.copy_array_to_vector, self._index.hnsw
        self._index.storage.add(np.ascontiguousarray(vectors))
        self._index.ntotal = len(graph)
        put(graph.levels, hnsw.levels)
        put(graph.links, hnsw.neighbors)
        put(graph.offsets().astype(np.uint64), hnsw.offsets)
        hnsw.entry_point, hnsw.max_level = graph.entry, int(graph.levels.max()) - 1
        self._dropped = graph.dropped

    def _add(self, vectors: NDArray[np.float32]) -> None:
        if len(vectors) >= _LONG:
            _log.warning("making the approximate index of %d templates; this can take minutes", len(vectors))
        if len(vectors):
            self._index.add(np.ascontiguousarray(vectors))
        self.built += len(vectors)
