"""Store the photo library of a gallery that is a file; each change is one transaction.

`enroll.store.library.LibraryStore` says what the methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from enroll.store.library import Changes, SeenFace, SeenPhoto, Step

if TYPE_CHECKING:
    from enroll.store.sqlite.library import LibraryRows
    from enroll.store.sqlite.reader import RowReader, Somebody
    from enroll.store.sqlite.writer import Writer
    from enroll.templates import StoredTemplate

_TABLES = ("photo", "face", "step", "named", "grouped", "person", "model")
_APPENDED = ("photo", "face", "step")  # a row that changes is blanked and written again
_Span = Callable[[], AbstractContextManager[None]]


class SqliteLibrary:
    """Stores the library of an open gallery; made by `SqliteStore.library`."""

    def __init__(self, writer: Callable[[], Writer], reading: _Span, writing: _Span, erasing: _Span) -> None:
        """Use the connections of a store.

        Args:
            writer: returns the writer of this thread.
            reading: opens a block of consistent reads.
            writing: opens a transaction.
            erasing: opens a transaction that erases.
        """
        self._writer = writer
        self._reading, self._writing, self._erasing = reading, writing, erasing

    @property
    def _rows(self) -> LibraryRows:
        return self._writer().library

    @property
    def _reader(self) -> RowReader:
        return self._writer().reader

    def state(self) -> dict[str, tuple[int, ...]]:
        """Return the state that `changes` compares; it differs for each table that changed."""
        with self._reading():
            born = self._reader.born()
            totals = {table: self._reader.total(table) for table in _TABLES}
            return {
                table: (born + one.changed, one.last, one.count, one.sum) for table, one in totals.items()
            }

    def changes(self, since: Mapping[str, tuple[int, ...]] | None = None) -> Changes:
        """Read what changed since a state, consistently; None reads everything."""
        before = since or {}
        with self._reading():
            now = self.state()
            new = {table for table in _TABLES if now[table] != before.get(table)}
            grown = frozenset(
                table
                for table in _APPENDED
                if table in new and table in before and now[table][0] == before[table][0]
            )
            after = {table: before[table][1] if table in grown else 0 for table in _APPENDED}
            by_number = attrgetter("number")
            rows = self._rows
            return Changes(
                now,
                grown,
                (self._reader.model() or ("", 0))[0],
                sorted(rows.photos(after["photo"]), key=by_number) if "photo" in new else None,
                sorted(rows.faces(after["face"]), key=by_number) if "face" in new else None,
                list(rows.steps(after["step"])) if "step" in new else None,
                rows.named() if "named" in new else None,
                rows.grouped() if "grouped" in new else None,
                self.people() if "person" in new else None,
            )

    def photos(self) -> list[SeenPhoto]:
        """List all photos, by number."""
        with self._reading():
            return sorted(self._rows.photos(), key=lambda photo: photo.number)

    def faces(self) -> list[SeenFace]:
        """List all faces, by number."""
        with self._reading():
            return sorted(self._rows.faces(), key=lambda face: face.number)

    def forgotten(self, digest: bytes) -> bool:
        """Return whether a photo was scanned and all of its faces were erased since."""
        with self._reading():
            return self._rows.knows(digest)

    def write(
        self,
        new: Sequence[tuple[SeenPhoto, Sequence[SeenFace]]] = (),
        photos: Sequence[SeenPhoto] = (),
        faces: Sequence[SeenFace] = (),
        gone: Sequence[int] = (),
    ) -> list[int]:
        """Write the results of a scan, in one transaction."""
        if not (new or photos or faces or gone):
            return []
        # Erasing deletes the approximate index, too, which takes minutes to build: not for nothing.
        with self._erasing() if self._undecided(gone) else self._writing():
            numbers = self._rows.add_photos(new)
            for photo in photos:
                self._rows.replace_photo(photo)
            for face in faces:
                if face.number:
                    self._rows.replace_face(face)
                else:
                    self._rows.add_faces([face])
            self._rows.erase_faces(self._undecided(gone))  # again, as others may have decided meanwhile
        return numbers

    def _undecided(self, faces: Sequence[int]) -> set[int]:
        if not faces:
            return set()
        with self._reading():
            return set(faces) - self._rows.decided()

    def names(self) -> dict[int, tuple[int, str]]:
        """Return id and name of the person of each face that has one."""
        with self._reading():
            named = self._rows.named()
            people = self._reader.persons(set(named.values()))
        return {face: (person, people[person].name) for face, person in named.items()}

    def steps(self) -> list[Step]:
        """List all decisions, oldest first."""
        with self._reading():
            return list(self._rows.steps())

    def decide(self, content: Mapping[str, Any], faces: Sequence[SeenFace] = ()) -> int:
        """Write a decision, and return its number."""
        with self._writing():
            added = self._rows.add_faces(faces)
            if added:
                content = {**content, "faces": [*content.get("faces", ()), *added]}
            return self._rows.log(content)

    def set_names(self, names: Mapping[int, int | None]) -> None:
        """Write the ids of the people of faces, None for no one; other faces are unchanged."""
        with self._writing():
            self._rows.set_named(names)

    def people(self) -> dict[int, str]:
        """Return the names of everyone who is enrolled, by id."""
        with self._reading():
            return {one.id: one.name for one in self._reader.everyone() if one.enrolled}

    def template_names(self) -> dict[int, str]:
        """Return the name of the person of each template, by the template's id."""
        with self._reading():
            people = self.people()
            return {
                number: people[person] for number, person in self._reader.whose().items() if person in people
            }

    def groups(self) -> dict[int, int]:
        """Return the number of the group of each face that is in one."""
        with self._reading():
            return self._rows.grouped()

    def set_groups(self, groups: Mapping[int, int]) -> None:
        """Replace all groups."""
        with self._writing():
            there = set(self._rows.numbers())
            self._rows.set_grouped({face: group for face, group in groups.items() if face in there})

    def move_groups(self, groups: Mapping[int, int | None]) -> None:
        """Write the groups of faces, None for none; other faces are unchanged."""
        with self._writing():
            self._rows.move_grouped(groups)

    def person(self, name: str) -> int | None:
        """Return the id of an enrolled person, None if there is none."""
        with self._reading():
            found = self._reader.named([name]).get(name)
        return found.id if found and found.enrolled else None

    def expired(self, today: date) -> int:
        """Count the faces without a name that are past their last day."""
        with self._reading():
            return len(self._rows.expired(today))

    def purge(self, today: date) -> int:
        """Erase faces without a name whose last day is before `today`, and return how many."""
        if not self.expired(today):
            return 0
        with self._erasing():
            return self._rows.erase_faces(self._rows.expired(today))

    def erase_all(self) -> tuple[int, int]:
        """Erase the whole library, and return the number of photos and of faces."""
        with self._erasing():
            return self._rows.erase_everything()


def log_merge(rows: LibraryRows, kept: int, gone: Somebody, templates: Sequence[StoredTemplate]) -> None:
    """Assign the faces of a person to whom they are merged into, and log what undoes it.

    Args:
        rows: of the library.
        kept: id of the person who stays.
        gone: the person who goes.
        templates: theirs.
    """
    if not rows.is_used():
        return
    terms = gone.terms
    content = {
        "do": "merge",
        "kept": kept,
        "other": gone.id,
        "name": gone.name,
        "terms": [terms.consent, *(day and day.isoformat() for day in (terms.consent_date, terms.expires))],
        "digests": [template.digest.hex() for template in templates],
    }
    rows.move_person(gone.id, kept)
    rows.log(content, kept)
