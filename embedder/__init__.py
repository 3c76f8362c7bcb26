"""Pictures to vectors: train a trunk, drop the head, extract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder._internal import lazy_names

if TYPE_CHECKING:
    from embedder.errors import EmbedError
    from embedder.extractor import Extractor
    from embedder.images import load_image

__all__ = ["EmbedError", "Extractor", "load_image"]

__getattr__ = lazy_names(__name__, {"EmbedError": "errors", "Extractor": "extractor", "load_image": "images"})
