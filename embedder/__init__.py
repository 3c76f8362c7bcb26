"""Pictures to vectors: train a trunk, drop the head, extract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedder.errors import EmbedError
    from embedder.extractor import Extractor
    from embedder.images import load_image

__all__ = ["EmbedError", "Extractor", "load_image"]

_HOME = {"EmbedError": "errors", "Extractor": "extractor", "load_image": "images"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `embed --help` loads none of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'embedder' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"embedder.{_HOME[name]}"), name)
