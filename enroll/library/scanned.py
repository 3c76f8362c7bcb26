"""What a scan has found: files that were read, faces in them, what is to be written of both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from embedder.folders import Rejected
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto

MISSING_PACKAGE = "a package is missing"


@dataclass
class Scanned:
    """What a scan came to.

    Attributes:
        photos: files that may be photos.
        films: files that may be films.
        looked: that were searched for faces.
        unchanged: that were known, and not opened.
        moved: that were known under another path.
        forgotten: that show what was erased, and were not looked at.
        gone: known photos that are not there any more; what is known of them stays.
        faces: new ones.
        rejected: what could not be used, and why.
        others: files of other kinds, by what they are.
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
    """A file that was read: its content until it was looked at."""

    path: Path
    file: PhotoFile
    data: bytes = b""
    digest: bytes = b""
    problem: str | None = None


@dataclass(eq=False)
class Looked:
    """A file that was looked at: what is to be kept of it, None if nothing new is."""

    read: Read
    photo: SeenPhoto | None
    faces: list[SeenFace] = field(default_factory=list)


@dataclass
class Block:
    """What is to be written in one transaction."""

    new: dict[bytes, SeenPhoto] = field(default_factory=dict)
    faces_of: dict[bytes, list[SeenFace]] = field(default_factory=dict)
    photos: dict[int, SeenPhoto] = field(default_factory=dict)
    faces: list[SeenFace] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    found: int = 0

    def leave(self, before: SeenPhoto, file: PhotoFile) -> None:
        """Take a path away from the photo that was there before."""
        before = self.photos.get(before.number, before)
        files = tuple(entry for entry in before.files if entry.path != file.path)
        if not files:
            files = tuple(replace(entry, there=False) for entry in before.files)
        self.photos[before.number] = replace(before, files=files)
