"""Manage the people of a gallery, and pictures of them: enroll, show, change, erase.

All of it runs in a thread of the engine.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import PhotoConflictError, UnknownIdentityError
from embedder.faces.crop import NO_FACE, several_faces_note
from embedder.folders import Rejected
from embedder.names import name_notes
from enroll.embedding import PhotoSample, embed_samples, enrolled_crop, read_sample
from enroll.gallery.gallery import checked_name
from enroll.gallery.photos import OriginalPhotos
from enroll.gallery.places import home_of, stored_path
from enroll.serve.cutting import png
from enroll.serve.pictures import PictureFolder
from enroll.serve.problems import ProblemError
from enroll.store import NewPerson, NewTemplate, Store, StoredTemplate, Terms
from enroll.store.actor import acting
from enroll.store.messages import conflict_reason

if TYPE_CHECKING:
    from enroll.serve.access import Caller
    from enroll.serve.engine import Engine
    from enroll.serve.metrics import Metrics
    from enroll.serve.uploads import Upload
    from enroll.store import Person

_TOGETHER = 500  # pictures that are looked up at once
_LATELY = 10.0  # seconds


@dataclass(frozen=True)
class Enrolment:
    """Holds the result of enrolling uploads of one person; it is on disk.

    Attributes:
        name: as it is stored.
        added: photos that were added.
        already: number of uploads that were theirs before, or were given twice.
        rejected: uploads that could not be used, with the reason.
        notes: remarks for a person to check.
        conflict: whether all that was rejected belongs to someone else.
    """

    name: str
    added: tuple[StoredTemplate, ...]
    already: int
    rejected: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    conflict: bool = False


class People:
    """Manages the people of the gallery."""

    def __init__(self, engine: Engine, pictures: PictureFolder | None, metrics: Metrics) -> None:
        """Prepare.

        Args:
            engine: gives the gallery.
            pictures: where enrolled pictures are kept, None if they are not.
            metrics: counts enrolled and erased photos.
        """
        self._engine, self._metrics = engine, metrics
        self._pictures = pictures
        self._lately: tuple[float, list[str]] | None = None
        self._listed: tuple[tuple[int, int], dict[int, str]] | None = None

    @property
    def keeps_photos(self) -> bool:
        """Whether enrolled pictures are kept.

        Not of an encrypted gallery, as they are not encrypted.
        """
        return self._pictures is not None and not getattr(self._store, "encrypted", False)

    @property
    def _store(self) -> Store:
        return self._engine.session().store

    def everyone(self) -> list[Person]:
        """Return all people, by name."""
        return self._store.people()

    def person(self, name: str) -> Person:
        """Return one person.

        Raises:
            UnknownIdentityError: no such name.
        """
        stored = checked_name(name)
        for person in self._store.people():
            if person.name == stored:
                return person
        raise UnknownIdentityError(f"{stored!r}: not enrolled")

    def photos(self, name: str) -> list[StoredTemplate]:
        """Return the photos of a person, by id.

        Raises:
            UnknownIdentityError: no such name.
        """
        return self._store.stored(checked_name(name))

    def photo(self, name: str, number: str) -> StoredTemplate:
        """Return one photo of a person.

        Raises:
            UnknownIdentityError: no such name.
            ProblemError: no such photo.
        """
        for template in self.photos(name):
            if str(template.id) == number:
                return template
        raise ProblemError("unknown-photo", f"{checked_name(name)!r} has no photo {number[:40]!r}")

    def owners(self) -> dict[int, str]:
        """Return the name of each photo's person, by the photo's id."""
        store = self._store
        now = store.changes()
        listed = self._listed
        if listed is None or listed[0] != now:
            templates = store.templates()
            names = dict(zip(templates.ids.tolist(), templates.identities.tolist(), strict=True))
            self._listed = listed = now, names
        return listed[1]

    def enroll(
        self, name: str, uploads: Sequence[Upload], force: bool, terms: Terms | None, caller: Caller
    ) -> Enrolment:
        """Enroll uploads of one person, new or known.

        Args:
            name: of the person.
            uploads: the pictures.
            force: accept faces that are too poor to be recognized well, too.
            terms: consent and last day; None leaves those there.
            caller: who enrolls them.

        Raises:
            UsageError: the name or the terms cannot be stored.
            GalleryError: the gallery cannot be written, or is of another model.
        """
        name = checked_name(name)
        session = self._engine.session()
        store, extractor = session.bound(), session.extractor
        known = self._names_lately()
        read = [
            read_sample(Path(upload.name), extractor, force, upload.data)
            if upload.data
            else Rejected(Path(upload.name), "the file is empty")
            for upload in uploads
        ]
        found = embed_samples(read, extractor)
        digests = [hashlib.sha256(upload.data).digest() for upload in uploads]
        fresh: dict[bytes, tuple[Upload, PhotoSample]] = {}
        rejected: list[tuple[str, str]] = []
        notes, already = list(name_notes([name], known)), 0
        for upload, sample, digest in zip(uploads, found, digests, strict=True):
            if isinstance(sample, Rejected):
                rejected.append((upload.name, sample.reason))
            elif sample.problem or sample.vector is None:
                rejected.append((upload.name, _over_http(sample.problem or NO_FACE)))
            elif digest in fresh:
                already += 1
            else:
                fresh[digest] = upload, sample
                if note := several_faces_note(sample.faces):
                    notes.append(f"{upload.name}: {note}")
        with self._changing(caller):
            owners = dict(zip(fresh, store.owners(list(fresh)), strict=True)) if fresh else {}
            taken = {digest: owner for digest, owner in owners.items() if owner not in (None, name)}
            for digest, owner in taken.items():
                rejected.append((fresh.pop(digest)[0].name, conflict_reason(owner or "")))
            new = [digest for digest in fresh if owners[digest] is None]
            already += len(fresh) - len(new)
            self._add(name, {digest: fresh[digest] for digest in new}, terms)
            if terms is not None and not new and fresh:
                store.set_terms(name, terms)
            added = tuple(entry for entry in self._stored(name) if entry.digest in new)
        self._metrics.enrolled(len(added))
        conflict = bool(taken) and len(taken) == len(rejected)
        return Enrolment(name, added, already, tuple(rejected), tuple(notes), conflict)

    def _names_lately(self) -> list[str]:
        """Return all names as of at most 10 seconds ago, for notes on names that look alike."""
        now = time.monotonic()
        if self._lately is None or now - self._lately[0] > _LATELY:
            self._lately = now, [person for person, _ in self._store.identities()]
        return self._lately[1]

    def _stored(self, name: str) -> list[StoredTemplate]:
        with suppress(UnknownIdentityError):  # the person is new and all was rejected, or was erased since
            return self._store.stored(name)
        return []

    def _add(self, name: str, new: dict[bytes, tuple[Upload, PhotoSample]], terms: Terms | None) -> None:
        if not new:
            return
        store, extractor = self._store, self._engine.extractor
        templates = []
        try:
            for digest, (upload, sample) in new.items():
                text = upload.name
                if self.keeps_photos and self._pictures is not None:
                    text = _place(self._pictures.keep(digest, upload.data), home_of(store))
                assert sample.vector is not None
                templates.append(NewTemplate(text, digest, sample.vector))
            store.bind(extractor.fingerprint, extractor.dim)
            store.add_many([NewPerson(name, templates, terms)])
        except BaseException as error:
            if self._pictures is not None:
                self._pictures.erase(
                    digest
                    for digest, owner in zip(new, store.owners(list(new)), strict=True)
                    if owner is None
                )
            if isinstance(error, PhotoConflictError):
                raise ProblemError("conflict", error.reason) from error
            raise

    @contextmanager
    def _changing(self, caller: Caller) -> Iterator[None]:
        """Let one request at a time change pictures and people together, and log the caller."""
        with acting(caller.journal):
            if self._pictures is None:
                yield
            else:
                with self._pictures.changing():
                    yield

    def crop(self, name: str, number: str) -> bytes:
        """Return the face of a photo as a PNG file.

        Raises:
            UnknownIdentityError: no such name.
            ProblemError: no such photo, or its picture is gone.
        """
        store, extractor = self._store, self._engine.extractor
        found = OriginalPhotos(home=home_of(store)).read(self.photo(name, number))
        if isinstance(found, str):
            raise ProblemError(
                "unknown-photo", f"the picture of photo {number} cannot be shown: it is {found}"
            )
        crop = enrolled_crop(extractor, found[0])
        if crop is None:
            raise ProblemError("unknown-photo", f"no face is found any more in the picture of photo {number}")
        return png(crop)

    def rename(self, name: str, new: str, caller: Caller) -> str:
        """Change the name of a person, and return it as it is stored.

        Args:
            name: of the person.
            new: the new name.
            caller: who renames them.

        Raises:
            UnknownIdentityError: no such name.
            ProblemError: the new name is taken.
            UsageError: it cannot be stored.
        """
        old, new = checked_name(name), checked_name(new)
        store = self._store
        if new != old and any(person == new for person, _ in store.identities()):
            raise ProblemError("conflict", f"{new!r} is enrolled already; if they are one person, merge them")
        with self._changing(caller):
            store.rename(old, new)
        return new

    def merge(self, kept: str, other: str, caller: Caller) -> int:
        """Join two people who are one, and return the number of photos moved.

        Args:
            kept: name that stays.
            other: name that goes.
            caller: who joins them.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: they are one name.
        """
        with self._changing(caller):
            return self._store.merge_people(checked_name(kept), checked_name(other))

    def set_terms(self, name: str, terms: Terms, caller: Caller) -> None:
        """Replace the terms of a person.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: they cannot be stored.
        """
        with self._changing(caller):
            self._store.set_terms(checked_name(name), terms)

    def remove(self, name: str, caller: Caller) -> int:
        """Erase a person, their photos, and the pictures kept of them.

        Return the number of photos.

        Raises:
            UnknownIdentityError: no such name.
        """
        name = checked_name(name)
        with self._changing(caller):
            digests = [entry.digest for entry in self._store.stored(name)]
            count = self._store.remove(name)
            self._forget(digests)
        self._metrics.erased(count)
        return count

    def drop(self, templates: Sequence[StoredTemplate], caller: Caller) -> int:
        """Erase single photos, and the pictures kept of them; return how many there were."""
        with self._changing(caller):
            count = self._store.drop([entry.id for entry in templates])
            self._forget([entry.digest for entry in templates])
        self._metrics.erased(count)
        return count

    def _forget(self, digests: list[bytes]) -> None:
        if self._pictures is not None:
            self._pictures.erase(digests)

    def tidy(self) -> int:
        """Delete pictures that belong to no photo, as after a process was killed.

        Returns:
            Number of pictures deleted.
        """
        if self._pictures is None:
            return 0
        there, strays = self._pictures.all(), 0
        for start in range(0, len(there), _TOGETHER):
            with self._pictures.changing():
                some = there[start : start + _TOGETHER]
                owners = self._store.owners(some)
                gone = [digest for digest, owner in zip(some, owners, strict=True) if owner is None]
                self._pictures.erase(gone)
                strays += len(gone)
        return strays


def is_expired(terms: Terms) -> bool:
    """Return whether a person's last day is over."""
    return terms.expires is not None and terms.expires < date.today()


def _place(path: Path, home: Path | None) -> str:
    """Return the path of a picture, relative to the gallery if they can be moved together."""
    if home is not None and path.is_relative_to(home):
        return os.fspath(path.relative_to(home)).replace(os.sep, "/")
    return stored_path(path, home)


def _over_http(reason: str) -> str:
    """Return a message without the options of the command line."""
    found, separator, advice = reason.partition("; ")
    if "--accept-low-quality" in advice:
        return f"{found}; force=true enrolls it all the same"
    return found if "--" in advice else f"{found}{separator}{advice}"
