"""Hold the results of a scan: files that were read, faces in them, what is to be written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedder.folders import Rejected
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto

MISSING_PACKAGE = "a package is missing"


@dataclass
class Scanned:
    """Counts what a scan found.

    Attributes:
        photos: files that may be photos.
        films: files that may be films.
        looked: files that were searched for faces.
        unchanged: known files, which were not opened.
        moved: known files under another path.
        forgotten: files whose faces were erased, and which were not searched.
        gone: known photos that are not there any more; what is known of them stays.
        faces: new ones.
        rejected: files that could not be used, and why.
        others: files of other kinds, by kind.
    """

    photos: int = 0
    films: int = 0
    looked: int = 0
    unchanged: int = 0
    moved: int = 0
    forgotten: int = 0
    gone: int = 0
    faces: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class Read:
    """Holds a file that was read, with its content until it is searched for faces."""

    path: Path
    file: PhotoFile
    data: bytes = b""
    digest: bytes = b""
    problem: str | None = None


@dataclass(eq=False)
class Looked:
    """Holds a file that was searched for faces: what to keep of it, None if nothing is new."""

    read: Read
    photo: SeenPhoto | None
    faces: list[SeenFace] = field(default_factory=list)


@dataclass
class Block:
    """Holds what is to be written in one transaction."""

    new: dict[bytes, SeenPhoto] = field(default_factory=dict)
    faces_of: dict[bytes, list[SeenFace]] = field(default_factory=dict)
    photos: dict[int, SeenPhoto] = field(default_factory=dict)
    faces: list[SeenFace] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    found: int = 0

    def leave(self, before: SeenPhoto, file: PhotoFile) -> None:
        """Remove a path from the photo that was there before."""
        before = self.photos.get(before.number, before)
        files = tuple(entry for entry in before.files if entry.path != file.path)
        if not files:
            files = tuple(replace(entry, there=False) for entry in before.files)
        self.photos[before.number] = replace(before, files=files)
