"""The one SQLite file that is a gallery; with `migrations`, the only place that imports sqlite3."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from embedder.errors import (
    GalleryError,
    PhotoConflictError,
    UnknownIdentityError,
    UsageError,
)
from enroll.store.contract import (
    Changed,
    NewTemplate,
    Templates,
    are_unit,
    check_model,
    conflict_reason,
    stacked,
)
from enroll.store.migrations import migrate

_WAIT = 30.0  # seconds for another process to finish writing
_HEADER = 100  # bytes; SQLite writes over a shorter file


class SqliteStore:
    """A gallery's file: the contract `Store`, one transaction a change."""

    def __init__(self, path: str | Path, create: bool = False) -> None:
        """Open a gallery.

        Args:
            path: the file.
            create: make it if it is missing.

        Raises:
            GalleryError: it is missing, broken, or not a gallery.
        """
        self.path = Path(path)
        self.location = str(path)
        if not create and not self.path.is_file():
            raise GalleryError(f"{path}: no gallery here; make one with `embed enroll PEOPLE_FOLDER`")
        if self.path.is_file() and (size := self.path.stat().st_size) < _HEADER and (size or not create):
            raise GalleryError(f"{path}: expected a gallery, got a file of {size} bytes; restore a copy")
        try:
            # Absolute, since SQLite takes ":memory:" and "" for something else.
            if not self.path.parent.is_dir():
                raise GalleryError(f"{path}: the folder {self.path.parent} does not exist; make it first")
            self._connection = sqlite3.connect(self.path.absolute(), timeout=_WAIT, isolation_level=None)
        except sqlite3.Error as error:
            raise GalleryError(f"{path}: cannot be opened as a gallery: {error}") from error
        try:
            self._set_up()
        except BaseException:
            self._connection.close()
            raise

    def _set_up(self) -> None:
        with self._errors():
            for pragma in (
                "synchronous = EXTRA",  # committed means on the disk, its folder too
                "secure_delete = ON",  # erased means overwritten
                "trusted_schema = OFF",  # a foreign file's triggers and views call nothing
                "foreign_keys = ON",
                "cell_size_check = ON",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
            migrate(self._connection, self.path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def model(self) -> tuple[str, int] | None:
        """Fingerprint and vector length of the model the templates were made with, None in a new gallery."""
        with self._errors():
            row = self._connection.execute("SELECT fingerprint, dim FROM model").fetchone()
        if row is None:
            return None
        self._check(isinstance(row[0], str) and isinstance(row[1], int), "its model is not named")
        return row[0], row[1]

    def bind(self, fingerprint: str, dim: int) -> None:
        """Tie a new gallery to a model, or check that it is tied to this one.

        Raises:
            ForeignModelError: it was made with another model.
        """
        if self.model() is None:
            with self._transaction():
                self._connection.execute(
                    "INSERT INTO model VALUES (1, ?, ?) ON CONFLICT DO NOTHING", (fingerprint, dim)
                )
        check_model(self, fingerprint, dim)

    def owner(self, digest: bytes) -> str | None:
        """Whose template the photo with this digest is, None if it is not enrolled."""
        with self._errors():
            row = self._connection.execute(
                "SELECT name FROM template JOIN identity ON identity.id = identity WHERE digest = ?",
                (digest,),
            ).fetchone()
        return None if row is None else str(row[0])

    def add(self, name: str, templates: Sequence[NewTemplate]) -> int:
        """Add templates to an identity, new or known; a photo that is already theirs changes nothing.

        Args:
            name: of the identity.
            templates: unit vectors of the model's length.

        Returns:
            How many were added.

        Raises:
            PhotoConflictError: a photo is enrolled under another name; nothing was added.
            ValueError: no templates, a vector of another length or not of unit length, or no model yet.
        """
        vectors = stacked(templates, (self.model() or ("", 0))[1])
        added = 0
        with self._transaction():
            for template in templates:
                if (owner := self.owner(template.digest) or name) != name:
                    raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)
            self._connection.execute("INSERT INTO identity (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
            self._connection.execute("DELETE FROM stranger WHERE person = ?", (name,))
            for template, vector in zip(templates, vectors, strict=True):
                added += self._connection.execute(
                    """INSERT INTO template (identity, photo, digest, vector)
                    SELECT id, ?, ?, ? FROM identity WHERE name = ? ON CONFLICT (digest) DO NOTHING""",
                    (template.photo, template.digest, vector.tobytes(), name),
                ).rowcount
        return added

    def identities(self) -> list[tuple[str, int]]:
        """Names with their number of templates, sorted by name."""
        with self._errors():
            rows = self._connection.execute(
                """SELECT name, count(template.id) FROM identity
                LEFT JOIN template ON template.identity = identity.id GROUP BY identity.id ORDER BY name"""
            ).fetchall()
        self._check(all(isinstance(name, str) for name, _ in rows), "a name is not text")
        return rows

    def remove(self, name: str) -> int:
        """Erase an identity and its templates.

        Returns:
            How many templates were erased.

        Raises:
            UnknownIdentityError: no such name.
        """
        with self._transaction():
            count: int = self._connection.execute(
                "SELECT count(*) FROM template JOIN identity ON identity.id = identity WHERE name = ?",
                (name,),
            ).fetchone()[0]
            if not self._connection.execute("DELETE FROM identity WHERE name = ?", (name,)).rowcount:
                raise self._no_such(name)
        return count

    def rename(self, old: str, new: str) -> None:
        """Give an identity another name.

        Raises:
            UnknownIdentityError: no such name.
            UsageError: the new name is taken.
        """
        with self._transaction():
            try:
                changed = self._connection.execute(
                    "UPDATE identity SET name = ? WHERE name = ?", (new, old)
                ).rowcount
            except sqlite3.IntegrityError as error:
                raise UsageError(
                    f"{new!r} is already enrolled; two people are never merged by a rename, remove one first"
                ) from error
            if not changed:
                raise self._no_such(old)

    def templates(self, after: int = 0) -> Templates:
        """Read the templates whose id is above `after`.

        Raises:
            GalleryError: a vector is not of unit length or of the model's dimension.
        """
        with self._errors():
            rows = self._connection.execute(
                """SELECT template.id, name, vector FROM template
                JOIN identity ON identity.id = template.identity
                WHERE template.id > ? ORDER BY template.id""",
                (after,),
            ).fetchall()
        return self._as_templates(rows)

    def add_strangers(self, people: Sequence[tuple[str, NewTemplate]]) -> int:
        """Add photos of people who are known not to be enrolled; gives how many are new.

        Photos of templates, and of people with an enrolled name, are not taken.
        """
        added = 0
        with self._transaction():
            for person, template in people:
                vector = np.asarray(template.vector, "<f4").tobytes()
                added += self._connection.execute(
                    """INSERT INTO stranger (person, photo, digest, vector) SELECT ?, ?, ?, ?
                    WHERE NOT EXISTS (SELECT 1 FROM template WHERE digest = ?)
                    AND NOT EXISTS (SELECT 1 FROM identity WHERE name = ?) ON CONFLICT (digest) DO NOTHING""",
                    (person, template.photo, template.digest, vector, template.digest, person),
                ).rowcount
        return added

    def remove_strangers(self) -> int:
        """Erase all strangers; gives how many photos that were."""
        with self._transaction():
            return self._connection.execute("DELETE FROM stranger").rowcount

    def strangers(self) -> Templates:
        """Read all photos of strangers; `identities` are the people they are of.

        Raises:
            GalleryError: a vector is not of unit length or of the model's dimension.
        """
        with self._errors():
            rows = self._connection.execute("SELECT id, person, vector FROM stranger ORDER BY id").fetchall()
        return self._as_templates(rows)

    def _as_templates(self, rows: list[tuple[int, str, bytes]]) -> Templates:
        dim = (self.model() or ("", 0))[1]
        self._check(
            all(isinstance(row[2], bytes) and len(row[2]) == 4 * dim for row in rows),
            f"a template is not {dim} numbers long",
        )
        self._check(
            all(isinstance(row[0], int) and isinstance(row[1], str) for row in rows), "a name is not text"
        )
        vectors = np.frombuffer(b"".join(row[2] for row in rows), "<f4").reshape(len(rows), dim)
        self._check(are_unit(vectors), "a template is not of unit length")
        return Templates(
            np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], object), vectors
        )

    def set_calibration(self, content: str, identities: int, templates: int) -> bool:
        """Keep a calibration of the gallery as it is.

        Args:
            content: what was found.
            identities: people it was made from.
            templates: photos it was made from.

        Returns:
            Whether it was kept; not if the gallery has other people or photos by now.
        """
        with self._transaction():
            people = [row[0] for row in self._connection.execute("SELECT id FROM identity ORDER BY id")]
            (photos,) = self._connection.execute("SELECT count(*) FROM template").fetchone()
            if (len(people), photos) != (identities, templates):
                return False
            self._connection.execute(
                "INSERT OR REPLACE INTO calibration VALUES (1, ?, ?)",
                (content, np.array(people, "<i8").tobytes()),
            )
        return True

    def calibration(self) -> tuple[str, Changed] | None:
        """Give the calibration and what changed since, or None if there is none."""
        with self._errors():
            row = self._connection.execute("SELECT content, people FROM calibration").fetchone()
            if row is None:
                return None
            now = {entry[0] for entry in self._connection.execute("SELECT id FROM identity")}
            (photos,) = self._connection.execute("SELECT count(*) FROM template").fetchone()
        self._check(isinstance(row[0], str) and isinstance(row[1], bytes), "its calibration is not text")
        self._check(len(row[1]) % 8 == 0, "the people of its calibration are cut off")
        then = set(np.frombuffer(row[1], "<i8").tolist())
        return row[0], Changed(len(now - then), len(then - now), photos)

    def photos(self, ids: Sequence[int]) -> list[str]:
        """Give where the pictures of templates came from, in the order of the ids; "" if it is gone."""
        with self._errors():
            found = [
                self._connection.execute("SELECT photo FROM template WHERE id = ?", (int(one),)).fetchone()
                for one in ids
            ]
        return ["" if row is None else str(row[0]) for row in found]

    def finder(self) -> None:
        """Templates are searched here."""

    def changes(self) -> tuple[int, int]:
        """Give a value that differs after any change, by this process or another."""
        with self._errors():
            (elsewhere,) = self._connection.execute("PRAGMA data_version").fetchone()
        return elsewhere, self._connection.total_changes

    def _check(self, sound: bool, problem: str) -> None:
        if not sound:
            raise GalleryError(f"{self.path}: broken: {problem}; restore a copy")

    def _no_such(self, name: str) -> UnknownIdentityError:
        names = [entry for entry, _ in self.identities()]
        near = [entry for entry in names if entry.casefold() == name.casefold()]
        hint = f"; did you mean {near[0]!r}?" if near else "; see `embed gallery list`"
        return UnknownIdentityError(f"{self.path}: no one is called {name!r}{hint}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's own words may be broken too
            raise GalleryError(f"{self.path}: the gallery cannot be used: {error}") from error
