"""Look for the faces of a folder once; the second time only at what is new or changed."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import Progress, in_order
from embedder.errors import FolderError, ImageError
from embedder.folders import Rejected
from embedder.images import read_image_file
from enroll.gallery.places import face_digest, photo_file, stored_path
from enroll.library.files import list_photos
from enroll.library.matching import matched
from enroll.looking import AskedPhoto, SearchedPhoto, answered, batched, search_photo
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.looking import Looker
    from enroll.store.library import LibraryStore

BLOCK = 64  # photos after which what was found is written: what a kill can lose
_SECONDS = 10.0  # after which it is written, too
_MISSING_PACKAGE = "a package is missing"


@dataclass
class Scanned:
    """What a scan came to.

    Attributes:
        photos: files that may be photos.
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
    looked: int = 0
    unchanged: int = 0
    moved: int = 0
    forgotten: int = 0
    gone: int = 0
    faces: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class _Read:
    """A file that was read: its content until it was looked at."""

    path: Path
    file: PhotoFile
    data: bytes = b""
    digest: bytes = b""
    problem: str | None = None


@dataclass(eq=False)
class _Looked:
    read: _Read
    photo: SeenPhoto | None
    faces: list[SeenFace] = field(default_factory=list)


@dataclass
class _Block:
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


