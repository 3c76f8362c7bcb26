"""The collection of a gallery's templates. Whose they are, and whether they count, the ledger says.

Its vector field is named after the model: the first client to make the collection decides, and Milvus refuses
another's as one of another form. So no gallery ever has templates of two models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from embedder.errors import GalleryError
from enroll.store.contract import NewTemplate

if TYPE_CHECKING:
    from enroll.store.milvus_connection import MilvusConnection, Row
    from enroll.store.milvus_ledger import Known

ENROLLED, STRANGERS = "_default", "strangers"  # partitions; the first is named by Milvus

_MODEL = "model_"
_FIELDS: Row = {"person": "INT64", "op": "INT64", "digest": 64, "photo": 65_535}
_SENT = 4_000  # templates of 128 numbers in one request
_BUILT: dict[str, Row] = {
    "flat": {},
    "hnsw": {"M": 16, "efConstruction": 200},
    "ivf_flat": {"nlist": 1024},
    "diskann": {},
}


class TemplateRows:
    """Rows of templates, those that count and those that do not."""

    def __init__(self, connection: MilvusConnection, name: str) -> None:
        """Name the collection; see `bind`."""
        self.collection = f"{name}_templates"
        self._connection = connection
        self._model: tuple[str, int] | None = None
        self._index = ""

    def model(self) -> tuple[str, int] | None:
        """Fingerprint and vector length of the model, None as long as there is none."""
        if self._model is None:
            fields = self._connection.fields(self.collection)
            if fields is None:
                return None
            named = [name for name in fields if name.startswith(_MODEL)]
            if len(named) != 1 or fields.keys() != {"id", *_FIELDS, *named}:
                raise GalleryError(
                    f"{self._connection.address.shown}: expected a gallery, got another program's collection "
                    f"{self.collection}; choose another name"
                )
            self._model = named[0].removeprefix(_MODEL), fields[named[0]]
        return self._model

    def open(self) -> None:
        """Have them ready to be searched.

        Raises:
            GalleryError: the address asks for another index than there is.
        """
        address = self._connection.address
        if self.model() is not None:
            self._connection.load(self.collection)
            if address.index not in (None, self.index()):
                raise GalleryError(
                    f"{address.shown}: this gallery has the index {self.index()}; leave out "
                    f"index={address.index}, or enroll into a new gallery"
                )

    def index(self) -> str:
        """Give the kind of index that vectors are searched by."""
        if not self._index:
            self._index = self._connection.index(self.collection, self.vector)
        return self._index

    @property
    def vector(self) -> str:
        """The field that vectors are in."""
        return _MODEL + (self.model() or ("", 0))[0]

    def bind(self, fingerprint: str, dim: int) -> None:
        """Make the collection unless it is there, of whichever model."""
        kind = self._connection.address.index or "flat"
        index = {"index_type": kind.upper(), "metric_type": "L2", "params": _BUILT[kind]}
        shards, vector = self._connection.address.shards, (_MODEL + fingerprint, dim)
        try:
            self._connection.create(self.collection, _FIELDS, vector, index, STRANGERS, shards)
        except GalleryError:
            if self.model() in (None, (fingerprint, dim)):
                raise

    def made(self, person: int, op: int, templates: Sequence[NewTemplate]) -> list[Row]:
        """Make rows of templates; sent, they count once the ledger says so."""
        return [
            {
                "person": person,
                "op": op,
                "digest": template.digest.hex(),
                "photo": template.photo,
                self.vector: template.vector,
            }
            for template in templates
        ]

    def send(self, rows: Sequence[Row], part: str = ENROLLED) -> list[int]:
        """Add rows, and give their ids."""
        size = max(1, _SENT * 128 // max(128, (self.model() or ("", 128))[1]))
        return [
            one
            for start in range(0, len(rows), size)
            for one in self._connection.insert(self.collection, rows[start : start + size], part)
        ]

    def delete(self, ids: Sequence[int]) -> None:
        """Delete rows."""
        self._connection.delete(self.collection, ids)

    def delete_where(self, condition: str) -> int:
        """Delete rows that fulfil a condition of ours, and give how many there were."""
        return self._connection.delete_where(self.collection, condition) if self.model() else 0

    def delete_of(self, persons: Sequence[int]) -> None:
        """Delete all rows of people."""
        if self.model() is not None:
            rows = self._connection.rows_in(self.collection, "person", persons, [], self._connection.now())
            self.delete([row["id"] for row in rows])

    def compact(self) -> None:
        """Ask that deleted rows be written over."""
        if self.model() is not None:
            self._connection.compact(self.collection)

    def with_digests(
        self, digests: Sequence[bytes], at: int, part: str = ENROLLED, but: int = 0
    ) -> list[Row]:
        """Give the rows of photos: id, person, op, hexadecimal digest.

        Args:
            digests: of the photos.
            at: a moment.
            part: partition, "" for all.
            but: operation whose rows are left out.
        """
        if self.model() is None:
            return []
        wanted, fields = [digest.hex() for digest in digests], ["person", "op", "digest"]
        return self._connection.rows_in(self.collection, "digest", wanted, fields, at, f"op != {but}", part)

    def count(self, op: int, at: int) -> int:
        """Count the rows of an operation."""
        return self._connection.count(self.collection, f"op == {op}", at)

    def with_ids(self, ids: Sequence[int], fields: Sequence[str], at: int) -> list[Row]:
        """Give rows by id, with person, op and these fields."""
        if self.model() is None:
            return []
        return self._connection.rows_in(self.collection, "id", ids, ["person", "op", *fields], at)

    def rows(self, condition: str, fields: Sequence[str], at: int, part: str = "") -> Iterator[Row]:
        """Read rows by id, with person, op and these fields."""
        if self.model() is None:
            return iter(())
        width = 1024 + 4 * (self.model() or ("", 0))[1]
        return self._connection.rows(self.collection, condition, ["person", "op", *fields], at, part, width)


def counts(row: Row, people: dict[int, Known]) -> bool:
    """Say whether a row is a template of one of these people."""
    return row["person"] in people and people[row["person"]].has(row)
