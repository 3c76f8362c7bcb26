"""The files that a gallery's photos came from: whether they are there, and still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
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
        where = Path(template.photo) if template.photo else None
        reason = MISSING
        for place in (where, self._moved.get(template.digest)):
            if place is None:
                continue
            try:
                data = read_image_file(place)
            except ImageError as error:
                if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                    reason = error.reason
                continue
            if _digest(data) == template.digest:
                return place, data
            reason = CHANGED
        return reason

    @cached_property
    def _moved(self) -> dict[bytes, Path]:
        found: dict[bytes, Path] = {}
        for path in _files(self._folder):
            with suppress(ImageError):  # what is none, or cannot be read
                found.setdefault(_digest(read_image_file(path)), path)
        return found


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _files(folder: Path | None) -> Iterator[Path]:
    for place, folders, names in os.walk(folder) if folder is not None else ():
        folders.sort()
        for name in sorted(names):
            yield Path(place) / name
