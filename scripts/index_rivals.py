"""faiss, scikit-learn and usearch as `bench_index.py` measures them: build, keep, open, add, search."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NEAREST = 10
LINKS, BUILD_BREADTH, SEARCH_BREADTH = 16, 100, 256  # of faiss and usearch: as ours
MAPPED = 2_000_000  # templates above which vectors stay in their file


def mapped(folder: Path) -> Array:
    """The templates' vectors, mapped."""
    return np.asarray(np.load(folder / "vectors.npy", mmap_mode="r"))


class FaissFlat:
    """Exact search by faiss."""

    def __init__(self, folder: Path) -> None:
        """Take the templates."""
        self.faiss: Any = importlib.import_module("faiss")
        self.path, self.vectors = str(folder / "flat"), mapped(folder)

    def build(self) -> None:
        """Make it of the templates."""
        self.index = self.faiss.IndexFlatL2(self.vectors.shape[1])
        self.add(self.vectors)

    def keep(self) -> None:
        """Write what it opens from."""
        self.faiss.write_index(self.index, self.path)

    def open(self) -> None:
        """Make it ready to search from what was written."""
        self.faiss.read_index(self.path)

    def add(self, vectors: Array) -> None:
        """Add templates."""
        self.index.add(vectors)

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        return np.asarray(self.index.search(queries, NEAREST)[1])


class Usearch:
    """HNSW by usearch, in half precision."""

    def __init__(self, folder: Path) -> None:
        """Take the templates."""
        self.library: Any = importlib.import_module("usearch.index")
        self.path, self.vectors = str(folder / "usearch"), mapped(folder)

    def build(self) -> None:
        """Make it of the templates."""
        self.index = self.library.Index(
            ndim=self.vectors.shape[1],
            metric="l2sq",
            dtype="f16",
            connectivity=LINKS,
            expansion_add=BUILD_BREADTH,
            expansion_search=SEARCH_BREADTH,
        )
        self.add(self.vectors)

    def keep(self) -> None:
        """Write what it opens from."""
        self.index.save(self.path)

    def open(self) -> None:
        """Make it ready to search from what was written."""
        self.library.Index.restore(self.path)

    def add(self, vectors: Array) -> None:
        """Add templates."""
        keys = np.arange(len(self.index), len(self.index) + len(vectors))
        own = vectors if len(vectors) > MAPPED else np.array(vectors)
        self.index.add(keys, own, threads=os.cpu_count())

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        threads = min(len(queries), os.cpu_count() or 1)
        return np.atleast_2d(self.index.search(queries, NEAREST, threads=threads).keys).astype(np.int64)


class FaissHnsw(FaissFlat):
    """HNSW by faiss, in single precision."""

    def build(self) -> None:
        """Make it of the templates."""
        self.index = self.faiss.IndexHNSWFlat(self.vectors.shape[1], LINKS)
        self.index.hnsw.efConstruction, self.index.hnsw.efSearch = BUILD_BREADTH, SEARCH_BREADTH
        self.add(self.vectors)


class ScikitLearn:
    """Exact search by scikit-learn, which keeps nothing."""

    def __init__(self, folder: Path) -> None:
        """Take the templates."""
        self.library: Any = importlib.import_module("sklearn.neighbors")
        self.vectors = mapped(folder)

    def build(self) -> None:
        """Make it of the templates."""
        brute = self.library.NearestNeighbors(algorithm="brute", metric="euclidean")
        self.index = brute.fit(np.array(self.vectors))

    def search(self, queries: Array) -> Array:
        """Give the rows of the nearest, (n, NEAREST)."""
        return np.asarray(self.index.kneighbors(queries, NEAREST, return_distance=False))
