"""Append and erase rows, and add people, inside a transaction.

`enroll.store.sqlite.schema` says why rows are written so. People are added all together, first found,
then written: one by one 100,000 would take minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count

from embedder.errors import PhotoConflictError
from enroll.store.actor import signed
from enroll.store.base import NewPerson, Terms
from enroll.store.messages import conflict_reason
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.encryption import Sealer
from enroll.store.sqlite.library import LibraryRows
from enroll.store.sqlite.reader import RowReader, Somebody
from enroll.store.sqlite.rows import Field, checksum, pack_profile, pack_template
from enroll.store.sqlite.schema import insert_rows
from enroll.templates import NewTemplate

_BLANK_TEMPLATE = "UPDATE template SET person = NULL, handle = NULL, body = NULL, checksum = NULL"


class Writer:
    """Changes a gallery; `RowReader` finds the rows."""

    def __init__(self, connection: Connection, sealer: Sealer, reader: RowReader) -> None:
        self._connection, self._sealer, self._reader = connection, sealer, reader
        self.library = LibraryRows(connection, sealer, reader)

    @property
    def reader(self) -> RowReader:
        """The reader that finds the rows."""
        return self._reader

    def bind(self, fingerprint: str, dim: int) -> None:
        """Write the model."""
        self._insert("model", [(1, fingerprint, dim)])

    def clear(self) -> None:
        """Erase what depends on the model: itself, templates and calibration; people stay."""
        self._connection.run(f"{_BLANK_TEMPLATE} WHERE checksum IS NOT NULL")
        for table in ("calibration", "model"):
            self._connection.run(f"DELETE FROM {table}")

    def enter(self, people: Mapping[str, Terms], enrolled: bool) -> dict[str, Somebody]:
        """Write new people, with their terms, by name."""
        person = max(self._next("person"), self._sealer.last() + 1)
        entered = {
            name: Somebody(number, profile, enrolled, name, terms)
            for number, profile, (name, terms) in zip(
                count(person), count(self._next("profile")), people.items(), strict=False
            )
        }
        for one in entered.values():
            self._sealer.enter(one.id)
        self._insert("profile", map(self._profile, entered.values()))
        self._insert("person", (one.row(self._handle(one.name)) for one in entered.values()))
        return entered

    def rewrite(self, someone: Somebody, name: str, terms: Terms) -> Somebody:
        """Change the name or terms of a person, and return them."""
        self._blank_profile(someone.profile)
        one = someone._replace(profile=self._next("profile"), name=name, terms=terms)
        self._insert("profile", [self._profile(one)])
        row = one.row(self._handle(name))
        self._connection.run(
            "UPDATE person SET handle = ?, profile = ?, enrolled = ?, expires = ?, checksum = ? WHERE id = ?",
            (*row[1:], checksum(*row), one.id),
        )
        return one

    def put(self, templates: Iterable[tuple[int, NewTemplate]]) -> None:
        """Write templates, each with the id of its person; their vectors must be checked before."""
        handle, seal = self._sealer.handle, self._sealer.seal

        def row(number: int, person: int, template: NewTemplate) -> tuple[Field, ...]:
            body = pack_template(template.photo, template.digest, template.vector.astype("<f4").tobytes())
            return number, person, handle("digest", template.digest), seal(person, "template", number, body)

        numbers = count(self._next("template"))
        self._insert("template", (row(next(numbers), *entry) for entry in templates))

    def drop(self, ids: Sequence[int]) -> dict[int, int]:
        """Erase templates, and people who have none left; return how many per person."""
        dropped: Counter[int] = Counter()
        for number in ids:
            if found := self._reader.template(int(number)):
                self._connection.run(f"{_BLANK_TEMPLATE} WHERE id = ?", (int(number),))
                dropped[found[0]] += 1
        for person in dropped:
            if not self._connection.row("SELECT 1 FROM template WHERE person = ?", (person,)):
                self.erase(self._reader.persons([person])[person])
        return dropped

    def erase(self, someone: Somebody) -> int:
        """Erase a person, and return how many templates they had."""
        return self._erase(someone.id, someone.profile)

    def erase_keyless(self) -> int:
        """Erase the people whose key is gone, and return how many there were."""
        keyless = self._sealer.keyless()
        for person in keyless:
            (profile,) = self._connection.row("SELECT profile FROM person WHERE id = ?", (person,))
            self._erase(person, profile)
        self.library.erase_keyless()
        return len(keyless)

    def _erase(self, person: int, profile: int) -> int:
        self.library.forget_person(person)
        templates = self._connection.run(f"{_BLANK_TEMPLATE} WHERE person = ?", (person,))
        self._blank_profile(profile)
        self._connection.run("DELETE FROM person WHERE id = ?", (person,))
        self._sealer.forget(person)
        return templates

    def calibrate(self, content: str, people: bytes) -> None:
        """Write a calibration, and replace the former one.

        Args:
            content: as text.
            people: ids of the people it was made for, 8 bytes each.
        """
        self._connection.run("DELETE FROM calibration")
        self._insert("calibration", [(1, content, people)])

    def log(self, *entries: tuple[str, int | None, int]) -> None:
        """Write entries of the audit log: action, id of the person if it is of one, number of templates."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        numbers = count(self._next("event"))
        self._insert(
            "event",
            (
                (number, now, signed(action), subject or 0, templates)
                for number, (action, subject, templates) in zip(numbers, entries, strict=False)
            ),
        )

    def _profile(self, one: Somebody) -> tuple[Field, ...]:
        body = pack_profile(one.name, one.terms)
        return one.profile, self._sealer.seal(one.id, "profile", one.profile, body)

    def _blank_profile(self, profile: int) -> None:
        self._connection.run("UPDATE profile SET body = NULL, checksum = NULL WHERE id = ?", (profile,))

    def _handle(self, name: str) -> bytes:
        return self._sealer.handle("name", name.encode())

    def _next(self, table: str) -> int:
        return self._reader.total(table).last + 1

    def _insert(self, table: str, rows: Iterable[tuple[Field, ...]]) -> None:
        insert_rows(self._connection, table, rows)


