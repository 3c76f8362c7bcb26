"""Vectors to people: enroll, identify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder._internal import lazy_names

if TYPE_CHECKING:
    from enroll.gallery.gallery import Gallery
    from enroll.identify import Identifier

__all__ = ["Gallery", "Identifier"]

__getattr__ = lazy_names(__name__, {"Gallery": "gallery.gallery", "Identifier": "identify"})
