"""Writes the rows of a gallery, inside a transaction; see `layout` for why they are written so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from enroll.store.connection import Connection
from enroll.store.contract import NewTemplate, Terms
from enroll.store.reading import Reader, Somebody
from enroll.store.rows import Field, checksum, pack_profile, pack_template
from enroll.store.sealing import Sealer

_BLANK_TEMPLATE = "UPDATE template SET person = NULL, handle = NULL, body = NULL, checksum = NULL"


class Writer:
    """Changes a gallery; `Reader` finds what is to be changed."""

    def __init__(self, connection: Connection, sealer: Sealer, reader: Reader) -> None:
        self._connection, self._sealer, self._reader = connection, sealer, reader

    def bind(self, fingerprint: str, dim: int) -> None:
        """Write the model."""
        self._insert("model", 1, fingerprint, dim)

    def enter(self, name: str, terms: Terms, enrolled: bool) -> int:
        """Write a new person; gives their id."""
        person = max(self._next("person"), self._sealer.last() + 1)
        self._sealer.enter(person)
        one = Somebody(person, self._put_profile(person, name, terms), enrolled, name, terms)
        self._insert("person", *one.row(self._handle(name)))
        return person

    def rewrite(self, someone: Somebody, name: str, terms: Terms) -> None:
        """Give a person another name or other terms."""
        self._blank_profile(someone.profile)
        one = replace(someone, profile=self._put_profile(someone.id, name, terms), name=name, terms=terms)
        row = one.row(self._handle(name))
        self._connection.run(
            "UPDATE person SET handle = ?, profile = ?, enrolled = ?, expires = ?, checksum = ? WHERE id = ?",
            (*row[1:], checksum(*row), one.id),
        )

    def put(self, person: int, template: NewTemplate, vector: bytes) -> None:
        """Write a template."""
        number = self._next("template")
        body = pack_template(template.photo, template.digest, vector)
        handle = self._sealer.handle("digest", template.digest)
        self._insert("template", number, person, handle, self._sealer.seal(person, "template", number, body))

    def drop(self, ids: Sequence[int]) -> dict[int, int]:
        """Erase templates, and everyone who has none left; gives how many per person."""
        dropped: Counter[int] = Counter()
        for number in ids:
            if found := self._reader.template(int(number)):
                self._connection.run(f"{_BLANK_TEMPLATE} WHERE id = ?", (int(number),))
                dropped[found[0]] += 1
        for person in dropped:
            if not self._connection.row("SELECT 1 FROM template WHERE person = ?", (person,)):
                self.erase(self._reader.person(person))
        return dropped

    def erase(self, someone: Somebody) -> int:
        """Erase a person; gives how many templates they had."""
        return self._erase(someone.id, someone.profile)

    def erase_keyless(self) -> int:
        """Erase the people whose key is gone; gives how many that were."""
        keyless = self._sealer.keyless()
        for person in keyless:
            (profile,) = self._connection.row("SELECT profile FROM person WHERE id = ?", (person,))
            self._erase(person, profile)
        return len(keyless)

    def _erase(self, person: int, profile: int) -> int:
        count = self._connection.run(f"{_BLANK_TEMPLATE} WHERE person = ?", (person,))
        self._blank_profile(profile)
        self._connection.run("DELETE FROM person WHERE id = ?", (person,))
        self._sealer.forget(person)
        return count

    def calibrate(self, content: str, people: bytes) -> None:
        """Write a calibration in the place of another."""
        self._connection.run("DELETE FROM calibration")
        self._insert("calibration", 1, content, people)

    def log(self, action: str, subject: int | None, count: int = 0) -> None:
        """Write an entry of the audit log."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._insert("event", self._next("event"), now, action, subject or 0, count)

    def _put_profile(self, person: int, name: str, terms: Terms) -> int:
        number = self._next("profile")
        body = self._sealer.seal(person, "profile", number, pack_profile(name, terms))
        self._insert("profile", number, body)
        return number

    def _blank_profile(self, profile: int) -> None:
        self._connection.run("UPDATE profile SET body = NULL, checksum = NULL WHERE id = ?", (profile,))

    def _handle(self, name: str) -> bytes:
        return self._sealer.handle("name", name.encode())

    def _next(self, table: str) -> int:
        return self._reader.total(table).last + 1

    def _insert(self, table: str, *row: Field) -> None:
        marks = ", ".join("?" * (len(row) + 1))
        self._connection.run(f"INSERT INTO {table} VALUES ({marks})", (*row, checksum(*row)))
