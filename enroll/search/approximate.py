"""Search for approximate nearest neighbours by an HNSW graph of faiss.

HNSW is by Malkov and Yashunin 2016, "Efficient and Robust Approximate Nearest Neighbor Search Using
Hierarchical Navigable Small World Graphs".

faiss keeps the vectors in half precision, which only choose candidates: exact distances rank them. The
graph's links, without vectors, are kept in a file beside the gallery, a cache that is checked before it is
used:

- the file: SHA-256 of the rest, then safetensors: `levels` and `links` of the graph; `about`, (3,): format,
  entry and dropped; `templates`: SHA-256 of the ids and vectors it was made of. A file that does not match is
  not used;
- node i is the template with the i-th lowest id. A node of level l has 2·LINKS links to others in layer 0
  and LINKS in each layer up to l - 1, one after the other; a free place is -1, behind the links of its
  layer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embedder._internal.files import open_file, write_atomic
from embedder._internal.wording import count
from embedder.errors import MissingPackageError
from enroll.search.base import Matches
from enroll.search.exact import ROUNDING, ExactIndex

if TYPE_CHECKING:
    from enroll.templates import Templates


LINKS = 16
_MOST_LEVELS = 32  # one template in 16³² has as many

_FORMAT = 1
_DIGEST = 32
_BYTES_A_NODE = 4 * (1 + 3 * LINKS)  # 2.07 · LINKS links are usual; we never write a file with more than 3
_HEADER = 4096
_KINDS = {"levels": np.int32, "links": np.int32, "about": np.int64, "templates": np.uint8}

_BUILD_BREADTH = 100  # candidates while a node is linked
_SEARCH_BREADTH = 256  # candidates while searching; docs/decisions/011-approximate-search.md
_LEAST = 32  # found for each query, so that half precision loses none of the nearest ten
_MOST = 128  # more is asked for only where one person has very many photos: there a graph has islands
_MOST_DROPPED = 0.1  # of the nodes: then too many ways are cut, and the graph is rebuilt
_LONG = 50_000  # templates from which a message says that indexing takes long

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Graph:
    """Holds the links between the nodes of a graph.

    Attributes:
        levels: (n,) int32, number of layers each node is in, at least 1.
        links: (sum of all nodes' places,) int32, nodes, or -1 for none.
        entry: the node at which searches begin, one in the uppermost layer.
        dropped: number of nodes that were removed since the graph was built.
    """

    levels: NDArray[np.int32]
    links: NDArray[np.int32]
    entry: int
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.levels)

    def offsets(self) -> NDArray[np.int64]:
        """The first place of each node, and the end, (n + 1,) int64."""
        return np.concatenate([[0], np.cumsum((self.levels.astype(np.int64) + 1) * LINKS)])

    def check(self) -> None:
        """Check that links lead to nodes of their layer, so that a search stays within its memory.

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
        """Remove nodes; the others keep their order, and the links among themselves.

        Args:
            gone: (n,) bool.
        """
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
        """Return the places of the links of all nodes in a layer, (nodes, 2·LINKS or LINKS) int64."""
        inside = self.levels > layer if among is None else (self.levels > layer) & among
        first, width = (0, 2 * LINKS) if layer == 0 else ((layer + 1) * LINKS, LINKS)
        return self.offsets()[:-1][inside][:, None] + np.arange(first, first + width)


def index_path(gallery: str | Path) -> Path:
    """Return the path of the index file of a gallery's file."""
    gallery = Path(gallery)
    return gallery.with_name(f"{gallery.name}.index")


def forget_index(gallery: str | Path) -> None:
    """Delete the index file of a gallery, since whom a person resembled is personal data.

    Another file under that name is kept.

    Raises:
        OSError: it cannot be read or erased.
    """
    if _is_index(path := index_path(gallery)):
        path.unlink(missing_ok=True)


def save_index(path: Path, graph: Graph, parts: Sequence[Templates]) -> None:
    """Write the graph of the first of some templates, whole or not at all.

    Args:
        path: of the index file.
        graph: of the first templates of `parts`.
        parts: templates, by id.

    Raises:
        OSError: the disk is full, the folder cannot be written, or something else has the name.
    """
    from safetensors.numpy import save

    if _is_index(path) is False:
        raise OSError("what is there is no index of ours; move it")
    about = np.array([_FORMAT, graph.entry, graph.dropped])
    made_of = _digest(parts, len(graph))
    content = save({"levels": graph.levels, "links": graph.links, "about": about, "templates": made_of})
    write_atomic(path, hashlib.sha256(content).digest() + content, private=True)


def _is_index(path: Path) -> bool | None:
    """Return whether `save_index` wrote a file, which may be damaged behind its header; None without one."""
    try:
        opened = open_file(path)
    except FileNotFoundError:
        return False if path.is_symlink() else None
    except OSError:
        return False
    with opened as file:
        file.seek(_DIGEST)
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(size, _HEADER)))
        except (ValueError, RecursionError):
            return False
    return isinstance(header, dict) and header.keys() == _KINDS.keys()


