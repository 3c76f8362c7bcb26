"""Read the rows of a gallery and check them: each by its checksum, whole tables by their totals."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedder.errors import GalleryError
from enroll.store.base import Terms
from enroll.store.messages import unknown_identity
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.encryption import Sealer
from enroll.store.sqlite.rows import (
    expiry,
    is_sound,
    person_checksums,
    profile_checksums,
    template_checksums,
    unpack_profiles,
    unpack_template,
)
from enroll.store.sqlite.schema import COLUMNS
from enroll.templates import StoredTemplate, Templates, are_unit

_TEMPLATE = "SELECT id, person, handle, body, checksum FROM template WHERE checksum IS NOT NULL"
_PERSON = """SELECT person.id, handle, profile, enrolled, expires, person.checksum,
    profile.id, body, profile.checksum FROM person LEFT JOIN profile ON profile.id = profile"""
_KINDS = {"INTEGER": int, "TEXT": str, "BLOB": bytes}
_LONGEST_VECTOR = 65536  # numbers, as in a manifest


@contextmanager
def _without_gc() -> Iterator[None]:
    """Pause Python's cycle collector, which takes a sixth of the time for millions of rows."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Somebody(NamedTuple):  # twice as fast to make as a dataclass
    """Holds a person, enrolled or a stranger.

    Attributes:
        id: never used for another person.
        profile: id of the row with name and terms.
        enrolled: False for a stranger.
    """

    id: int
    profile: int
    enrolled: bool
    name: str
    terms: Terms

    def row(self, handle: bytes) -> tuple[int, bytes, int, int, int]:
        """Return the row of `person`, without its checksum."""
        return self.id, handle, self.profile, int(self.enrolled), expiry(self.terms)


@dataclass(frozen=True, slots=True)
class Total:
    """Holds the row of `total` about a table."""

    count: int
    sum: int
    last: int
    changed: int
    blanks: int


