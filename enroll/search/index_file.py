"""The graph of an approximate index, kept beside its gallery: a cache, and no vector is in it.

SHA-256 of the rest, then safetensors: `levels` and `links` of the graph; `about`, (3,): format, entry and
dropped; `templates`: SHA-256 of the ids and vectors it was made of. Whatever does not fit is not read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder.durable import write_whole
from enroll.search.graph import LINKS, Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store.contract import Templates

_FORMAT = 1
_DIGEST = 32
_BYTES_A_NODE = 4 * (1 + 3 * LINKS)  # 2.07 · LINKS links are usual; a file with more than 3 is none of ours
_HEADER = 4096
_KINDS = {"levels": np.int32, "links": np.int32, "about": np.int64, "templates": np.uint8}


def index_path(gallery: str | Path) -> Path:
    """Name the index file of a gallery's file."""
    gallery = Path(gallery)
    return gallery.with_name(f"{gallery.name}.index")


def forget_index(gallery: str | Path) -> None:
    """Erase the index file of a gallery, if there is one: who resembled whom is theirs, too.

    Raises:
        OSError: it cannot be erased.
    """
    index_path(gallery).unlink(missing_ok=True)


def save_index(path: Path, graph: Graph, parts: Sequence[Templates]) -> None:
    """Write the graph of the first templates of these, whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save

    about = np.array([_FORMAT, graph.entry, graph.dropped])
    made_of = _digest(parts, len(graph))
    content = save({"levels": graph.levels, "links": graph.links, "about": about, "templates": made_of})
    write_whole(path, hashlib.sha256(content).digest() + content, private=True)


def load_index(path: Path, templates: Templates) -> Graph:
    """Read the graph of the first of these templates.

    Raises:
        OSError: it is not there or cannot be read.
        ValueError: it is broken, or of other templates.
    """
    most = _HEADER + _BYTES_A_NODE * len(templates.ids)
    if not path.is_file() or path.stat().st_size > most:
        raise ValueError(f"expected a file of at most {most} bytes")
    with path.open("rb") as file:
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
    """SHA-256 of the ids and vectors of the first templates."""
    sha = hashlib.sha256()
    for column in ("ids", "vectors"):
        rest = count
        for part in parts:
            rows = np.ascontiguousarray(getattr(part, column)[:rest])
            sha.update(rows.data)
            rest -= len(rows)
    return np.frombuffer(sha.digest(), np.uint8)
