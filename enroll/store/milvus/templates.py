"""Insert, read and search vectors in Milvus.

Whose they are, and whether they count, is in `enroll.store.milvus.ledger`. The vector field is named after
the model: the first client to create the collection decides, and Milvus refuses another model's vectors as
those of another form. So no gallery ever has templates of two models.

Templates are read between two reads of the ledger, and only those that both name are used. So a person who is
enrolled or erased meanwhile is there with all templates or with none. Distances of what Milvus finds are
recomputed from the vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.wording import count
from embedder.errors import GalleryError
from enroll.search.base import Matches
from enroll.templates import NewTemplate, StoredTemplate, Templates, are_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.store.milvus.connection import MilvusConnection, Row
    from enroll.store.milvus.facts import Known
    from enroll.store.milvus.ledger import Ledger


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

_ALL = "id > 0"

_MOST = 16_384  # Milvus finds no more at once
_ANSWERS = 65_536  # rows found for all queries of one request
_ROUNDING = 1e-3  # distances of Milvus are off by less, near zero as well
_SPARE = 16  # rows that are found and do not count, ordinarily

_NOTHING = Matches(np.empty(0, np.int64), np.empty(0, object), np.empty((0, 0), np.float32), np.inf)


class TemplateRows:
    """Stores templates, those that count and those that do not."""

    def __init__(self, connection: MilvusConnection, name: str) -> None:
        """Set the name of the collection; see `bind`."""
        self.collection = f"{name}_templates"
        self._connection = connection
        self._model: tuple[str, int] | None = None
        self._index = ""

    def model(self) -> tuple[str, int] | None:
        """Return fingerprint and vector length of the model, None as long as there is none."""
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
        """Load the collection to be searched.

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
        """Return the kind of index that vectors are searched by."""
        if not self._index:
            self._index = self._connection.index(self.collection, self.vector)
        return self._index

    @property
    def vector(self) -> str:
        """The name of the vector field."""
        return _MODEL + (self.model() or ("", 0))[0]

    def bind(self, fingerprint: str, dim: int) -> None:
        """Create the collection unless there is one, of whichever model."""
        kind = self._connection.address.index or "flat"
        index = {"index_type": kind.upper(), "metric_type": "L2", "params": _BUILT[kind]}
        shards, vector = self._connection.address.shards, (_MODEL + fingerprint, dim)
        try:
            self._connection.create(self.collection, _FIELDS, vector, index, STRANGERS, shards)
        except GalleryError:
            if self.model() in (None, (fingerprint, dim)):
                raise

    def made(self, person: int, op: int, templates: Sequence[NewTemplate]) -> list[Row]:
        """Build rows of templates; once sent, they count when the ledger says so.

        Args:
            person: id of the person.
            op: number of the operation.
            templates: of the person.
        """
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
        """Add rows, and return their ids."""
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
        """Delete rows that fulfil a condition of ours, and return how many there were."""
        return self._connection.delete_where(self.collection, condition) if self.model() else 0

    def delete_of(self, persons: Sequence[int]) -> None:
        """Delete all rows of people."""
        if self.model() is not None:
            rows = self._connection.rows_in(self.collection, "person", persons, [], self._connection.now())
            self.delete([row["id"] for row in rows])

    def compact(self) -> None:
        """Request that deleted rows be overwritten."""
        if self.model() is not None:
            self._connection.compact(self.collection)

    def with_digests(
        self, digests: Sequence[bytes], at: int, part: str = ENROLLED, but: int = 0
    ) -> list[Row]:
        """Return the rows of photos: id, person, op, hexadecimal digest.

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
        """Return rows by id, with person, op and some fields."""
        if self.model() is None:
            return []
        return self._connection.rows_in(self.collection, "id", ids, ["person", "op", *fields], at)

    def rows(self, condition: str, fields: Sequence[str], at: int, part: str = "") -> Iterator[Row]:
        """Yield rows by id, with person, op and some fields."""
        if self.model() is None:
            return iter(())
        width = 1024 + 4 * (self.model() or ("", 0))[1]
        return self._connection.rows(self.collection, condition, ["person", "op", *fields], at, part, width)


def counts(row: Row, people: dict[int, Known]) -> bool:
    """Return whether a row is a template of one of these people."""
    return row["person"] in people and people[row["person"]].has(row)


class TemplateReader:
    """Reads whole partitions."""

    def __init__(self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows) -> None:
        """Use the collections of a gallery."""
        self._connection, self._ledger, self._templates = connection, ledger, templates

    def read(self, part: str, condition: str = _ALL) -> Templates:
        """Read templates, by id; see `Store.templates`.

        Args:
            part: partition.
            condition: of ours.
        """
        rows, names, _ = self._rows(part, condition, [])
        ids = np.array([row["id"] for row in rows], np.int64)
        return Templates(ids, np.array(names, object), self._vectors(rows))

    def stored(self, part: str, condition: str = _ALL) -> list[tuple[str, StoredTemplate]]:
        """Read the stored templates, by id, with names."""
        rows, names, _ = self._rows(part, condition, ["photo", "digest"])
        return [
            (
                name,
                StoredTemplate(
                    id=row["id"], photo=row["photo"], digest=bytes.fromhex(row["digest"]), vector=vector
                ),
            )
            for name, row, vector in zip(names, rows, self._vectors(rows), strict=True)
        ]

    def check(self, part: str) -> None:
        """Compare the templates of a partition with the ledger.

        Raises:
            GalleryError: a vector is not of unit length, a photo is there twice, or someone lacks templates.
        """
        rows, _, people = self._rows(part, _ALL, ["photo", "digest"])
        self._vectors(rows)
        photos = Counter(row["digest"] for row in rows)
        twice = [row["photo"] for row in rows if photos[row["digest"]] > 1]
        if twice:
            raise self._broken(f"the photo {twice[0]} is there twice")
        found = Counter(row["person"] for row in rows)
        for one in people:
            if one.stranger == (part == STRANGERS) and found[one.id] != one.templates:
                raise self._broken(
                    f"{one.name!r} should have {count(one.templates, 'template')} and has {found[one.id]}"
                )

    def _rows(self, part: str, condition: str, fields: list[str]) -> tuple[list[Row], list[str], list[Known]]:
        """Return the rows that count, their people's names, and the people who did not change meanwhile."""
        before = self._ledger.people(self._connection.now())
        at = self._connection.now()  # later, so that the ledger's templates have arrived
        rows = list(self._templates.rows(condition, [self._templates.vector, *fields], at, part))
        after = self._ledger.people(self._connection.now())
        rows = [row for row in rows if counts(row, before) and counts(row, after)]
        steady = [one for one in after.values() if one.id in before and before[one.id].latest == one.latest]
        return rows, [after[row["person"]].name for row in rows], steady

    def _vectors(self, rows: list[Row]) -> NDArray[np.float32]:
        dim = (self._templates.model() or ("", 0))[1]
        vectors = np.array([row[self._templates.vector] for row in rows], np.float32).reshape(len(rows), dim)
        if not are_unit(vectors):
            raise self._broken("a template is not of unit length")
        return vectors

    def _broken(self, problem: str) -> GalleryError:
        return GalleryError(f"{self._connection.address.shown}: broken: {problem}; restore a copy")


