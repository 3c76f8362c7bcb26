"""The gallery that is one SQLite file: `Store`, one transaction a change.

```
sqlite ─┬─ reading     ─┬─ layout      the tables, and why they are so; migrations: the way to them
        ├─ writing      ├─ rows        what rows hold, and their checksums
        ├─ encrypting   ├─ sealing     rows as they are; keyring: encrypted, with a key per person
        ├─ sweeping     └─ connection  waits for its turn, keeps changes whole
        └─ verifying
```
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from embedder.errors import GalleryError, PhotoConflictError, UnknownIdentityError, UsageError
from enroll.store.connection import Connection
from enroll.store.contract import (
    Changed,
    Event,
    NewTemplate,
    Person,
    StoredTemplate,
    Templates,
    Terms,
    check_model,
    conflict_reason,
    stacked,
)
from enroll.store.encrypting import encrypt
from enroll.store.keyring import open_keyring
from enroll.store.keys import FILE_VARIABLE, KEY_VARIABLE, Key
from enroll.store.migrations import migrate
from enroll.store.reading import Reader, Somebody
from enroll.store.rows import is_sound
from enroll.store.sealing import Plain, Sealer
from enroll.store.sweeping import sweep_if_due
from enroll.store.verifying import verify
from enroll.store.writing import Writer

_HEADER = 100  # bytes; SQLite writes over a shorter file
_CHECKED_WHOLE = 1 << 22  # bytes; a file up to that takes some milliseconds


class SqliteStore:
    """A gallery's file: the contract `Store`, one transaction a change."""

    def __init__(self, path: str | Path, create: bool = False, key: Key | None = None) -> None:
        """Open a gallery.

        Args:
            path: the file.
            create: make it if it is missing.
            key: of an encrypted gallery; one that is made with it is encrypted.

        Raises:
            GalleryError: it is missing, broken, not a gallery, or encrypted with another key or none.
        """
        self.path = Path(path)
        self.location = str(path)
        _check_place(self.path, create)
        self._connection = Connection(self.path)
        try:
            migrate(self._connection)
            self._check_pages()
            self._open_sealed(key, create)
            sweep_if_due(self._connection, self.encrypted)
        except BaseException:
            self._connection.close()
            raise

    def _check_pages(self) -> None:
        """Have SQLite check a small file whole; `verify` does so with any."""
        if self._connection.size() <= _CHECKED_WHOLE:
            (problem,) = self._connection.row("PRAGMA integrity_check(1)")
            if problem != "ok":
                raise GalleryError(f"{self.path}: broken: {problem}; restore a copy")

    def _open_sealed(self, key: Key | None, create: bool) -> None:
        """Find out whether the gallery is encrypted, and get ready to read it either way."""
        salt, keys = self._identity()
        if keys is None and key is not None:
            if not (create and self._is_unused()):
                raise GalleryError(
                    f"{self.path}: expected an encrypted gallery, since there is a key ({key.origin}), got a "
                    "plain one; encrypt it with `embed gallery encrypt`, or use no key"
                )
            encrypt(self._connection, key)
            salt, keys = self._identity()
        self._keys = keys
        sealer: Sealer = Plain(salt)
        if keys is not None:
            if key is None:
                raise GalleryError(
                    f"{self.path}: encrypted; give its key: `embed --key FILE`, {FILE_VARIABLE} or "
                    f"{KEY_VARIABLE}"
                )
            sealer = open_keyring(self._connection, key, keys)
        self._reader = Reader(self._connection, sealer)
        self._writer = Writer(self._connection, sealer, self._reader)

    def _identity(self) -> tuple[bytes, bytes | None]:
        row = self._connection.row("SELECT only, salt, born, keys, checksum FROM gallery")
        if row is None or not is_sound(row):
            raise GalleryError(f"{self.path}: broken: its first row was changed or is lost; restore a copy")
        return row[1], row[3]

    def _is_unused(self) -> bool:
        return not self._connection.row("SELECT sum(last) FROM total")[0]

    @property
    def encrypted(self) -> bool:
        """Whether what is about people is encrypted."""
        return self._keys is not None

    def encrypt(self, key: Key) -> None:
        """Encrypt the gallery; it is to be opened anew then.

        Raises:
            GalleryError: it is encrypted, or there is a file with keys already.
        """
        if self.encrypted:
            raise GalleryError(f"{self.path}: expected a plain gallery, got an encrypted one")
        encrypt(self._connection, key)
        sweep_if_due(self._connection, encrypted=False)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._connection.reading():
            self._check_same()
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._connection.writing():
            self._check_same()
            yield

    @contextmanager
    def _erasing(self) -> Iterator[None]:
        with self._writing():
            yield
        sweep_if_due(self._connection, self.encrypted)

    def _check_same(self) -> None:
        if self._connection.row("SELECT keys FROM gallery") != (self._keys,):
            raise GalleryError(f"{self.path}: was encrypted meanwhile; open it again, with its key")

    def model(self) -> tuple[str, int] | None:
        """Fingerprint and vector length of the model the templates were made with, None in a new gallery."""
        with self._reading():
            return self._reader.model()

    def bind(self, fingerprint: str, dim: int) -> None:
        """Tie a new gallery to a model, or check that it is tied to this one.

        Raises:
            ForeignModelError: it was made with another model.
        """
        if self.model() is None:
            with self._writing():
                if self._reader.model() is None:
                    self._writer.bind(fingerprint, dim)
        check_model(self, fingerprint, dim)

    def owner(self, digest: bytes) -> str | None:
        """Whose template the photo with this digest is, None if it is not enrolled."""
        with self._reading():
            found = self._reader.owner(digest)
        return found[1].name if found and found[1].enrolled else None

    def add(self, name: str, templates: Sequence[NewTemplate], terms: Terms | None = None) -> int:
        """Add templates to an identity, new or known; a photo that is already theirs changes nothing.

        Args:
            name: of the identity.
            templates: unit vectors of the model's length.
            terms: replace those there; None leaves them.

        Returns:
            How many were added.

        Raises:
            PhotoConflictError: a photo is enrolled under another name; nothing was added.
            ValueError: no templates, a vector of another length or not of unit length, or no model yet.
        """
        vectors = stacked(templates, (self.model() or ("", 0))[1])
        fresh: dict[bytes, tuple[NewTemplate, bytes]] = {}
        with self._erasing():
            for template, vector in zip(templates, vectors, strict=True):
                number, owner = self._reader.owner(template.digest) or (0, None)
                if owner is None or not owner.enrolled:
                    fresh.setdefault(template.digest, (template, vector.tobytes()))
                    self._writer.drop([number])  # a stranger's no longer
                elif owner.name != name:
                    raise PhotoConflictError(template.photo, conflict_reason(owner.name), template.digest)
            someone = self._reader.named(name)
            if someone and not someone.enrolled:
                self._writer.erase(someone)
                someone = None
            if someone is None:
                person = self._writer.enter(name, terms or Terms(), enrolled=True)
            else:
                person = someone.id
                self._change_terms(someone, terms)
            for template, data in fresh.values():
                self._writer.put(person, template, data)
            if fresh:
                self._writer.log("enroll", person, len(fresh))
        return len(fresh)

    def _change_terms(self, someone: Somebody, terms: Terms | None) -> None:
        if terms is not None and terms != someone.terms:
            self._writer.rewrite(someone, someone.name, terms)
            self._writer.log("terms", someone.id)

    def identities(self) -> list[tuple[str, int]]:
        """Names with their number of templates, sorted by name."""
        return [(person.name, person.templates) for person in self.people()]

    def people(self) -> list[Person]:
        """Everyone who is enrolled, sorted by name."""
        with self._reading():
            counts = self._reader.counts()
            everyone = [
                Person(one.name, counts.get(one.id, 0), one.terms)
                for one in self._reader.everyone()
                if one.enrolled
            ]
        return sorted(everyone, key=lambda person: person.name)

    def set_terms(self, name: str, terms: Terms) -> None:
        """Replace on what terms a person is in the gallery.

        Raises:
            UnknownIdentityError: no such name.
        """
        with self._erasing():
            self._change_terms(self._enrolled(name), terms)

    def stored(self, name: str) -> list[StoredTemplate]:
        """All templates of a person, by id.

        Raises:
            UnknownIdentityError: no such name.
        """
        with self._reading():
            return self._reader.templates_of(self._enrolled(name).id)

    def drop(self, ids: Sequence[int]) -> int:
        """Erase single templates, and everyone who has none left; ids that are not there change nothing.

        Returns:
            How many templates were erased.
        """
        with self._erasing():
            dropped = self._writer.drop(ids)
            for person, count in dropped.items():
                self._writer.log("drop", person, count)
        return sum(dropped.values())

    def remove(self, name: str) -> int:
        """Erase an identity and its templates.

        Returns:
            How many templates were erased.

        Raises:
            UnknownIdentityError: no such name.
        """
        with self._erasing():
            someone = self._enrolled(name)
            count = self._writer.erase(someone)
            self._writer.log("remove", someone.id, count)
        return count

    def expired(self, today: date) -> list[str]:
        """Names of the people who expired before `today`, sorted."""
        with self._reading():
            return sorted(one.name for one in self._reader.expired(today.toordinal()))

    def purge(self, today: date) -> list[str]:
        """Erase the people who expired before `today`; gives their names."""
        with self._erasing():
            gone = self._reader.expired(today.toordinal())
            for one in gone:
                self._writer.log("purge", one.id, self._writer.erase(one))
        return sorted(one.name for one in gone)

    def rename(self, old: str, new: str) -> None:
        """Give an identity another name.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: the new name is taken.
        """
        with self._erasing():
            someone, other = self._enrolled(old), self._reader.named(new)
            if other and other.enrolled and other.id != someone.id:
                raise UsageError(
                    f"{new!r} is already enrolled; two people are never merged by a rename, remove one first"
                )
            if other and not other.enrolled:
                self._writer.erase(other)
            self._writer.rewrite(someone, new, someone.terms)
            self._writer.log("rename", someone.id)

    def templates(self, after: int = 0) -> Templates:
        """Read the templates whose id is above `after`.

        Raises:
            GalleryError: a vector is not of unit length or of the model's dimension.
        """
        with self._reading():
            return self._reader.templates(enrolled=True, after=after)

    def photos(self, ids: Sequence[int]) -> list[str]:
        """Give where the pictures of templates came from, in the order of the ids; "" if it is gone."""
        with self._reading():
            found = [self._reader.template(int(number)) for number in ids]
        return ["" if entry is None else entry[1].photo for entry in found]

    def add_strangers(self, people: Sequence[tuple[str, NewTemplate]]) -> int:
        """Add photos of people who are known not to be enrolled; gives how many are new.

        Photos of templates, and of people with an enrolled name, are not taken.
        """
        if not people:
            return 0
        vectors = stacked([template for _, template in people], (self.model() or ("", 0))[1])
        added = 0
        with self._writing():
            for (name, template), vector in zip(people, vectors, strict=True):
                someone = self._reader.named(name)
                if (someone and someone.enrolled) or self._reader.owner(template.digest):
                    continue
                person = someone.id if someone else self._writer.enter(name, Terms(), enrolled=False)
                self._writer.put(person, template, vector.tobytes())
                added += 1
            if added:
                self._writer.log("strangers", None, added)
        return added

    def remove_strangers(self) -> int:
        """Erase all strangers; gives how many photos that were."""
        with self._erasing():
            gone = [one for one in self._reader.everyone() if not one.enrolled]
            count = sum(map(self._writer.erase, gone))
            if gone:
                self._writer.log("remove strangers", None, count)
        return count

    def stored_strangers(self) -> list[tuple[str, StoredTemplate]]:
        """All that is kept of strangers, by id, with the names of the people they are of."""
        with self._reading():
            return self._reader.templates_of_strangers()

    def strangers(self) -> Templates:
        """Read all photos of strangers; `identities` are the people they are of.

        Raises:
            GalleryError: a vector is not of unit length or of the model's dimension.
        """
        with self._reading():
            return self._reader.templates(enrolled=False)

    def set_calibration(self, content: str, identities: int, templates: int) -> bool:
        """Keep a calibration of the gallery as it is.

        Args:
            content: what was found.
            identities: people it was made from.
            templates: photos it was made from.

        Returns:
            Whether it was kept; not if the gallery has other people or photos by now.
        """
        with self._writing():
            people, photos = self._reader.enrolled()
            if (len(people), photos) != (identities, templates):
                return False
            self._writer.calibrate(content, people.tobytes())
            self._writer.log("calibrate", None, templates)
        return True

    def calibration(self) -> tuple[str, Changed] | None:
        """Give the calibration and what changed since, or None if there is none."""
        with self._reading():
            found = self._reader.calibration()
            if found is None:
                return None
            content, then = found
            now, photos = self._reader.enrolled()
        added, removed = np.setdiff1d(now, then), np.setdiff1d(then, now)
        return content, Changed(len(added), len(removed), photos)

    def finder(self) -> None:
        """Templates are searched here."""

    def changes(self) -> tuple[int, int]:
        """Generation and last template id; see `Store.changes`."""
        with self._reading():
            return self._reader.changes()

    def events(self) -> list[Event]:
        """The audit log, oldest first."""
        with self._reading():
            return [
                Event(at, action, who or None, count)
                for _, at, action, who, count in self._reader.table("event")
            ]

    def verify(self) -> None:
        """Read and check everything that is stored.

        Raises:
            GalleryError: what is broken.
        """
        with self._reading():
            verify(self._connection, self._reader)

    def _enrolled(self, name: str) -> Somebody:
        someone = self._reader.named(name)
        if someone is None or not someone.enrolled:
            raise self._no_such(name)
        return someone

    def _no_such(self, name: str) -> UnknownIdentityError:
        near = [entry for entry, _ in self.identities() if entry.casefold() == name.casefold()]
        hint = f"; did you mean {near[0]!r}?" if near else "; see `embed gallery list`"
        return UnknownIdentityError(f"{self.path}: no one is called {name!r}{hint}")


def _check_place(path: Path, create: bool) -> None:
    if path.exists() and not path.is_file():
        raise GalleryError(f"{path}: cannot be opened as a gallery: it is no file")
    if not create and not path.is_file():
        raise GalleryError(f"{path}: no gallery here; make one with `embed enroll PEOPLE_FOLDER`")
    if path.is_file() and (size := path.stat().st_size) < _HEADER and (size or not create):
        raise GalleryError(f"{path}: expected a gallery, got a file of {size} bytes; restore a copy")
    if not path.parent.is_dir():
        raise GalleryError(f"{path}: the folder {path.parent} does not exist; make it first")
