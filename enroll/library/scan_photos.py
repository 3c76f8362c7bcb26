"""Scan photos: read them, leave out known ones, find the faces of the others, here or elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import map_in_order
from embedder.errors import ImageError
from embedder.images import read_image_file
from enroll.gallery.places import face_digest
from enroll.library.scanned import MISSING_PACKAGE, Looked, Read
from enroll.looking import AskedPhoto, SearchedPhoto, answered, batched, search_photo
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.looking import Looker

Files = Sequence[tuple[Path, PhotoFile]]
Filter = Callable[[Iterable[Read]], Iterator[Read]]


@dataclass(frozen=True)
class PhotoLooker:
    """Finds the faces of photos, in several threads.

    Attributes:
        extractor: the model.
        expires: the last day for which faces without a name are kept; None: for ever.
        elsewhere: searches them on other machines; None: on this one.
    """

    extractor: Extractor
    expires: date | None
    elsewhere: Looker | None

    def look(self, files: Files, new: Filter) -> Iterator[Looked]:
        """Find the faces of photos.

        Args:
            files: to be read.
            new: filters files that were read; faces are searched for in the remaining ones.
        """
        if self.elsewhere is None:
            return map_in_order(self._look, new(map_in_order(_read, files)))
        return self._look_elsewhere(self.elsewhere, files, new)

    def _look(self, read: Read) -> Looked:
        """Find and embed the faces of a photo; runs in a thread of its own."""
        if read.problem:
            return Looked(read, None)
        data, read.data = read.data, b""
        return self._as_looked(read, search_photo(data, read.digest, read.path, self.extractor))

    def _look_elsewhere(self, away: Looker, files: Files, new: Filter) -> Iterator[Looked]:
        """Read files on other machines, and search only those for faces that are not known."""

        def first(read: Read) -> AskedPhoto | None:
            if not away.sends:
                return AskedPhoto(read.path)
            _fill(read)
            return None

        def reads() -> Iterator[Read]:
            every = (Read(path, file) for path, file in files)
            for part in answered(batched(every, away.window), first, away.digests):
                for read, answer in part:
                    if answer is not None:
                        read.digest, read.problem = answer.digest, answer.problem
                    yield read

        def look(read: Read) -> AskedPhoto | None:
            data, read.data = read.data, b""
            return None if read.problem else AskedPhoto(read.path, data or None)

        for part in answered(batched(new(reads()), away.window), look, away.faces):
            for read, found in part:
                yield Looked(read, None) if found is None else self._as_looked(read, found)

    def _as_looked(self, read: Read, found: SearchedPhoto) -> Looked:
        read.problem = found.problem
        if not found.digest or (found.problem and MISSING_PACKAGE in found.problem):  # may be there later
            return Looked(read, None)
        if found.digest != read.digest:
            read.problem = "it changed while it was read; scan again"
            return Looked(read, None)
        model = self.extractor.fingerprint
        size = found.width, found.height
        photo = SeenPhoto(read.digest, (read.file,), *size, found.taken, found.problem, model)
        faces = [
            SeenFace(
                0,
                face.box,
                face.vector,
                face.quality,
                self.expires,
                model,
                key=face_digest(read.digest, face.box),
            )
            for face in found.faces
        ]
        return Looked(read, photo, faces)


def _read(entry: tuple[Path, PhotoFile]) -> Read:
    read = Read(*entry)
    _fill(read)
    return read


def _fill(read: Read) -> None:
    try:
        read.data = read_image_file(read.path)
        read.digest = hashlib.sha256(read.data).digest()
    except ImageError as error:
        read.problem = error.reason
