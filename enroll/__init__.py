"""Vectors to people: enroll, identify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enroll.gallery import Gallery
    from enroll.identify import Identifier

__all__ = ["Gallery", "Identifier"]

_HOME = {"Gallery": "gallery", "Identifier": "identify"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `embed --help` loads none of them."""
    if name not in _HOME:
        raise AttributeError(f"module 'enroll' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"enroll.{_HOME[name]}"), name)
