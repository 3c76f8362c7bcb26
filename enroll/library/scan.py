"""Scan a folder for the faces of its photos and films.

Later scans read only what is new or changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import Advance, Progress
from embedder.errors import FolderError
from embedder.folders import Rejected
from enroll.config import FilmConfig
from enroll.gallery.places import photo_file, stored_path
from enroll.library.files import has_still, list_photos
from enroll.library.grouping import usual_threshold
from enroll.library.matching import matched
from enroll.library.scan_films import FilmLooker, read_films
from enroll.library.scan_photos import PhotoLooker
from enroll.library.scanned import Block, Looked, Read, Scanned
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.looking import Looker
    from enroll.store.library import LibraryStore

BLOCK = 64  # files after which results are written: a killed process loses as many
_FILMS = FilmConfig()
_SECONDS = 10.0  # after which they are written, too


class Scanner:
    """Scans folders into a gallery's library."""

    def __init__(
        self,
        library: LibraryStore,
        extractor: Extractor,
        home: Path | None,
        keep_unknown: int | None = None,
        today: date | None = None,
        films: FilmConfig | None = _FILMS,
        elsewhere: Looker | None = None,
    ) -> None:
        """Prepare a scan.

        Args:
            library: of a gallery that is bound to the model.
            extractor: the model.
            home: the folder that relative paths of the gallery start from.
            keep_unknown: days for which faces without a name are kept; None: for ever.
            today: the day from which they count.
            films: options and limits for films; None leaves films out.
            elsewhere: searches photos on other machines, as from `enroll.cluster.connect`; films are read
                here.
        """
        self._library, self._extractor, self._home = library, extractor, home
        today = today or date.today()
        self._expires = None if keep_unknown is None else today + timedelta(days=keep_unknown)
        self._photos = PhotoLooker(extractor, self._expires, elsewhere)
        self._films = None
        if films is not None:
            self._films = FilmLooker(
                extractor, usual_threshold(extractor.manifest.strangers), films, self._expires
            )
        self._by_number: dict[int, SeenPhoto] = {}
        self._by_digest: dict[bytes, SeenPhoto] = {}
        self._by_path: dict[str, SeenPhoto] = {}
        self._fresh: list[Looked] = []
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
        """Scan the new or changed photos and films of a folder, films last.

        Results are written every 64 files or 10 seconds; an interrupted scan continues from there. A
        film that it had begun is read again.

        Args:
            place: a folder, or a photo or film.
            again: scan all files, also those that are known.
            progress: progress bar, advanced with every file, and with the position in a film.

        Returns:
            What was found.

        Raises:
            FolderError: there is no such folder.
            GalleryError: the gallery cannot be written.
        """
        if not place.exists():
            raise FolderError(f"{place}: expected a folder of photos, there is none; is its disk connected?")
        listing = list_photos(place)
        films = listing.films if self._films else []
        done = Scanned(len(listing.photos), len(films), rejected=listing.rejected, others=listing.others)
        if len(films) < len(listing.films):
            done.others["films"] += len(listing.films)
        photos, films_left = (self._pending(files, again, done) for files in (listing.photos, films))
        with (progress or Progress()).bar("Scanning", done.photos + done.films, "files") as advance:
            advance(done.unchanged)
            written = time.monotonic()
            new = partial(self._filtered, again=again, done=done)
            in_photos = self._photos.look(photos, new)
            for looked in chain(in_photos, self._look_at_films(films_left, again, done, advance)):
                self._fresh.append(looked)
                if len(self._fresh) >= BLOCK or time.monotonic() - written > _SECONDS:
                    self._write(done)
                    written = time.monotonic()
                advance(1, looked.read.path.name)
            self._write(done)
        self._note_gone(place, [*listing.photos, *listing.films], done)
        return done

    def _pending(
        self, files: Iterable[tuple[Path, os.stat_result]], again: bool, done: Scanned
    ) -> list[tuple[Path, PhotoFile]]:
        return [
            (path, file)
            for path, status in files
            if not self._is_known(file := self._file(path, status), again, done)
        ]

    def _look_at_films(
        self, films: Iterable[tuple[Path, PhotoFile]], again: bool, done: Scanned, advance: Advance
    ) -> Iterator[Looked]:
        if self._films is None:
            return
        reads = read_films(films, self._films.config, done.others)
        for read in self._filtered(reads, again, done):
            self._write(done)  # a film may take an hour, in which nothing that was found is to be lost
            yield self._films.look(read, advance)

    def _file(self, path: Path, status: os.stat_result) -> PhotoFile:
        return PhotoFile(stored_path(path, self._home), status.st_size, status.st_mtime_ns)

    def _is_known(self, file: PhotoFile, again: bool, done: Scanned) -> bool:
        """Return whether a file is unchanged since it was scanned; nothing of it is read then."""
        photo = self._by_path.get(file.path)
        if photo is None or again or photo.model != self._extractor.fingerprint or file not in photo.files:
            return False
        if self._still_is_gone(photo, file):
            return False
        if photo.problem:
            done.rejected.append(Rejected(photo_file(file.path, self._home), photo.problem))
        done.unchanged += 1
        return True

    def _still_is_gone(self, photo: SeenPhoto | None, file: PhotoFile) -> bool:
        """Return whether a film was left out for a photo that is not beside it any more."""
        return photo is not None and photo.live and not has_still(photo_file(file.path, self._home))

    def _filtered(self, reads: Iterable[Read], again: bool, done: Scanned) -> Iterator[Read]:
        """Yield the files that are to be searched for faces."""
        for read in reads:
            if read.problem:
                yield read
                continue
            photo = self._by_digest.get(read.digest)
            known = photo is not None and photo.model == self._extractor.fingerprint
            if known and not (again or self._still_is_gone(photo, read.file)):
                done.moved += 1
                self._fresh.append(Looked(read, None))
                read.data = b""
            elif photo is None and self._library.forgotten(read.digest):
                done.forgotten += 1
            else:
                yield read

    def _write(self, done: Scanned) -> None:
        """Write what was found since the last write."""
        block = Block()
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

    def _take(self, looked: Looked, block: Block) -> None:
        """Prepare what is to be written of a file."""
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
                block.gone += [face.number for face in lost]
                block.found += len(more)
        elif digest in block.new:  # a copy
            photo = block.new[digest]
            block.new[digest] = replace(photo, files=(*photo.files, file))
        elif looked.photo is not None:
            block.new[digest], block.faces_of[digest] = looked.photo, looked.faces
            block.found += len(looked.faces)

    def _exists(self, file: PhotoFile) -> bool:
        """Return whether another file of a photo is still there; otherwise it has moved."""
        return photo_file(file.path, self._home).exists()

    def _is_same_picture(self, before: SeenPhoto, looked: Looked) -> bool:
        """Return whether a changed file still has the same faces in the same places."""
        photo = looked.photo
        if photo is None or sum(file.there for file in before.files) > 1:
            return False
        if (photo.width, photo.height) != (before.width, before.height):
            return False
        kept, more, lost = matched(self._faces.get(before.number, []), looked.faces, before.number)
        return bool(kept) and not more and not lost

    @cached_property
    def _faces(self) -> dict[int, list[SeenFace]]:
        """The faces of each photo before this scan, which scans each photo once."""
        faces: dict[int, list[SeenFace]] = {}
        for face in self._library.faces():
            faces.setdefault(face.photo, []).append(face)
        return faces

    def _note_gone(self, place: Path, listed: Sequence[tuple[Path, os.stat_result]], done: Scanned) -> None:
        """Mark the files of a folder that are gone; what is known of their photos stays."""
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