class MilvusIndex:
    """Searches at one moment: templates acknowledged before it are seen, whichever client wrote them."""

    def __init__(self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows) -> None:
        """Use the collections of a gallery."""
        self._connection, self._ledger, self._templates = connection, ledger, templates
        self._at = connection.now()

    @cached_property
    def templates(self) -> int:
        """At least the number of templates: among these are some that do not count."""
        if self._templates.model() is None:
            return 0
        return self._connection.count(self._templates.collection, "", self._at, ENROLLED)

    @cached_property
    def people(self) -> int:
        """At least the number of people."""
        return self._connection.count(self._ledger.collection, 'kind == "name"', self._at)

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        """Find the `count` nearest templates of each query; see `SearchIndex`.

        Args:
            queries: (n, dim) float32 unit rows.
            count: number of templates per query.
        """
        if self._templates.model() is None:
            return [_NOTHING] * len(queries)
        limit = min(count + _SPARE, _MOST)
        rows = max(1, _ANSWERS // limit)
        return [
            found
            for start in range(0, len(queries), rows)
            for found in self._found(queries[start : start + rows], count, limit)
        ]

    def _found(self, queries: NDArray[np.float32], count: int, limit: int) -> list[Matches]:
        ids = self._search(queries, limit)
        known = self._read({one for some in ids for one in some})
        answers = []
        for query, some in zip(queries, ids, strict=True):
            whole = len(some) < limit
            # More than Milvus finds at once, or too many that do not count: exclude the rows already found.
            while not whole and sum(one in known for one in some) < count:
                more = self._search(query[None], _MOST, some)[0]
                known |= self._read(set(more))
                some, whole = some + more, len(more) < _MOST
            answers.append(self._answer(query, [known[one] for one in some if one in known], whole))
        return answers

    def _search(
        self, queries: NDArray[np.float32], limit: int, apart_from: list[int] | None = None
    ) -> list[list[int]]:
        searched: dict[str, Any] = {
            "flat": {},
            "hnsw": {"ef": min(32_768, max(128, 2 * limit))},
            "ivf_flat": {"nprobe": 64},
            "diskann": {"search_list": max(128, 2 * limit)},
        }
        answers = self._connection.search(
            self._templates.collection,
            self._templates.vector,
            queries,
            limit,
            self._at,
            ENROLLED,
            search_params={"metric_type": "L2", "params": searched[self._templates.index()]},
            filter=f"id not in {apart_from}" if apart_from else "",
        )
        return [[int(row["id"]) for row in answer] for answer in answers]

    def _read(self, ids: set[int]) -> dict[int, tuple[int, str, list[float]]]:
        """Return id, name and vector of the templates that count, by id."""
        rows = self._templates.with_ids(sorted(ids), [self._templates.vector], self._at)
        people = self._ledger.people(self._at, {row["person"] for row in rows})
        vector = self._templates.vector
        return {
            row["id"]: (row["id"], people[row["person"]].name, row[vector])
            for row in rows
            if counts(row, people)
        }

    def _answer(
        self, query: NDArray[np.float32], rows: list[tuple[int, str, list[float]]], whole: bool
    ) -> Matches:
        vectors = np.array([row[2] for row in rows], np.float32).reshape(len(rows), len(query))
        reach = np.inf
        if not whole:
            away = vectors.astype(np.float64) - query.astype(np.float64)
            reach = float(np.sqrt((away**2).sum(axis=1)).max()) - _ROUNDING
        return Matches(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], object),
            vectors,
            reach,
        )
