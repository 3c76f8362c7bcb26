"""Find the files behind templates, check them, and find a photo by its name.

On the command line a photo is called by its path, or by the beginning of its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.files import open_file
from embedder._internal.runtime import Progress
from embedder._internal.wording import count
from embedder.config import QualityLimits
from embedder.errors import ImageError, UsageError
from embedder.faces.crop import main_or_at
from embedder.faces.photo import find_crops
from embedder.faces.quality import rejection_reason
from embedder.images import decode_frames, read_image_file
from enroll.gallery.places import box_of, face_digest, home_of, moment_of, photo_file, stored_path
from enroll.templates import StoredTemplate

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.store import Store
    from enroll.templates import NewTemplate, StoredTemplate


MISSING = "no longer where it was enrolled from"
CHANGED = "not the picture that was enrolled"
CHANGED_FILM = "not the film that was enrolled from"

_PART = 1 << 20  # bytes
_SHORTEST = 8  # hexadecimal digits
_SHOWN = 16


class OriginalPhotos:
    """Finds photos by their digest: where they were, or anywhere in a folder."""

    def __init__(self, folder: Path | None = None, home: Path | None = None) -> None:
        """Check the folder, if one is given.

        Args:
            folder: where to look for photos that were moved.
            home: folder of the gallery; see `enroll.gallery.places`.

        Raises:
            UsageError: it is no folder.
        """
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of photos")
        self._folder, self._home = folder, home

    def read(self, template: NewTemplate | StoredTemplate) -> tuple[Path, bytes] | str:
        """Return a photo's path and bytes, or one sentence that says why not."""
        where = photo_file(template.photo, self._home) if template.photo else None
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
            box = box_of(template.photo)
            if template.digest == (face_digest(_digest(data), box) if box else _digest(data)):
                return place, data
            reason = CHANGED
        return reason

    def film(self, template: NewTemplate | StoredTemplate) -> Path | str:
        """Return the path of the film that a template is a frame of, or a sentence that says why not."""
        where = photo_file(template.photo, self._home)
        try:
            summed = hashlib.sha256()
            with open_file(where) as file:
                while part := file.read(_PART):
                    summed.update(part)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            return MISSING if missing else f"cannot be read: {error.strerror or error}"
        box, moment = box_of(template.photo) or (), moment_of(template.photo)
        return where if template.digest == face_digest(summed.digest(), box, moment) else CHANGED_FILM

    @cached_property
    def _moved(self) -> dict[bytes, Path]:
        found: dict[bytes, Path] = {}
        for path in _files(self._folder):
            with suppress(ImageError):  # it is no picture, or cannot be read
                found.setdefault(_digest(read_image_file(path)), path)
        return found


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _files(folder: Path | None) -> Iterator[Path]:
    for place, folders, names in os.walk(folder) if folder is not None else ():
        folders.sort()
        for name in sorted(names):
            yield Path(place) / name


def photo_handle(stored: Sequence[StoredTemplate], template: StoredTemplate) -> str:
    """Return a text by which `find_photo` finds the template.

    It is its path, if that is one photo's only and printable; else the beginning of its SHA-256.

    Args:
        stored: all templates of the person.
        template: one of them.
    """
    same = [entry for entry in stored if entry.photo == template.photo]
    if len(same) == 1 and template.photo and template.photo.isprintable():
        return template.photo
    return template.digest.hex()[:_SHOWN]


def find_photo(
    name: str, stored: Sequence[StoredTemplate], text: str, home: Path | None = None
) -> StoredTemplate:
    """Find the one photo of a person that a text stands for.

    Args:
        name: of the person, for errors.
        stored: all templates of the person.
        text: a path, or the beginning of a SHA-256.
        home: folder of the gallery; see `enroll.gallery.places`.

    Raises:
        UsageError: there is none, or more than one.
    """
    wanted = {text, stored_path(Path(text), home)}
    found = [
        entry
        for entry in stored
        if entry.photo in wanted or photo_file(entry.photo, home).absolute() == Path(text).absolute()
    ]
    if not found and len(text) >= _SHORTEST:
        found = [entry for entry in stored if entry.digest.hex().startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"{name}: has no photo {text!r}; expected the path it was enrolled from, or at least {_SHORTEST} "
            f"digits of its SHA-256: {', '.join(repr(photo_handle(stored, entry)) for entry in stored[:3])}"
            f"{', …' if len(stored) > 3 else ''}"
        )
    digests = ", ".join(entry.digest.hex()[:_SHOWN] for entry in found)
    raise UsageError(f"{name}: has {count(len(found), 'photo')} {text!r}; expected one of {digests}")


@dataclass(frozen=True)
class PoorPhoto:
    """Holds an enrolled photo that would now be refused without --accept-low-quality.

    Attributes:
        name: of the person.
        template: made of the photo.
        reason: why it would be refused.
    """

    name: str
    template: StoredTemplate
    reason: str


@dataclass(frozen=True)
class PoorPhotos:
    """Holds the enrolled photos of poor quality.

    Attributes:
        photos: the poor ones, by person.
        gone: number of photos whose files are gone or have changed.
    """

    photos: tuple[PoorPhoto, ...]
    gone: int


def find_poor(store: Store, extractor: Extractor, progress: Progress | None = None) -> PoorPhotos:
    """Check the quality of the enrolled photos again.

    Args:
        store: the gallery.
        extractor: finds the faces.
        progress: progress bar, advanced with every person.
    """
    files, poor, gone = OriginalPhotos(home=home_of(store)), [], 0
    people = store.identities()
    with (progress or Progress()).bar("Looking", len(people)) as advance:
        for name, _ in people:
            for template in store.stored(name):
                if moment_of(template.photo) is not None:  # of a film: a scan judged it
                    continue
                found = files.read(template)
                if isinstance(found, str):
                    gone += 1
                elif reason := _problem(*found, extractor, box_of(template.photo)):
                    poor.append(PoorPhoto(name, template, reason))
            advance()
    return PoorPhotos(tuple(poor), gone)


def _problem(
    path: Path, data: bytes, extractor: Extractor, box: tuple[int, int, int, int] | None = None
) -> str | None:
    try:
        found = find_crops(decode_frames(data, path), extractor.crops, path)
    except ImageError as error:
        return error.reason
    if not found.crops:
        return found.no_face
    quality = main_or_at(found.crops, found.pixels.shape, box).quality
    return rejection_reason(quality, QualityLimits()) if quality else None
