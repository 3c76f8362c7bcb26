"""Enroll photos of people: embed them in several threads, write some people at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.runtime import map_in_order
from embedder.contact_sheet import Tile
from embedder.copies import Copy
from embedder.errors import ImageError, PhotoConflictError, UnknownIdentityError
from embedder.faces.crop import NO_FACE, in_short, several_faces_note
from embedder.folders import Rejected
from enroll.embedding import PhotoSample, embed_samples, part_size, read_sample
from enroll.gallery.given import content_of, is_file, path_of
from enroll.gallery.places import home_of, photo_file, stored_path
from enroll.looking import AskedPhoto, answered
from enroll.store import NewPerson, Store, Terms
from enroll.store.messages import conflict_reason
from enroll.templates import NewTemplate

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from embedder.images import Photo
    from enroll.looking import Looker, SampledPhoto


_WRITTEN = 256  # photos after which people are written: a killed process loses as many, some seconds of work
_MOST_WRITTEN = 4 * _WRITTEN  # after which also a part of one person is written


@dataclass(frozen=True)
class Replaced:
    """Holds an enrolled photo whose file is now another picture.

    The earlier picture is still a template.

    Attributes:
        path: of the photo.
        digest: SHA-256 of the earlier file, 32 bytes.
    """

    path: Path
    digest: bytes


@dataclass(frozen=True)
class EnrollmentResult:
    """Holds the result of enrolling photos of one person; it is on disk.

    Attributes:
        identity: the name as it is stored.
        added: number of photos that became templates.
        already: number of photos that were theirs before, or were given twice.
        rejected: photos that could not be used, and why.
        samples: the faces found in the photos that were read; with crops only if they were asked for.
        copies: photos that show the same picture as an earlier one of the run.
        replaced: photos that were another picture when they were enrolled.
    """

    identity: str
    added: int
    already: int
    rejected: tuple[Rejected, ...]
    samples: tuple[PhotoSample, ...] = ()
    copies: tuple[Copy, ...] = ()
    replaced: tuple[Replaced, ...] = ()

    @property
    def crowded(self) -> dict[Path, int]:
        """The photos that show more than one face, and how many.

        The largest, most central face is enrolled.
        """
        return {
            sample.path: sample.faces for sample in self.samples if sample.faces > 1 and not sample.problem
        }

    def tiles(self) -> list[Tile]:
        """Return the tiles of a contact sheet: each photo enrolled, or not and why."""
        looked_at = {sample.path for sample in self.samples}
        unseen = [entry for entry in self.rejected if entry.path not in looked_at]
        return [
            Tile(
                self.identity,
                sample.crop,
                sample.path.name,
                in_short(sample.problem or several_faces_note(sample.faces)),
            )
            for sample in self.samples
        ] + [Tile(self.identity, None, entry.path.name, in_short(entry.reason)) for entry in unseen]


@dataclass(eq=False)
class _Person:
    """Holds a person whose photos are being read; `fresh` is not written yet."""

    name: str
    added: int = 0
    already: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    samples: list[PhotoSample] = field(default_factory=list)
    fresh: list[NewTemplate] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)

    def outcome(self) -> EnrollmentResult:
        """Return the result as far as it is written."""
        return EnrollmentResult(
            self.name,
            self.added,
            self.already,
            tuple(self.rejected),
            tuple(self.samples),
            tuple(self.copies),
            tuple(self.replaced),
        )


@dataclass(eq=False)
class _File:
    """Holds file content read in this run: its first person and path, and why it was refused."""

    name: str
    path: Path
    reason: str | None = None


@dataclass(eq=False)
class _Photo:
    """Holds a photo that is being processed.

    Attributes:
        given: as for `Gallery.enroll_many`.
        last: whether it is the last of its person.
        data: bytes of the file, until its face is searched for.
        first: the earlier file with the same content, if there is one.
        owner: name of the person who has it in the store.
        found: its face, or why it cannot be read.
    """

    person: _Person
    given: Photo
    path: Path
    last: bool
    data: bytes | None = None
    digest: bytes = b""
    file: _File | None = None
    first: _File | None = None
    owner: str | None = None
    found: PhotoSample | Rejected | None = None


class Enrollment:
    """Runs one enrollment; see `Gallery.enroll_many`."""

    def __init__(
        self,
        store: Store,
        extractor: Extractor,
        force: bool,
        terms: Terms | None,
        keep_crops: bool,
        elsewhere: Looker | None = None,
    ) -> None:
        self._store, self._extractor, self._elsewhere = store, extractor, elsewhere
        self._force, self._terms, self._keep_crops = force, terms, keep_crops
        self._met: dict[bytes, _File] = {}
        self._pictures: dict[bytes, tuple[Path, str]] = {}
        self._home = home_of(store)

    def run(
        self, people: Mapping[str, Sequence[Photo]], advance: Callable[[], object]
    ) -> Iterator[EnrollmentResult]:
        """Enroll people.

        Args:
            people: photos by the name of the person.
            advance: called after each photo.

        Yields:
            The result of each person, when it is written.
        """
        reading: list[_Person] = []  # begun, and not all written
        finished = photos = 0
        for part in self._embedded(people):
            for photo in part:
                if not reading or reading[-1] is not photo.person:
                    reading.append(photo.person)
                self._decide(photo)
                advance()
                photos += 1
                finished += photo.last
                if (photo.last and photos >= _WRITTEN) or photos >= _MOST_WRITTEN:
                    yield from self._write(reading, finished)
                    del reading[:finished]
                    finished = photos = 0
        yield from self._write(reading, finished)

    def _embedded(self, people: Mapping[str, Sequence[Photo]]) -> Iterator[list[_Photo]]:
        """Yield all photos in parts, with the faces of those that are new."""
        if self._elsewhere is None:
            parts = self._parts(people, part_size(sum(map(len, people.values()))))
            return map_in_order(self._embed, map(self._read, parts))
        parts, given = self._parts(people, self._elsewhere.window), chain.from_iterable(people.values())
        return self._embedded_elsewhere(self._elsewhere, parts, given)

    def _parts(self, people: Mapping[str, Sequence[Photo]], size: int) -> Iterator[list[_Photo]]:
        part: list[_Photo] = []
        for name, photos in people.items():
            person = _Person(name)
            for place, photo in enumerate(photos, 1):
                part.append(_Photo(person, photo, path_of(photo), place == len(photos)))
                if len(part) == size:
                    yield part
                    part = []
        if part:
            yield part

    def _read(self, part: list[_Photo]) -> list[_Photo]:
        """Read files, and find out which are new."""
        for photo in part:
            _read(photo)
        return self._sorted(part)

    def _sorted(self, part: list[_Photo]) -> list[_Photo]:
        """Find out which photos with known digests are new: those get a `file`."""
        readable = [photo for photo in part if photo.digest]
        owners = self._store.owners([photo.digest for photo in readable])
        for photo, owner in zip(readable, owners, strict=True):
            photo.owner = owner
            if owner is None and photo.digest in self._met:
                photo.first = self._met[photo.digest]
            elif owner is None:
                photo.file = self._met[photo.digest] = _File(photo.person.name, photo.path)
            if photo.file is None:
                photo.data = photo.found = None
        return part

    def _embedded_elsewhere(
        self, away: Looker, parts: Iterator[list[_Photo]], given: Iterable[Photo]
    ) -> Iterator[list[_Photo]]:
        """Embed photos on other machines.

        If some photos may be enrolled already, the digests of all are computed first, and only new ones
        embedded. For an empty gallery each photo is read once; one that is given twice is then embedded
        twice.
        """
        first = bool(self._store.model() and self._store.identities())
        first = first or away.sends or not all(map(is_file, given))

        def read(photo: _Photo) -> AskedPhoto | None:
            if not away.sends and is_file(photo.given):
                return AskedPhoto(photo.path)
            _read(photo)
            return None

        def look(photo: _Photo) -> AskedPhoto | None:
            data, photo.data = photo.data, None
            return AskedPhoto(photo.path, data) if photo.file is not None or not first else None

        def read_first() -> Iterator[list[_Photo]]:
            for part in answered(parts, read, away.digests):
                for photo, answer in part:
                    if answer is not None:
                        photo.digest = answer.digest
                        photo.found = Rejected(photo.path, answer.problem) if answer.problem else None
                yield self._sorted([photo for photo, _ in part])

        def ask(windows: Iterable[Sequence[AskedPhoto]]) -> Iterator[list[SampledPhoto]]:
            return away.samples(windows, self._force, self._keep_crops)

        for part in answered(read_first() if first else parts, look, ask):
            for photo, answer in part:
                if answer is not None:
                    photo.found = answer.found
                    if first and answer.digest not in (photo.digest, b""):
                        photo.found = Rejected(photo.path, "it changed while it was read; enroll it again")
                    photo.digest = photo.digest or answer.digest
            photos = [photo for photo, _ in part]
            yield photos if first else self._sorted(photos)

    def _embed(self, part: list[_Photo]) -> list[_Photo]:
        """Find and embed the faces of a part; runs in a thread of its own."""
        new = [photo for photo in part if photo.file is not None]
        samples = [read_sample(photo.path, self._extractor, self._force, photo.data) for photo in new]
        for photo, sample in zip(new, embed_samples(samples, self._extractor, self._keep_crops), strict=True):
            photo.found, photo.data = sample, None
        return part

    def _decide(self, photo: _Photo) -> None:
        """Decide on a photo, after all those before it: rejected, already there, or to be added."""
        person = photo.person
        if isinstance(photo.found, PhotoSample):
            person.samples.append(replace(photo.found, vector=None))
        reason, owner = _reason(photo.found), photo.owner
        where = ""
        if photo.first is not None:
            reason, owner, where = photo.first.reason, photo.first.name, str(photo.first.path)
            if owner == person.name and reason is None and photo.first.path != photo.path:
                person.copies.append(Copy(photo.path, owner, photo.first.path, owner))
        if photo.file is not None:
            photo.file.reason = reason
        if reason is None and owner is not None and owner != person.name:
            reason = conflict_reason(owner, where or self._photo_of(owner, photo.digest))
        if reason is not None:
            person.rejected.append(Rejected(photo.path, reason))
        elif owner is not None:
            person.already += 1
        else:
            assert isinstance(photo.found, PhotoSample)
            assert photo.found.vector is not None
            self._notice_copy(photo.found, person)
            text = stored_path(photo.path, self._home) if is_file(photo.given) else ""
            person.fresh.append(NewTemplate(text, photo.digest, photo.found.vector))

    def _notice_copy(self, found: PhotoSample, person: _Person) -> None:
        if found.picture is not None:
            first, owner = self._pictures.setdefault(found.picture, (found.path, person.name))
            if first != found.path:
                person.copies.append(Copy(found.path, person.name, first, owner))

    def _photo_of(self, owner: str, digest: bytes) -> str:
        with suppress(UnknownIdentityError):  # erased by another process since
            for entry in self._store.stored(owner):
                if entry.digest == digest:
                    return str(photo_file(entry.photo, None)) if entry.photo else ""
        return ""

    def _write(self, people: Sequence[_Person], finished: int) -> Iterator[EnrollmentResult]:
        """Write new templates in one transaction, and yield the results of people who are finished."""
        self._add([person for person in people if person.fresh])
        for person in people[:finished]:
            if self._terms is not None and person.already and not person.added:
                self._store.set_terms(person.name, self._terms)
            yield person.outcome()

    def _add(self, people: list[_Person]) -> None:
        """Add new templates, except those that another process has enrolled under another name since."""
        if people:
            self._store.bind(self._extractor.fingerprint, self._extractor.dim)
        while people:
            try:
                counts = self._store.add_many(
                    [NewPerson(person.name, person.fresh, self._terms) for person in people]
                )
            except PhotoConflictError as error:
                for person in people:
                    taken = [entry for entry in person.fresh if entry.digest == error.digest]
                    person.rejected += [
                        Rejected(photo_file(entry.photo, self._home), error.reason) for entry in taken
                    ]
                    person.fresh = [entry for entry in person.fresh if entry.digest != error.digest]
                people = [person for person in people if person.fresh]
                continue
            for person, count in zip(people, counts, strict=True):
                self._notice_replaced(person)
                person.added += count
                person.already += len(person.fresh) - count
                person.fresh = []
            return

    def _notice_replaced(self, person: _Person) -> None:
        """Find photos at the paths of other pictures of their person that were enrolled before."""
        now = {entry.photo: entry.digest for entry in person.fresh if entry.photo}
        with suppress(UnknownIdentityError):  # erased by another process since
            person.replaced += [
                Replaced(photo_file(entry.photo, self._home), entry.digest)
                for entry in self._store.stored(person.name)
                if now.get(entry.photo, entry.digest) != entry.digest
            ]


def _read(photo: _Photo) -> None:
    try:
        photo.data = content_of(photo.given)
        photo.digest = hashlib.sha256(photo.data).digest()
    except ImageError as error:
        photo.found = Rejected(photo.path, error.reason)


def _reason(found: PhotoSample | Rejected | None) -> str | None:
    """Return why a photo cannot be enrolled, or None."""
    if isinstance(found, Rejected):
        return found.reason
    if found is None:
        return None
    return found.problem or (NO_FACE if found.vector is None else None)
