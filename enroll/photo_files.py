"""The files that a gallery's photos came from: whether they are there, and still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import ImageError, UsageError
from embedder.images import read_image_file

if TYPE_CHECKING:
    from enroll.store import NewTemplate, StoredTemplate

MISSING = "no longer where it was enrolled from"
CHANGED = "not the picture that was enrolled"


class PhotoFiles:
    """Finds photos by their digest: where they were, or anywhere in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Check the folder, if there is one to look in.

        Raises:
            UsageError: it is no folder.
        """
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of photos")
        self._folder = folder

    def read(self, template: NewTemplate | StoredTemplate) -> tuple[Path, bytes] | str:
        """Give a photo's path and bytes, or in one sentence why not."""
        path = Path(template.photo)
        reason = CHANGED if template.photo and path.is_file() else MISSING
        for place in (path, self._moved.get(template.digest)):
            data = None if place is None else _content(place)
            if place is not None and data is not None and _digest(data) == template.digest:
                return place, data
        return reason

    @cached_property
    def _moved(self) -> dict[bytes, Path]:
        found: dict[bytes, Path] = {}
        for path in _files(self._folder):
            if (data := _content(path)) is not None:
                found.setdefault(_digest(data), path)
        return found


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _content(path: Path) -> bytes | None:
    """Read a picture's file; None for what is none, or cannot be read."""
    try:
        return read_image_file(path)
    except ImageError:
        return None


def _files(folder: Path | None) -> Iterator[Path]:
    for place, folders, names in os.walk(folder) if folder is not None else ():
        folders.sort()
        for name in sorted(names):
            yield Path(place) / name
