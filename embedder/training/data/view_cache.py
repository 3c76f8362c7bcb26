"""Store the frozen layers' output for views on disk, for later runs on the same photos.

An entry holds one view of each photo of a block. Its key is made from all that determines it: pictures and
their numbers, random draws, weights of the trunk, code, packages. Runs that differ only in head, losses or
epochs share entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder._internal.files import DiskCache

LIMIT = 2 * 2**30  # bytes of all runs
MOST = 2**30  # bytes of one run; with more photos, training takes far longer than computing this
_NOTE = """\
What `embed train` has made of the faces in photos, kept so that the next run on the same photos is quicker.
It shows people: treat it like the photos. This folder may be deleted at any time; `embed train --no-cache`
does without it.
"""
_PACKAGES = ("keras", "tensorflow", "numpy", "pillow")


def view_recipe(weights: Sequence[NDArray[Any]], options: Mapping[str, Any]) -> bytes:
    """Return all that determines an entry, except the pictures and their numbers, as bytes.

    Args:
        weights: weights of the trunk before training.
        options: options of the views and of the split of the trunk, as JSON values.
    """
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(np.ascontiguousarray(tensor).tobytes())
    packages = {name: version(name) for name in _PACKAGES}
    facts = {**options, "packages": packages, "weights": digest.hexdigest(), "code": _code()}
    return json.dumps(facts, sort_keys=True).encode()


class ViewCache:
    """Stores the frozen layers' output for blocks of photos on disk.

    Args:
        recipe: result of `view_recipe`; entries of other recipes are not found.
        folder: folder of the cache; None: `cache_folder()`.
        limit: largest size in bytes.
    """

    def __init__(self, recipe: bytes, folder: str | Path | None = None, limit: int = LIMIT) -> None:
        self._recipe = recipe
        self._entries = DiskCache("views", _NOTE, limit, folder)

    def key(self, kind: int, number: int, start: int, pictures: NDArray[np.uint8]) -> bytes:
        """Compute the key of a block: a view of each picture, numbered from `start`."""
        place = json.dumps([kind, number, start, pictures.shape]).encode()
        return self._recipe + place + hashlib.sha256(pictures.tobytes()).digest()

    def get(self, key: bytes) -> tuple[NDArray[np.float16], NDArray[np.float32] | None] | None:
        """Return outputs (m, ...) float16 and features (m, dim) float32 or None, if stored."""
        if (body := self._entries.get(key)) is None:
            return None
        head, _, rest = body.partition(b"\n")
        shape, dim = json.loads(head)
        length = 2 * int(np.prod(shape))
        outputs = np.frombuffer(rest[:length], np.float16).reshape(shape)
        features = np.frombuffer(rest[length:], np.float32).reshape(shape[0], dim) if dim else None
        return outputs, features

    def put(self, key: bytes, outputs: NDArray[Any], features: NDArray[np.float32] | None) -> None:
        """Store outputs (m, ...) float16 and features (m, dim) float32 or None of a block."""
        dim = 0 if features is None else features.shape[1]
        head = json.dumps([outputs.shape, dim]).encode() + b"\n"
        self._entries.put(key, head + outputs.tobytes() + (b"" if features is None else features.tobytes()))

    def prune(self) -> None:
        """Go back to the limit, after many were put."""
        self._entries.prune()


@cache
def _code() -> str:
    """Return a digest of the code that draws views and builds trunks."""
    folders = ("embedder.training.data", "embedder.trunks")
    sources = sorted((path for folder in folders for path in files(folder).iterdir()), key=str)
    digest = hashlib.sha256()
    for path in sources:
        if path.name.endswith(".py"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
