"""Read and write the rows of a photo library, inside transactions of the store.

Each photo and each face is sealed with a key of its own, as each person is; their ids in the file of keys
are below 0. So erasing a stranger's face makes it unreadable also in old backups of an encrypted gallery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from enroll.store.library import SeenFace, SeenPhoto, Step
from enroll.store.sqlite import library_facts
from enroll.store.sqlite.library_facts import LENGTH
from enroll.store.sqlite.rows import NEVER, Field, checksum
from enroll.store.sqlite.schema import insert_rows

if TYPE_CHECKING:
    from enroll.store.sqlite.connection import Connection
    from enroll.store.sqlite.encryption import Sealer
    from enroll.store.sqlite.reader import RowReader

_OWN = -1  # id of the library's own key
_BLANKED = {
    "photo": "number = NULL, handle = NULL, body = NULL, checksum = NULL",
    "face": "number = NULL, photo = NULL, body = NULL, checksum = NULL, expires = NULL",
    "step": "person = NULL, body = NULL, checksum = NULL",
}


def photo_key(number: int) -> int:
    """Return the id of a photo's key."""
    return -2 * number


def face_key(number: int) -> int:
    """Return the id of a face's key."""
    return -2 * number - 1


class LibraryRows:
    """Reads and writes rows of `photo`, `face`, `named`, `grouped` and `step`."""

    def __init__(self, connection: Connection, sealer: Sealer, reader: RowReader) -> None:
        self._connection, self._sealer, self._reader = connection, sealer, reader

    def is_used(self) -> bool:
        """Return whether a library was ever scanned into the gallery."""
        return self._reader.total("photo").last > 0

    def photos(self, after: int = 0) -> Iterator[SeenPhoto]:
        """Read photos, all or of rows above an id, except those of which all was erased."""
        for row, number, _, body in self._reader.table("photo", after):
            with self._checked("photo"):
                facts = self._open(photo_key(library_facts.number(number)), "photo", row, body)
                photo = library_facts.photo_of(number, facts) if facts.get("digest") != "" else None
            if photo is not None:
                yield photo

    def faces(self, after: int = 0) -> list[SeenFace]:
        """Read faces, all or of rows above an id."""
        with self._checked("face"):
            found = [
                library_facts.face_of(number, photo, expires, self._unsealed(key, "face", row, body))
                for row, number, photo, expires, body in self._reader.table("face", after)
                if (key := face_key(library_facts.number(number)))
            ]
            library_facts.check_vectors(found, self._reader.model())
        return found

    def steps(self, after: int = 0) -> Iterator[Step]:
        """Read decisions, all or those above a number."""
        for row, person, body in self._reader.table("step", after):
            with self._checked("step"):
                step = library_facts.step_of(row, person, self._open(person or _OWN, "step", row, body))
            yield step

    @contextmanager
    def _checked(self, table: str) -> Iterator[None]:
        """Convert an invalid row to a GalleryError."""
        try:
            yield
        except (ValueError, TypeError) as error:
            raise self._reader.broken(f"a row of {table!r} cannot be read: {error!s:.500}") from error

    def named(self) -> dict[int, int]:
        """Return the id of the person of each face that has one."""
        return self._pairs("named")

    def decided(self) -> set[int]:
        """Return the faces that have a name or are in a decision."""
        faces = set(self.named())
        for step in self.steps():
            faces |= {*step.content.get("faces", ()), *step.content.get("others", ())}
        return faces

    def grouped(self) -> dict[int, int]:
        """Return the group of each face that is in one."""
        return self._pairs("grouped", library_facts.group_number)

    def _pairs(self, table: str, check: Callable[[object], int] = library_facts.number) -> dict[int, int]:
        with self._checked(table):
            return {library_facts.number(one): check(other) for one, other in self._reader.table(table)}

    def knows(self, digest: bytes) -> bool:
        """Return whether a photo was scanned, whatever was erased since."""
        handle = self._sealer.handle("photo", digest)
        return self._connection.row("SELECT 1 FROM photo WHERE handle = ?", (handle,)) is not None

    def add_photos(self, new: Iterable[tuple[SeenPhoto, Sequence[SeenFace]]]) -> list[int]:
        """Write photos with their faces, and return their numbers; known photos keep theirs."""
        numbers = []
        for photo, faces in new:
            handle = self._sealer.handle("photo", photo.digest)
            if there := self._connection.row("SELECT number FROM photo WHERE handle = ?", (handle,)):
                numbers += there
                continue
            numbers.append(number := self._number("photo"))
            self._sealer.enter(photo_key(number))
            self._put_photo(photo, number, handle)
            self.add_faces(faces, number)
        return numbers

    def add_faces(self, faces: Iterable[SeenFace], photo: int | None = None) -> list[int]:
        """Write new faces, and return their numbers.

        Args:
            faces: the faces.
            photo: number of their photo; None: each has it.
        """
        numbers = []
        for face in faces:
            number = self._number("face")
            self._sealer.enter(face_key(number))
            self._put_face(face, number, photo or face.photo)
            numbers.append(number)
        return numbers

    def replace_photo(self, photo: SeenPhoto) -> None:
        """Write a photo again, with other files."""
        if self._blank("photo", "number = ?", photo.number):
            handle = self._sealer.handle("photo", photo.digest)
            self._put_photo(photo, photo.number, handle)

    def replace_face(self, face: SeenFace) -> None:
        """Write a face again, with the vector of another model."""
        if self._blank("face", "number = ?", face.number):
            self._put_face(face, face.number, face.photo)

    def erase_faces(self, numbers: Iterable[int]) -> int:
        """Erase faces, and return how many there were.

        Of photos without another face only the mark that they were scanned is kept. Path and date of such a
        photo are erased, too, as they may name a person.
        """
        erased, photos = 0, set()
        for number in numbers:
            row = self._connection.row("SELECT photo FROM face WHERE number = ?", (number,))
            if row is None:
                continue
            photos.add(row[0])
            erased += self._blank("face", "number = ?", number)
            self._sealer.forget(face_key(number))
            for table in ("named", "grouped"):
                self._connection.run(f"DELETE FROM {table} WHERE id = ?", (number,))
        for photo in photos:
            if not self._connection.row("SELECT 1 FROM face WHERE photo = ?", (photo,)):
                self._forget_photo(photo)
        return erased

    def forget_person(self, person: int) -> None:
        """Erase the faces of a person, and the decisions that hold their name."""
        rows = self._connection.rows("SELECT id FROM named WHERE person = ?", (person,))
        self.erase_faces([number for (number,) in rows])
        self._blank("step", "person = ?", person)

    def move_person(self, old: int, new: int) -> None:
        """Assign the faces of one person to another."""
        rows = self._connection.rows("SELECT id FROM named WHERE person = ?", (old,))
        self.set_named({number: new for (number,) in rows})

    def set_named(self, names: Mapping[int, int | None]) -> None:
        """Write the people of faces."""
        self._set("named", names)

    def move_grouped(self, groups: Mapping[int, int | None]) -> None:
        """Write the groups of some faces."""
        self._set("grouped", groups)

    def set_grouped(self, groups: Mapping[int, int]) -> None:
        """Replace all groups."""
        old = self.grouped()
        changed: dict[int, int | None] = {face: None for face in old if face not in groups}
        changed |= {face: group for face, group in groups.items() if old.get(face) != group}
        self._set("grouped", changed)

    def log(self, content: Mapping[str, Any], person: int = 0) -> int:
        """Write a decision.

        Args:
            content: the decision.
            person: id whose key seals it; 0: the library's own.

        Returns:
            Its number.
        """
        if not person and not self._sealer.has(_OWN):
            self._sealer.enter(_OWN)
        number = self._reader.total("step").last + 1
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = self._sealer.seal(person or _OWN, "step", number, body)
        insert_rows(self._connection, "step", [(number, person, sealed)])
        return number

    def expired(self, today: date) -> list[int]:
        """Return the faces without a name that are past their last day."""
        query = "SELECT number FROM face WHERE expires < ? AND number NOT IN (SELECT id FROM named)"
        return [number for (number,) in self._connection.rows(query, (today.toordinal(),))]

    def numbers(self) -> list[int]:
        """Return the numbers of all faces."""
        query = "SELECT number FROM face WHERE checksum IS NOT NULL"
        return [number for (number,) in self._connection.rows(query)]

    def erase_everything(self) -> tuple[int, int]:
        """Erase photos, faces and decisions, and return the number of photos and of faces."""
        photos, faces = self._reader.total("photo").count, self.erase_faces(self.numbers())
        for (number,) in self._connection.rows("SELECT number FROM photo WHERE checksum IS NOT NULL"):
            self._blank("photo", "number = ?", number)
            self._sealer.forget(photo_key(number))
        self._blank("step", "checksum IS NOT NULL")
        return photos, faces

    def erase_keyless(self) -> int:
        """Erase photos and faces whose key is gone, and return how many there were."""
        gone = 0
        for table, key in (("face", face_key), ("photo", photo_key)):
            query = f"SELECT number FROM {table} WHERE checksum IS NOT NULL"
            lost = [n for (n,) in self._connection.rows(query) if not self._sealer.has(key(n))]
            for number in lost:
                gone += self._blank(table, "number = ?", number)
                if table == "face":
                    self._connection.run("DELETE FROM named WHERE id = ?", (number,))
                    self._connection.run("DELETE FROM grouped WHERE id = ?", (number,))
        return gone

    def check(self) -> None:
        """Read everything, and check that it is consistent.

        Raises:
            GalleryError: it cannot be read, or is not consistent.
        """
        photos = {number for _, number, _, _ in self._reader.table("photo")}
        for photo in self.photos():
            handle = self._sealer.handle("photo", photo.digest)
            found = self._connection.row("SELECT number FROM photo WHERE handle = ?", (handle,))
            if found != (photo.number,):
                raise self._reader.broken("a photo of the library would not be found by its content")
        faces = {face.number: face.photo for face in self.faces()}
        if not set(faces.values()) <= photos:
            raise self._reader.broken("a face of the library is in no photo")
        if not {*self.named(), *self.grouped()} <= set(faces):
            raise self._reader.broken("a face that has a name is not in the library")
        for _ in self.steps():
            pass

    def seal_again(self, sealer: Sealer) -> None:
        """Write everything with another sealer, in place; for `encrypt`."""
        connection = self._connection
        for row, number, handle, body in list(self._reader.table("photo")):
            with self._checked("photo"):
                facts = self._open(photo_key(number), "photo", row, body)
                if facts.get("digest") != "":
                    handle = sealer.handle("photo", library_facts.photo_of(number, facts).digest)
            sealer.enter(photo_key(number))
            fields = (number, handle, sealer.seal(photo_key(number), "photo", row, body))
            connection.run(
                "UPDATE photo SET number = ?, handle = ?, body = ?, checksum = ? WHERE id = ?",
                (*fields, checksum(row, *fields), row),
            )
        for (row,) in connection.rows("SELECT id FROM face WHERE checksum IS NOT NULL ORDER BY id"):
            _, number, photo, expires, body, _ = connection.row("SELECT * FROM face WHERE id = ?", (row,))
            sealer.enter(face_key(number))
            again = (number, photo, expires, sealer.seal(face_key(number), "face", row, body))
            connection.run(
                "UPDATE face SET body = ?, checksum = ? WHERE id = ?", (again[-1], checksum(row, *again), row)
            )
        steps = list(self._reader.table("step"))
        if any(not person for _, person, _ in steps):
            sealer.enter(_OWN)
        for row, person, body in steps:
            sealed = sealer.seal(person or _OWN, "step", row, body)
            connection.run(
                "UPDATE step SET body = ?, checksum = ? WHERE id = ?",
                (sealed, checksum(row, person, sealed), row),
            )

    def _forget_photo(self, number: int) -> None:
        """Keep only the mark that a photo was scanned.

        Otherwise the next scan would find its faces again.
        """
        row = self._connection.row("SELECT handle FROM photo WHERE number = ?", (number,))
        if row is None:
            return
        self._blank("photo", "number = ?", number)
        self._sealer.forget(photo_key(number))
        fresh = self._number("photo")
        self._sealer.enter(photo_key(fresh))
        self._put_body(fresh, row[0], {"digest": ""})

    def _put_photo(self, photo: SeenPhoto, number: int, handle: bytes) -> None:
        facts: dict[str, Any] = {
            "digest": photo.digest.hex(),
            "files": [[file.path, file.size, file.modified, int(file.there)] for file in photo.files],
            "size": [photo.width, photo.height],
            "taken": photo.taken,
            "problem": photo.problem,
            "model": photo.model,
        }
        if photo.is_film:
            facts |= {"seconds": photo.seconds, "live": photo.live}
        self._put_body(number, handle, facts)

    def _put_body(self, number: int, handle: bytes, facts: Mapping[str, Any]) -> None:
        body = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
        row = self._reader.total("photo").last + 1
        sealed = self._sealer.seal(photo_key(number), "photo", row, body)
        insert_rows(self._connection, "photo", [(row, number, handle, sealed)])

    def _put_face(self, face: SeenFace, number: int, photo: int) -> None:
        facts: dict[str, Any] = {
            "box": face.box,
            "quality": dict(face.quality),
            "model": face.model,
            "key": face.key.hex(),
        }
        if face.seconds is not None:
            facts |= {"seconds": face.seconds, "intervals": face.intervals}
        head = json.dumps(facts, separators=(",", ":")).encode()
        body = LENGTH.pack(len(head)) + head + face.vector.astype("<f4").tobytes()
        row = self._reader.total("face").last + 1
        sealed = self._sealer.seal(face_key(number), "face", row, body)
        expires = NEVER if face.expires is None else face.expires.toordinal()
        insert_rows(self._connection, "face", [(row, number, photo, expires, sealed)])

    def _number(self, table: str) -> int:
        """Return a number that was never used, not even after the backup that this file may be."""
        return max(self._reader.total(table).last, self._sealer.lowest(odd=table == "face") // -2) + 1

    def _blank(self, table: str, where: str, *values: Field) -> int:
        return self._connection.run(f"UPDATE {table} SET {_BLANKED[table]} WHERE {where}", values)

    def _set(self, table: str, values: Mapping[int, int | None]) -> None:
        for number in values:
            self._connection.run(f"DELETE FROM {table} WHERE id = ?", (number,))
        insert_rows(
            self._connection,
            table,
            ((number, value) for number, value in values.items() if value is not None),
        )

    def _unsealed(self, key: int, table: str, row: int, body: bytes) -> bytes:
        try:
            return self._sealer.unseal(key, table, row, body)
        except ValueError as error:
            raise self._reader.broken(error) from error

    def _open(self, key: int, table: str, row: int, body: bytes) -> dict[str, Any]:
        return library_facts.read_json(self._unsealed(key, table, row, body))
