"""Store a gallery in one SQLite file; each change is one transaction.

`enroll.store.base.Store` says what the methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from pathlib import Path

import numpy as np

from embedder.errors import GalleryError, UsageError
from enroll.search.approximate import forget_index
from enroll.store.base import Changed, Event, NewPerson, Person, Terms, check_model, joined_terms
from enroll.store.keys import Key
from enroll.store.limits import (
    CALIBRATION,
    check,
    check_people,
    check_templates,
    model_problem,
    stored_name_problem,
    terms_problem,
    text_problem,
)
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.library_store import SqliteLibrary, log_merge
from enroll.store.sqlite.maintenance import encrypt, sweep_if_due
from enroll.store.sqlite.opening import verify
from enroll.store.sqlite.reader import RowReader
from enroll.store.sqlite.sessions import Session, Sessions
from enroll.store.sqlite.writer import Writer, enroll, keep_strangers, remake
from enroll.templates import NewTemplate, StoredTemplate, Templates, as_new, check_vectors, check_vectors_of


class SqliteStore:
    """Stores a gallery in a file: the interface `Store`, one transaction per change.

    Threads may share it: they read side by side, and write in turn. `together` belongs to one thread.
    """

    def __init__(
        self, path: str | Path, create: bool = False, key: Key | None = None, plain_too: bool = False
    ) -> None:
        """Open a gallery.

        Args:
            path: the file.
            create: make it if it is missing.
            key: of an encrypted gallery; one that is made with it is encrypted.
            plain_too: accept a plain gallery although there is a key.

        Raises:
            GalleryError: it is missing, broken, not a gallery, or encrypted with another key or none.
        """
        self.path = Path(path)
        self.location = str(path)
        self._sessions = Sessions(self.path, create, key, plain_too)
        self._bound: tuple[str, int] | None = None

    @property
    def encrypted(self) -> bool:
        """Whether the rows about people are encrypted."""
        return self._sessions.keys is not None

    @property
    def _connection(self) -> Connection:
        return self._sessions.here().connection

    @property
    def _reader(self) -> RowReader:
        return self._sessions.here().reader

    @property
    def _writer(self) -> Writer:
        return self._sessions.here().writer

    def encrypt(self, key: Key) -> None:
        """Encrypt the gallery, which has to be opened again then.

        Raises:
            GalleryError: it is encrypted, or there is a file with keys already.
        """
        if self.encrypted:
            raise GalleryError(f"{self.path}: expected a plain gallery, got an encrypted one")
        self._forget_index()
        with self._sessions.session() as session, self._sessions.turn(session):
            encrypt(session.connection, key)
            sweep_if_due(session.connection, encrypted=False)

    def forget_keyless(self) -> int:
        """Erase the people of an encrypted gallery whose key is gone.

        Erasing a person deletes their key; a backup of the gallery still has their rows, which no one can
        read.

        Returns:
            Number of people who were erased.
        """
        with self._erasing():
            count = self._writer.erase_keyless()
            if count:
                self._writer.log(("forget keyless", None, 0))
        return count

    def close(self) -> None:
        """Close the gallery."""
        self._sessions.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._sessions.session() as session, session.connection.reading():
            self._check_same(session)
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._sessions.session() as session, self._sessions.turn(session), session.connection.writing():
            self._check_same(session)
            yield

    @contextmanager
    def _rewriting(self) -> Iterator[None]:
        with self._sessions.session() as session, self._sessions.turn(session):
            with self._writing():
                yield
            if not session.connection.in_transaction:
                sweep_if_due(session.connection, self.encrypted)

    @contextmanager
    def _erasing(self) -> Iterator[None]:
        with self._rewriting():
            yield
            self._forget_index()  # before the commit, in case this process is killed after it
        self._forget_index()  # again, if another process wrote one that it made before

    def _forget_index(self) -> None:
        try:
            forget_index(self.path)
        except OSError as error:
            raise GalleryError(
                f"{self.path}: its index cannot be erased: {error}; remove that file"
            ) from error

    def together(self) -> AbstractContextManager[None]:
        """Make all that is added inside the block one atomic change."""
        return self._rewriting()

    def one_moment(self) -> AbstractContextManager[None]:
        """Return a block without effect: each read sees all that was written before it."""
        return nullcontext()

    def _check_bound(self) -> None:
        """Refuse templates if another process has replaced the model since."""
        if self._bound is not None:
            check_model(self, *self._bound)

    def _check_same(self, session: Session) -> None:
        if session.connection.row("SELECT keys FROM gallery") != (self._sessions.keys,):
            raise GalleryError(f"{self.path}: was encrypted meanwhile; open it again, with its key")

    def model(self) -> tuple[str, int] | None:
        """Return fingerprint and vector length of the model, None in a new gallery."""
        with self._reading():
            return self._reader.model()

    def bind(self, fingerprint: str, dim: int) -> None:
        """Bind a new gallery to a model, or check that it is bound to this one."""
        check(model_problem(fingerprint, dim))
        if self.model() is None:
            with self._writing():
                if self._reader.model() is None:
                    self._writer.bind(fingerprint, dim)
        check_model(self, fingerprint, dim)
        self._bound = fingerprint, dim

    def remake(
        self, model: tuple[str, int], templates: Sequence[tuple[str, NewTemplate]], since: tuple[int, int]
    ) -> bool:
        """Replace all templates by those of another model, strangers' too."""
        check(model_problem(*model))
        check_templates(template for _, template in templates)
        if templates:
            check_vectors([template for _, template in templates], model[1])
        with self._erasing():
            if self._reader.changes() != since:
                return False
            remake(self._reader, self._writer, model, templates)
        return True

    def owners(self, digests: Sequence[bytes]) -> list[str | None]:
        """Return the name of the person of each photo digest, in their order; None: not enrolled."""
        with self._reading():
            found = self._reader.owners(digests)
        return [found[key][1].name if key in found and found[key][1].enrolled else None for key in digests]

    def add(self, name: str, templates: Sequence[NewTemplate], terms: Terms | None = None) -> int:
        """Add templates to a person, new or known; a photo that is already theirs changes nothing."""
        return self.add_many([NewPerson(name, templates, terms)])[0]

    def add_many(self, people: Sequence[NewPerson]) -> list[int]:
        """Add templates of several people, all or none, faster than one after the other."""
        dim = (self.model() or ("", 0))[1]
        check_people(people)
        check_vectors_of((one.templates for one in people), dim)
        with self._rewriting():
            self._check_bound()
            return enroll(self._reader, self._writer, people)

    def identities(self) -> list[tuple[str, int]]:
        """List names and their number of templates, sorted by name."""
        return [(person.name, person.templates) for person in self.people()]

    def people(self) -> list[Person]:
        """List everyone who is enrolled, sorted by name."""
        with self._reading():
            counts = self._reader.counts()
            everyone = [
                Person(one.name, counts.get(one.id, 0), one.terms)
                for one in self._reader.everyone()
                if one.enrolled
            ]
        return sorted(everyone, key=lambda person: person.name)

    def set_terms(self, name: str, terms: Terms) -> None:
        """Replace the terms of a person."""
        check(terms_problem(terms))
        with self._rewriting():
            someone = self._reader.enrolled_as(name)
            if terms != someone.terms:
                self._writer.rewrite(someone, name, terms)
                self._writer.log(("terms", someone.id, 0))

    def stored(self, name: str) -> list[StoredTemplate]:
        """List all templates of a person, by id."""
        with self._reading():
            return self._reader.templates_of(self._reader.enrolled_as(name).id)

    def drop(self, ids: Sequence[int]) -> int:
        """Erase single templates, and people who have none left; unknown ids change nothing."""
        with self._erasing():
            dropped = self._writer.drop(ids)
            self._writer.log(*(("drop", person, count) for person, count in dropped.items()))
        return sum(dropped.values())

    def remove(self, name: str) -> int:
        """Erase a person and their templates."""
        with self._erasing():
            someone = self._reader.enrolled_as(name)
            count = self._writer.erase(someone)
            self._writer.log(("remove", someone.id, count))
        return count

    def expired(self, today: date) -> list[str]:
        """List the names of people who expired before `today`, sorted; fast, since every search asks."""
        with self._reading():
            return sorted(one.name for one in self._reader.expired(today.toordinal()))

    def purge(self, today: date) -> list[str]:
        """Erase the people who expired before `today`, and return their names."""
        with self._erasing():
            gone = self._reader.expired(today.toordinal())
            self._writer.log(*[("purge", one.id, self._writer.erase(one)) for one in gone])
        return sorted(one.name for one in gone)

    def rename(self, old: str, new: str) -> None:
        """Change the name of a person."""
        check(stored_name_problem(new))
        with self._rewriting():
            someone, other = self._reader.enrolled_as(old), self._reader.named([new]).get(new)
            if other and other.enrolled and other.id != someone.id:
                raise UsageError(
                    f"{new!r} is already enrolled; two people are never merged by a rename, remove one first"
                )
            if other and not other.enrolled:
                self._writer.erase(other)
            self._writer.rewrite(someone, new, someone.terms)
            self._writer.log(("rename", someone.id, 0))

    def merge_people(self, kept: str, other: str) -> int:
        """Join two people who are one: the first gets all photos of the second and keeps its name."""
        with self._erasing():
            one, gone = self._reader.enrolled_as(kept), self._reader.enrolled_as(other)
            if one.id == gone.id:
                raise UsageError(f"merge-people: expected two names, got {kept!r} twice")
            templates = self._reader.templates_of(gone.id)
            log_merge(self._writer.library, one.id, gone, templates)
            self._writer.erase(gone)
            terms = joined_terms(one.terms, gone.terms)
            if terms != one.terms:
                one = self._writer.rewrite(one, one.name, terms)
            self._writer.put((one.id, as_new(template)) for template in templates)
            self._writer.log(("merge people", one.id, len(templates)), ("remove", gone.id, 0))
        return len(templates)

    def templates(self, after: int = 0) -> Templates:
        """Read the templates whose id is above `after`."""
        with self._reading():
            return self._reader.templates(enrolled=True, after=after)

    def photos(self, ids: Sequence[int]) -> list[str]:
        """Return the paths of the photos of templates, in the order of the ids; "" if one is gone."""
        with self._reading():
            found = [self._reader.template(int(number)) for number in ids]
        return ["" if entry is None else entry[1].photo for entry in found]

    def add_strangers(self, people: Sequence[tuple[str, NewTemplate]]) -> int:
        """Add photos of people who are known not to be enrolled, and return how many are new."""
        if not people:
            return 0
        check_people(NewPerson(name, [template]) for name, template in people)
        check_vectors([template for _, template in people], (self.model() or ("", 0))[1])
        with self._writing():
            self._check_bound()
            return keep_strangers(self._reader, self._writer, people)

    def remove_strangers(self) -> int:
        """Erase all strangers, and return the number of their photos."""
        with self._erasing():
            gone = [one for one in self._reader.everyone() if not one.enrolled]
            count = sum(map(self._writer.erase, gone))
            if gone:
                self._writer.log(("remove strangers", None, count))
        return count

    def stored_strangers(self) -> list[tuple[str, StoredTemplate]]:
        """List all templates of strangers, by id, with the names of the people they show."""
        with self._reading():
            return self._reader.templates_of_strangers()

    def strangers(self) -> Templates:
        """Read all templates of strangers; `identities` are the names of the people they show."""
        with self._reading():
            return self._reader.templates(enrolled=False)

    def set_calibration(self, content: str, identities: int, templates: int) -> bool:
        """Store a calibration of the gallery as it is."""
        check(text_problem(content, "calibration", CALIBRATION))
        with self._writing():
            people, photos = self._reader.enrolled()
            if (len(people), photos) != (identities, templates):
                return False
            self._writer.calibrate(content, people.tobytes())
            self._writer.log(("calibrate", None, templates))
        return True

    def calibration(self) -> tuple[str, Changed] | None:
        """Return the calibration and what changed since, or None if there is none."""
        with self._reading():
            found = self._reader.calibration()
            if found is None:
                return None
            content, then = found
            now, photos = self._reader.enrolled()
        added, removed = np.setdiff1d(now, then), np.setdiff1d(then, now)
        return content, Changed(len(added), len(removed), photos)

    def search_index(self) -> None:
        """Return None: templates are searched in this process."""

    def changes(self) -> tuple[int, int]:
        """Return generation and last template id."""
        with self._reading():
            return self._reader.changes()

    def revision(self) -> tuple[int, ...]:
        """Return a value that differs after any change by any process."""
        with self._reading():
            return (self._reader.total("event").last,)

    def events(self) -> list[Event]:
        """Return the audit log, oldest first."""
        with self._reading():
            return [
                Event(at, action, who or None, count)
                for _, at, action, who, count in self._reader.table("event")
            ]

    def verify(self) -> None:
        """Read and check everything that is stored."""
        with self._reading():
            verify(self._connection, self._reader, self._writer.library)

    def library(self) -> SqliteLibrary:
        """Return the part about a photo library."""
        return SqliteLibrary(lambda: self._writer, self._reading, self._rewriting, self._erasing)
