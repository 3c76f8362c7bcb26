"""Vectors to people: enroll, identify."""

from __future__ import annotations

# Not from typing, and nothing of ours: until `enroll.start` has run, Ctrl-C is a traceback of Python's.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from enroll.gallery.gallery import Gallery
    from enroll.identify import Identifier

__all__ = ["Gallery", "Identifier"]


def __getattr__(name: str) -> object:
    from embedder._internal import lazy_names

    return lazy_names(__name__, {"Gallery": "gallery.gallery", "Identifier": "identify"})(name)
