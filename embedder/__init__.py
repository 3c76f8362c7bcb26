"""Pictures to vectors: train a trunk, drop the head, extract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder._internal import lazy_names

if TYPE_CHECKING:
    from embedder import callbacks, layers, losses, metrics, optimizers
    from embedder.errors import EmbedError
    from embedder.extractor import Extractor
    from embedder.images import load_image
    from embedder.trunks import load_trunk

__all__ = [
    "EmbedError",
    "Extractor",
    "callbacks",
    "layers",
    "load_image",
    "load_trunk",
    "losses",
    "metrics",
    "optimizers",
]

__getattr__ = lazy_names(
    __name__,
    {"EmbedError": "errors", "Extractor": "extractor", "load_image": "images", "load_trunk": "trunks"},
    modules=("callbacks", "layers", "losses", "metrics", "optimizers"),
)