class Scanner:
    """Scans folders into a gallery's library."""

    def __init__(
        self,
        library: LibraryStore,
        extractor: Extractor,
        home: Path | None,
        keep_unknown: int | None = None,
        today: date | None = None,
        elsewhere: Looker | None = None,
    ) -> None:
        """Prepare.

        Args:
            library: of a gallery that is bound to the model.
            extractor: the model.
            home: the folder that relative paths of the gallery start from.
            keep_unknown: days for which faces are kept that nobody names; None is for ever.
            today: the day from which they count.
            elsewhere: looks at the photos on other machines, as of `enroll.cluster.connect`.
        """
        self._library, self._extractor, self._home, self._elsewhere = library, extractor, home, elsewhere
        today = today or date.today()
        self._expires = None if keep_unknown is None else today + timedelta(days=keep_unknown)
        self._by_number: dict[int, SeenPhoto] = {}
        self._by_digest: dict[bytes, SeenPhoto] = {}
        self._by_path: dict[str, SeenPhoto] = {}
        self._fresh: list[_Looked] = []
        for photo in library.photos():
            self._remember(photo)

    def _remember(self, photo: SeenPhoto) -> None:
        before = self._by_number.get(photo.number)
        if before is not None and before.digest != photo.digest:
            self._by_digest.pop(before.digest, None)
        self._by_number[photo.number] = self._by_digest[photo.digest] = photo
        for file in photo.files:
            if file.there or file.path not in self._by_path:
                self._by_path[file.path] = photo

    def scan(self, place: Path, again: bool = False, progress: Progress | None = None) -> Scanned:
        """Look at the photos of a folder that are new or changed.

        What was found is written every 64 photos or 10 seconds; a scan that was ended goes on from there.

        Args:
            place: a folder, or a photo.
            again: look at all photos, also those that are known.
            progress: hears of each photo.

        Raises:
            FolderError: there is no such folder.
            GalleryError: the gallery cannot be written.
        """
        if not place.exists():
            raise FolderError(f"{place}: expected a folder of photos, there is none; is its disk connected?")
        listing = list_photos(place)
        done = Scanned(len(listing.photos), rejected=listing.rejected, others=listing.others)
        pending = [
            (path, file)
            for path, status in listing.photos
            if not self._is_known(file := self._file(path, status), again, done)
        ]
        with (progress or Progress()).bar("Scanning", len(listing.photos), "photos") as advance:
            advance(done.unchanged)
            written = time.monotonic()
            for looked in self._found(pending, again, done):
                self._fresh.append(looked)
                if len(self._fresh) >= BLOCK or time.monotonic() - written > _SECONDS:
                    self._write(done)
                    written = time.monotonic()
                advance(1, looked.read.path.name)
            self._write(done)
        self._note_gone(place, listing.photos, done)
        return done

    def _file(self, path: Path, status: os.stat_result) -> PhotoFile:
        return PhotoFile(stored_path(path, self._home), status.st_size, status.st_mtime_ns)

    def _is_known(self, file: PhotoFile, again: bool, done: Scanned) -> bool:
        """Say whether a file is as it was when it was looked at; nothing of it is read then."""
        photo = self._by_path.get(file.path)
        if photo is None or again or photo.model != self._extractor.fingerprint or file not in photo.files:
            return False
        if photo.problem:
            done.rejected.append(Rejected(photo_file(file.path, self._home), photo.problem))
        done.unchanged += 1
        return True

    def _filtered(self, reads: Iterable[_Read], again: bool, done: Scanned) -> Iterator[_Read]:
        """Give the files whose faces are to be looked for."""
        for read in reads:
            if read.problem:
                yield read
                continue
            photo = self._by_digest.get(read.digest)
            if photo is not None and photo.model == self._extractor.fingerprint and not again:
                done.moved += 1
                self._fresh.append(_Looked(read, None))
                read.data = b""
            elif photo is None and self._library.forgotten(read.digest):
                done.forgotten += 1
            else:
                yield read

    def _look(self, read: _Read) -> _Looked:
        """Find and embed the faces of a photo, in a thread of its own."""
        if read.problem:
            return _Looked(read, None)
        data, read.data = read.data, b""
        return self._as_looked(read, search_photo(data, read.digest, read.path, self._extractor))

    def _as_looked(self, read: _Read, found: SearchedPhoto) -> _Looked:
        read.problem = found.problem
        if not found.digest or (found.problem and _MISSING_PACKAGE in found.problem):  # may be there later
            return _Looked(read, None)
        if found.digest != read.digest:
            read.problem = "it changed while it was read; scan again"
            return _Looked(read, None)
        model = self._extractor.fingerprint
        size = found.width, found.height
        photo = SeenPhoto(read.digest, (read.file,), *size, found.taken, found.problem, model)
        faces = [
            SeenFace(
                0,
                face.box,
                face.vector,
                face.quality,
                self._expires,
                model,
                key=face_digest(read.digest, face.box),
            )
            for face in found.faces
        ]
        return _Looked(read, photo, faces)

    def _found(self, pending: list[tuple[Path, PhotoFile]], again: bool, done: Scanned) -> Iterator[_Looked]:
        """Look at what is new among files that are new or changed, side by side."""
        if self._elsewhere is None:
            return in_order(self._look, self._filtered(in_order(_read, pending), again, done))
        return self._found_elsewhere(self._elsewhere, pending, again, done)

    def _found_elsewhere(
        self, away: Looker, pending: list[tuple[Path, PhotoFile]], again: bool, done: Scanned
    ) -> Iterator[_Looked]:
        """Have files read first, and looked at only if they are not known, on other machines."""

        def first(read: _Read) -> AskedPhoto | None:
            if not away.sends:
                return AskedPhoto(read.path)
            _fill(read)
            return None

        def reads() -> Iterator[_Read]:
            files = (_Read(path, file) for path, file in pending)
            for part in answered(batched(files, away.window), first, away.digests):
                for read, answer in part:
                    if answer is not None:
                        read.digest, read.problem = answer.digest, answer.problem
                    yield read

        def look(read: _Read) -> AskedPhoto | None:
            data, read.data = read.data, b""
            return None if read.problem else AskedPhoto(read.path, data or None)

        new = batched(self._filtered(reads(), again, done), away.window)
        for part in answered(new, look, away.faces):
            for read, found in part:
                yield _Looked(read, None) if found is None else self._as_looked(read, found)

    def _write(self, done: Scanned) -> None:
        """Write what was found since the last time."""
        block = _Block()
        for looked in self._fresh:
            read = looked.read
            if read.problem:
                done.rejected.append(Rejected(read.path, read.problem))
            done.looked += looked.photo is not None
            if looked.photo is not None or not read.problem:
                self._take(looked, block)
        done.faces += block.found
        numbers = self._library.write(
            [(photo, block.faces_of[photo.digest]) for photo in block.new.values()],
            list(block.photos.values()),
            block.faces,
            block.gone,
        )
        stored = [replace(photo, number=n) for photo, n in zip(block.new.values(), numbers, strict=True)]
        for photo in [*block.photos.values(), *stored]:
            self._remember(photo)
        self._fresh = []

    def _take(self, looked: _Looked, block: _Block) -> None:
        """Say what is to be written of a file."""
        file, digest = looked.read.file, looked.read.digest
        known = self._by_digest.get(digest)
        before = self._by_path.get(file.path)
        if known is None and before is not None and self._is_same_picture(before, looked):
            known = before
        elif before is not None and (known is None or before.number != known.number):
            block.leave(before, file)
        if known is not None:
            photo = block.photos.get(known.number, known)
            others = (entry for entry in photo.files if entry.path != file.path)
            files = (*(entry for entry in others if self._exists(entry)), file)
            now = replace(looked.photo or photo, digest=digest, files=files, number=known.number)
            block.photos[known.number] = now
            if looked.photo is not None:
                kept, more, lost = matched(self._faces.get(known.number, []), looked.faces, known.number)
                block.faces += [*kept, *more]
                block.gone += [face.number for face in lost if face.number not in self._decided]
                block.found += len(more)
        elif digest in block.new:  # a copy
            photo = block.new[digest]
            block.new[digest] = replace(photo, files=(*photo.files, file))
        elif looked.photo is not None:
            block.new[digest], block.faces_of[digest] = looked.photo, looked.faces
            block.found += len(looked.faces)

    def _exists(self, file: PhotoFile) -> bool:
        """Say whether a photo's other file is still there: else it has moved."""
        return photo_file(file.path, self._home).exists()

    def _is_same_picture(self, before: SeenPhoto, looked: _Looked) -> bool:
        """Say whether a changed file still shows the same faces at the same places, as with new metadata."""
        photo = looked.photo
        if photo is None or len(before.files) > 1:
            return False
        if (photo.width, photo.height) != (before.width, before.height):
            return False
        kept, more, lost = matched(self._faces.get(before.number, []), looked.faces, before.number)
        return bool(kept) and not more and not lost

    @cached_property
    def _faces(self) -> dict[int, list[SeenFace]]:
        """The faces of each photo, as they were when this scan began: it looks at each photo once."""
        faces: dict[int, list[SeenFace]] = {}
        for face in self._library.faces():
            faces.setdefault(face.photo, []).append(face)
        return faces

    @cached_property
    def _decided(self) -> set[int]:
        """The faces that people decided about: a scan takes none of them away."""
        faces = set(self._library.names())
        for step in self._library.steps():
            faces |= {*step.content.get("faces", ()), *step.content.get("others", ())}
        return faces

    def _note_gone(self, place: Path, listed: Sequence[tuple[Path, os.stat_result]], done: Scanned) -> None:
        """Note which files of a folder are not there any more; what is known of their photos stays."""
        there = {stored_path(path, self._home) for path, _ in listed}
        root = place.absolute()
        unread = [entry.path.absolute() for entry in done.rejected]
        changed = []
        for photo in list(self._by_number.values()):
            files = []
            for file in photo.files:
                path = photo_file(file.path, self._home).absolute()
                below = path.is_relative_to(root) and not any(path.is_relative_to(entry) for entry in unread)
                gone = below and file.path not in there and not path.exists()
                files.append(replace(file, there=not gone) if below else file)
            if tuple(files) != photo.files:
                done.gone += not any(file.there for file in files)
                changed.append(replace(photo, files=tuple(files)))
        if changed:
            self._library.write(photos=changed)


def _read(entry: tuple[Path, PhotoFile]) -> _Read:
    read = _Read(*entry)
    _fill(read)
    return read


def _fill(read: _Read) -> None:
    try:
        read.data = read_image_file(read.path)
        read.digest = hashlib.sha256(read.data).digest()
    except ImageError as error:
        read.problem = error.reason