def load_index(path: Path, templates: Templates) -> Graph:
    """Read the graph of the first of some templates.

    Args:
        path: of the index file.
        templates: of the gallery, by id.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is broken, or of other templates.
    """
    most = _HEADER + _BYTES_A_NODE * len(templates.ids)
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"expected a file of at most {most} bytes")
        digest, content = file.read(_DIGEST), file.read(most)
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum is another")
    graph, made_of = _unpacked(content)
    if len(graph) > len(templates.ids) or not np.array_equal(made_of, _digest([templates], len(graph))):
        raise ValueError("it is of other templates")
    graph.check()
    return graph


def _unpacked(content: bytes) -> tuple[Graph, NDArray[np.uint8]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        parts = load(content)
    except SafetensorError as error:
        raise ValueError(f"it is no safetensors file: {error}") from error
    if {name: (part.dtype, part.ndim) for name, part in parts.items()} != {
        name: (np.dtype(kind), 1) for name, kind in _KINDS.items()
    }:
        raise ValueError(f"expected {', '.join(_KINDS)}")
    if len(parts["about"]) != 3 or parts["about"][0] != _FORMAT:
        raise ValueError(f"expected format {_FORMAT}")
    _, entry, dropped = parts["about"].tolist()
    return Graph(parts["levels"], parts["links"], entry, dropped), parts["templates"]


def _digest(parts: Sequence[Templates], count: int) -> NDArray[np.uint8]:
    """Compute the SHA-256 of the ids and vectors of the first `count` templates."""
    sha = hashlib.sha256()
    for column in ("ids", "vectors"):
        rest = count
        for part in parts:
            rows = np.ascontiguousarray(getattr(part, column)[:rest])
            sha.update(rows.data)
            rest -= len(rows)
    return np.frombuffer(sha.digest(), np.uint8)


class ApproximateIndex(ExactIndex):
    """Searches templates by a graph.

    Asked for many, it compares all of them, as an exact index does.

    Threads may search at once, but not while templates are added.

    Attributes:
        built: number of nodes that this object has linked; the others come from a graph.
    """

    def __init__(self, templates: Templates, graph: Graph | None = None) -> None:
        """Build the index.

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
        """Add templates; see `GrowableIndex`."""
        super().extend(more)
        self._add(more.vectors)

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        """Find the nearest templates of each query, nearly all of them; see `SearchIndex`.

        Args:
            queries: (n, dim) float32 unit rows.
            count: number of templates per query, at least 1.
        """
        count = max(count, _LEAST)
        if count >= min(_MOST, self.templates):
            return super().nearest(queries, count)
        breadth = self._faiss.SearchParametersHNSW(efSearch=max(_SEARCH_BREADTH, 2 * count))
        _, rows = self._index.search(np.ascontiguousarray(queries), count, params=breadth)
        return [self._found(query, row, count) for query, row in zip(queries, rows, strict=True)]

    def _found(self, query: NDArray[np.float32], row: NDArray[np.int64], count: int) -> Matches:
        if row[-1] < 0:  # fewer than there are: a part of the graph cannot be reached
            return super().nearest(query[None], count)[0]
        found = self.pool.take(row)
        reach = float(np.linalg.norm(found.vectors - query, axis=1).max()) - ROUNDING
        return Matches(found.ids, found.identities, found.vectors, reach)

    def graph(self) -> Graph:
        """Return a copy of the links."""
        take, hnsw = self._faiss.vector_to_array, self._index.hnsw
        return Graph(take(hnsw.levels), take(hnsw.neighbors), int(hnsw.entry_point), self._dropped)

    def graph_of(self, templates: Templates) -> Graph | None:
        """Return the links among these templates, None unless they are the first ones here."""
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