class RowReader:
    """Reads a gallery; related reads belong inside one `Connection.reading`."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection, self._sealer = connection, sealer

    def broken(self, problem: object) -> GalleryError:
        """Return the error for a broken gallery."""
        return GalleryError(f"{self._connection.path}: broken: {problem}; restore a copy")

    def total(self, table: str) -> Total:
        """Read the totals of a table."""
        row = self._connection.row(
            "SELECT count, sum, last, changed, blanks FROM total WHERE part = ?", (table,)
        )
        if row is None or min(row) < 0:
            raise self.broken(f"it is not known how many rows of {table!r} there are")
        return Total(*row)

    def table(self, table: str, after: int = 0) -> Iterator[tuple[Any, ...]]:
        """Yield all rows of a table, or those above an id, without their checksums and without blanks."""
        columns = [column.split() for column in COLUMNS[table].split(",")]
        names = ", ".join(name for name, *_ in columns)
        kinds = [_KINDS[kind] for _, kind, *_ in columns[:-1]]
        query = f"SELECT id, {names} FROM {table} WHERE checksum IS NOT NULL AND id > ? ORDER BY id"
        count = total = last = 0
        for rows in self._connection.chunks(query, (after,)):
            for row in rows:
                if not is_sound(row, *kinds):
                    raise self.broken(f"a row of {table!r} was changed")
                yield row[:-1]
                count, total, last = count + 1, total + row[-1], row[0]
        if not after:
            self._check_total(table, count, total, last)

    def _check_total(self, table: str, count: int, total: int, last: int) -> None:
        expected = self.total(table)
        if (count, total) != (expected.count, expected.sum) or last > expected.last:
            raise self.broken(f"rows of {table!r} are lost, doubled or changed")

    def model(self) -> tuple[str, int] | None:
        """Read fingerprint and vector length of the model, None without one."""
        rows = list(self.table("model"))
        if not rows:
            return None
        _, fingerprint, dim = rows[0]
        if not 1 <= dim <= _LONGEST_VECTOR:
            raise self.broken(f"its vectors are said to be of {dim} numbers")
        return fingerprint, dim

    def everyone(self) -> Iterator[Somebody]:
        """Read all people, by id."""
        count = people = profiles = last = last_profile = 0
        for rows in self._connection.chunks(f"{_PERSON} ORDER BY person.id"):
            yield from self._somebodies(rows)
            count, people, last = count + len(rows), people + sum(row[5] for row in rows), rows[-1][0]
            profiles += sum(row[-1] for row in rows)
            last_profile = max(last_profile, max(row[6] for row in rows))
        self._check_total("person", count, people, last)
        self._check_total("profile", count, profiles, last_profile)

    def named(self, names: Iterable[str]) -> dict[str, Somebody]:
        """Find people by name."""
        handles = {self._sealer.handle("name", name.encode()) for name in names}
        return {one.name: one for one in self._people("handle", handles)}

    def enrolled_as(self, name: str) -> Somebody:
        """Find the person who is enrolled under a name.

        Raises:
            UnknownIdentityError: no one is.
        """
        someone = self.named([name]).get(name)
        if someone is None or not someone.enrolled:
            names = [one.name for one in self.everyone() if one.enrolled]
            raise unknown_identity(self._connection.path, name, names)
        return someone

    def persons(self, numbers: Iterable[int]) -> dict[int, Somebody]:
        """Read people by id."""
        wanted = set(numbers)
        found = {one.id: one for one in self._people("person.id", wanted)}
        if len(found) < len(wanted):
            raise self.broken("a template is of no one")
        return found

    def _people(self, column: str, values: Iterable[bytes | int]) -> Iterator[Somebody]:
        for rows in self._connection.rows_in(f"{_PERSON} WHERE {column}", values):
            yield from self._somebodies(rows)

    def expired(self, day: int) -> list[Somebody]:
        """List the enrolled people whose last day is before a day."""
        rows = self._connection.rows(f"{_PERSON} WHERE expires < ?", (day,))
        return [one for one in self._somebodies(rows) if one.enrolled]

    def _somebodies(self, rows: list[Any]) -> list[Somebody]:
        """Check and unpack rows of `_PERSON` together, as there may be a million."""
        if not rows:
            return []
        *people, ids, bodies, sums = zip(*rows, strict=True)
        self._check_people(people)
        numbers, _, wheres, enrolled, expires, _ = people
        try:
            if profile_checksums(ids, bodies) != list(sums):
                raise ValueError("a row of 'profile' was changed")
            profiles = unpack_profiles(self._sealer.unseal_all(numbers, "profile", wheres, bodies), expires)
        except ValueError as error:
            raise self.broken(error) from error
        return [
            Somebody(number, where, bool(one), *profile)
            for number, where, one, profile in zip(numbers, wheres, enrolled, profiles, strict=True)
        ]

    def _check_people(self, columns: Sequence[tuple[Any, ...]]) -> None:
        """Check the columns of rows of `person`, the last of which are their checksums."""
        try:
            sound = person_checksums(*columns[:-1]) == list(columns[-1])
        except ValueError:
            sound = False
        if not sound:
            raise self.broken("a row of 'person' was changed")

    def owners(self, digests: Iterable[bytes]) -> dict[bytes, tuple[int, Somebody]]:
        """Find the templates of photos by digest, with their people."""
        handles = {self._sealer.handle("digest", digest): digest for digest in digests}
        found: dict[bytes, tuple[int, int]] = {}
        for rows in self._connection.rows_in(f"{_TEMPLATE} AND handle", handles):
            if rows:
                self._checksums([*zip(*rows, strict=True)])
            found |= {handles[handle]: (number, person) for number, person, handle, _, _ in rows}
        people = self.persons(person for _, person in found.values())
        return {digest: (number, people[person]) for digest, (number, person) in found.items()}

    def template(self, number: int) -> tuple[int, StoredTemplate] | None:
        """Read a template by id, and the id of its person."""
        row = self._connection.row(f"{_TEMPLATE} AND id = ?", (number,))
        return None if row is None else (row[1], self._stored(row, self._dim()))

    def templates_of(self, person: int) -> list[StoredTemplate]:
        """Read a person's templates, by id."""
        dim = self._dim()
        rows = self._connection.rows(f"{_TEMPLATE} AND person = ? ORDER BY id", (person,))
        return [self._stored(row, dim) for row in rows]

    def templates_of_strangers(self) -> list[tuple[str, StoredTemplate]]:
        """Read the templates of strangers, by id, with their names."""
        found = [
            (one.name, template)
            for one in self.everyone()
            if not one.enrolled
            for template in self.templates_of(one.id)
        ]
        return sorted(found, key=lambda entry: entry[1].id)

    def _stored(self, row: tuple[Any, ...], dim: int) -> StoredTemplate:
        if not is_sound(row, int, bytes, bytes) or None in row:
            raise self.broken("a row of 'template' was changed")
        number, person, _, body, _ = row
        try:
            photo, digest, vector = unpack_template(
                self._sealer.unseal(person, "template", number, body), dim
            )
        except ValueError as error:
            raise self.broken(error) from error
        return StoredTemplate(number, photo, digest, self._vectors([vector], dim)[0])

    def whose(self) -> dict[int, int]:
        """Return the id of the person of each template."""
        found = dict(self._connection.rows("SELECT id, person FROM template WHERE checksum IS NOT NULL"))
        if len(found) != self.total("template").count:
            raise self.broken("rows of 'template' are lost or doubled")
        return found

    def counts(self) -> dict[int, int]:
        """Count the templates of each person."""
        found = dict(
            self._connection.rows("SELECT person, count(*) FROM template WHERE person > 0 GROUP BY person")
        )
        if sum(found.values()) != self.total("template").count:
            raise self.broken("rows of 'template' are lost or doubled")
        return found

    def enrolled(self) -> tuple[NDArray[np.int64], int]:
        """Return the ids of enrolled people, (n,) int64 rising, and the number of their templates."""
        people: list[int] = []
        count = total = last = 0
        query = "SELECT id, handle, profile, enrolled, expires, checksum FROM person ORDER BY id"
        for rows in self._connection.chunks(query):
            self._check_people([*zip(*rows, strict=True)])
            count, total, last = count + len(rows), total + sum(row[-1] for row in rows), rows[-1][0]
            people += [row[0] for row in rows if row[3]]
        self._check_total("person", count, total, last)
        counts = self.counts()
        return np.array(people, "<i8"), sum(counts.get(person, 0) for person in people)

    def calibration(self) -> tuple[str, NDArray[np.int64]] | None:
        """Read the calibration and the ids of the people it was made for, (n,) int64.

        None without one.
        """
        rows = list(self.table("calibration"))
        if rows and len(rows[0][2]) % 8:
            raise self.broken("whom its calibration was made for cannot be read")
        return (rows[0][1], np.frombuffer(rows[0][2], "<i8")) if rows else None

    def born(self) -> int:
        """Return the first generation, which differs between files."""
        (born,) = self._connection.row("SELECT born FROM gallery")
        return int(born)

    def changes(self) -> tuple[int, int]:
        """Return generation and last template id; see `Store.changes`."""
        templates = self.total("template")
        return self.born() + templates.changed + self.total("person").changed, templates.last

    def check_handles(self) -> None:
        """Check that everyone and every template is found by its hash."""
        dim, counts = self._dim(), self.counts()
        for rows in self._connection.chunks(f"{_TEMPLATE} ORDER BY id"):
            for row in rows:
                if self._sealer.handle("digest", self._stored(row, dim).digest) != row[2]:
                    raise self.broken("a template would not be found by its picture")
        for one in self.everyone():
            if self.named([one.name]).get(one.name) != one or not counts.pop(one.id, 0):
                raise self.broken("a person would not be found by name, or has no template")
        if counts:
            raise self.broken("a template is of no one")

    @_without_gc()
    def templates(self, enrolled: bool, after: int = 0) -> Templates:
        """Read the templates of enrolled people or of strangers, those whose id is above `after`.

        They are read in parts into arrays of the final size: a million take little more memory than their
        vectors.
        """

        def named(one: Somebody) -> tuple[int, str | None]:
            return one.id, one.name if one.enrolled == enrolled else None

        dim, total = self._dim(), self.total("template")
        most = max(0, min(total.count, total.last - after))
        if most * dim * np.dtype(np.float32).itemsize > self._connection.size():
            raise self.broken("it is shorter than its templates")
        names = {} if after else dict(map(named, self.everyone()))
        ids, identities = np.empty(most, np.int64), np.empty(most, object)
        vectors = np.empty((most, dim), np.float32)
        filled = read = checksums = last = 0
        for rows in self._connection.chunks(f"{_TEMPLATE} AND id > ? ORDER BY id", (after,)):
            columns = [*zip(*rows, strict=True)]
            checksums += self._checksums(columns)
            numbers, whose, _, bodies, _ = columns
            read, last = read + len(rows), numbers[-1]
            names |= dict(map(named, self.persons({*whose}.difference(names)).values()))
            theirs = tuple(names[one] for one in whose)
            if None in theirs:
                kept = [name is not None for name in theirs]
                numbers, whose, bodies, theirs = (
                    tuple(compress(column, kept)) for column in (numbers, whose, bodies, theirs)
                )
            end = filled + len(numbers)
            if end > most:
                raise self.broken("there are more templates than there should be")
            ids[filled:end], identities[filled:end] = numbers, theirs
            vectors[filled:end] = self._vectors(self._bodies(whose, numbers, bodies), dim)
            filled = end
        if not after:
            self._check_total("template", read, checksums, last)
        return Templates(ids[:filled], identities[:filled], vectors[:filled])

    def _checksums(self, columns: Sequence[tuple[Any, ...]]) -> int:
        """Check the columns of rows of `template`, and return the sum of their checksums."""
        numbers, people, handles, bodies, expected = columns
        try:
            sound = template_checksums(numbers, people, handles, bodies) == list(expected)
        except ValueError:
            sound = False
        if not sound:
            raise self.broken("a template was changed")
        return sum(expected)

    def _bodies(self, people: Sequence[int], rows: Sequence[int], bodies: Sequence[bytes]) -> Sequence[bytes]:
        try:
            return self._sealer.unseal_all(people, "template", rows, bodies)
        except ValueError as error:
            raise self.broken(error) from error

    def _vectors(self, bodies: Sequence[bytes], dim: int) -> NDArray[np.float32]:
        size = dim * np.dtype(np.float32).itemsize
        if bodies and min(map(len, bodies)) < size:
            raise self.broken(f"a template is not {dim} numbers long")
        vectors = np.frombuffer(b"".join([body[:size] for body in bodies]), "<f4").reshape(len(bodies), dim)
        if not are_unit(vectors):
            raise self.broken("a template is not of unit length")
        return vectors

    def _dim(self) -> int:
        return (self.model() or ("", 0))[1]