def enroll(reader: RowReader, writer: Writer, people: Sequence[NewPerson]) -> list[int]:
    """Add templates of people; see `Store.add_many`."""
    held = reader.owners(template.digest for asked in people for template in asked.templates)
    fresh = _fresh(people, {digest: one.name for digest, (_, one) in held.items() if one.enrolled})
    writer.drop([number for number, one in held.values() if not one.enrolled])  # strangers no longer
    known = reader.named(asked.name for asked in people)
    for name in [name for name, one in known.items() if not one.enrolled]:
        writer.erase(known.pop(name))
    new: dict[str, Terms] = {}
    for asked in people:
        if asked.name not in known:
            new.setdefault(asked.name, asked.terms or Terms())
    known |= writer.enter(new, enrolled=True)
    events, put = [], []
    for asked, templates in zip(people, fresh, strict=True):
        someone = known[asked.name]
        if asked.terms is not None and asked.terms != someone.terms:
            known[asked.name] = writer.rewrite(someone, someone.name, asked.terms)
            events.append(("terms", someone.id, 0))
        if templates:
            put += [(someone.id, template) for template in templates]
            events.append(("enroll", someone.id, len(templates)))
    writer.put(put)
    writer.log(*events)
    return list(map(len, fresh))


def _fresh(people: Sequence[NewPerson], owners: dict[bytes, str]) -> list[list[NewTemplate]]:
    """Return the templates of each person that are new.

    Raises:
        PhotoConflictError: another person has one.
    """
    fresh = []
    for asked in people:
        theirs = []
        for template in asked.templates:
            owner = owners.get(template.digest)
            if owner is None:
                owners[template.digest] = asked.name
                theirs.append(template)
            elif owner != asked.name:
                raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)
        fresh.append(theirs)
    return fresh


def keep_strangers(reader: RowReader, writer: Writer, people: Sequence[tuple[str, NewTemplate]]) -> int:
    """Add photos of strangers; see `Store.add_strangers`."""
    known = reader.named(name for name, _ in people)
    taken = {*reader.owners(template.digest for _, template in people)}
    fresh = []
    for name, template in people:
        if template.digest not in taken and (name not in known or not known[name].enrolled):
            taken.add(template.digest)
            fresh.append((name, template))
    known |= writer.enter({name: Terms() for name, _ in fresh if name not in known}, enrolled=False)
    writer.put([(known[name].id, template) for name, template in fresh])
    if fresh:
        writer.log(("strangers", None, len(fresh)))
    return len(fresh)


def remake(
    reader: RowReader, writer: Writer, model: tuple[str, int], templates: Sequence[tuple[str, NewTemplate]]
) -> None:
    """Replace all templates by those of another model; see `Store.remake`."""
    known = {one.name: one for one in reader.everyone()}
    kept = {name for name, _ in templates}
    for one in known.values():
        if one.name not in kept:
            writer.log(("remove", one.id, writer.erase(one)))
    writer.clear()
    writer.bind(*model)
    writer.put((known[name].id, template) for name, template in templates)
    writer.log(("re-embed", None, len(templates)))
