"""Connect to Milvus with time limits, our errors, and without its log.

A read is given a moment (`enroll.store.milvus.clock`).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.errors import GalleryError, MissingPackageError
from enroll.store.milvus import address as address_module
from enroll.store.milvus.clock import Clock

if TYPE_CHECKING:
    from enroll.store.milvus.address import MilvusAddress


Row = dict[str, Any]

LATELY = 1  # the moment of reads that may be some time behind

_CONNECT = 5.0  # seconds to be connected
_ANSWER = 20.0  # seconds for one answer
_LOADED = 120.0  # seconds until a collection can be searched, after a restart of the server
_PAGE = 16_384  # rows; Milvus returns no more at once
_PAGE_BYTES = 16 << 20  # it returns 100 MB at once, and messages between its parts are smaller
_IN = 5_000  # ids in one condition
_NOT_LOADED = (101, 503, 504)  # codes of Milvus: a restarted server has yet to load it


class AwayError(GalleryError):
    """Raised when the server does not answer."""


class MilvusConnection:
    """Holds a connection, and makes the requests that galleries need."""

    def __init__(self, address: MilvusAddress) -> None:
        """Connect.

        Raises:
            GalleryError: there is no answer, or it refuses us.
            MissingPackageError: pymilvus is not installed.
        """
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        try:
            import grpc
            import pymilvus
        except ImportError as error:
            raise MissingPackageError(
                f"{address.shown}: needs pymilvus; install it by `pip install 'embedder-enroll[milvus]'`"
            ) from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)  # it logs what it raises
        self._types = pymilvus.DataType
        self._milvus_errors = (pymilvus.MilvusException, grpc.RpcError)
        self.address = address
        uri = address.uri
        self._turn: AbstractContextManager[object] = nullcontext()
        if address.lite:
            uri, self._turn = address_module.serve(Path(address.uri), address.shown)
        self._schemas: dict[str, Row] = {}  # of collections that were written to
        self._open = True
        try:
            self._client = self._asked(pymilvus.MilvusClient, uri, token=address.token, timeout=_CONNECT)
            self.clock = Clock(self._current)
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        if self._open:
            with suppress(*self._milvus_errors):
                self._client.close()
            self._release()

    def _release(self) -> None:
        self._open = False
        if self.address.lite:
            address_module.release(Path(self.address.uri))

    def now(self) -> int:
        """Return the moment of reads that see everything that was acknowledged until now; see `Clock.now`."""
        return self.clock.now()

    def _current(self) -> int:
        if self.address.lite:  # one process, one order
            return LATELY
        return int(self._asked(self._client._get_connection().alloc_timestamp, timeout=_ANSWER))

    def fields(self, collection: str) -> dict[str, int] | None:
        """Return the fields of a collection, with the length of those that are vectors.

        None without one.
        """
        if not self._asked(self._client.has_collection, collection, timeout=_ANSWER):
            return None
        found = self._asked(self._client.describe_collection, collection, timeout=_ANSWER)
        return {field["name"]: int(field["params"].get("dim", 0)) for field in found["fields"]}

    def create(
        self,
        collection: str,
        fields: Row,
        vector: tuple[str, int],
        index: Row,
        part: str = "",
        shards: int = 1,
    ) -> None:
        """Create a collection with a number for each row, unless one of the same form exists.

        Args:
            collection: its name.
            fields: "INT64", or the largest length of a text in bytes, by name.
            vector: name and length of its vector.
            index: of the vector.
            part: name of a second partition.
            shards: number of parts that are written in parallel.

        Raises:
            GalleryError: there is one of another form, among others.
        """
        schema = self._client.create_schema(auto_id=True)
        schema.add_field("id", self._types.INT64, is_primary=True)
        for name, kind in fields.items():
            if kind == "INT64":
                schema.add_field(name, self._types.INT64)
            else:
                schema.add_field(name, self._types.VARCHAR, max_length=kind)
        schema.add_field(vector[0], self._types.FLOAT_VECTOR, dim=vector[1])
        indexes = self._client.prepare_index_params()
        indexes.add_index(vector[0], **index)
        ask, client = self._asked, self._client
        if not self._has_form(collection, {"id", *fields, vector[0]}):
            try:
                ask(client.create_collection, collection, schema=schema, num_shards=shards, timeout=_ANSWER)
            except GalleryError:  # another client was first, perhaps with another form
                if not self._has_form(collection, {"id", *fields, vector[0]}):
                    raise
        if part and not ask(client.has_partition, collection, part, timeout=_ANSWER):
            ask(client.create_partition, collection, part, timeout=_ANSWER)
        if not ask(client.list_indexes, collection, timeout=_ANSWER):
            ask(client.create_index, collection, indexes, timeout=_ANSWER, sync=False)
        self.load(collection)

    def _has_form(self, collection: str, fields: set[str]) -> bool:
        found = self.fields(collection)
        if found is not None and found.keys() != fields:
            raise GalleryError(
                f"{self.address.shown}: expected a gallery, got another program's collection {collection}; "
                "choose another name"
            )
        return found is not None

    def load(self, collection: str) -> None:
        """Load a collection to be searched; wait for a server that has just been started."""
        until = time.monotonic() + _LOADED
        while True:
            try:
                # Asked for as it is, a collection with several replicas would be refused.
                if self._client.get_load_state(collection, timeout=_ANSWER)["state"].name != "Loaded":
                    copies = self.address.replicas
                    self._client.load_collection(collection, timeout=_LOADED, replica_number=copies)
                self._client.query(collection, filter="id == 0", output_fields=["id"], timeout=_ANSWER)
            except self._milvus_errors as error:
                if self._is_away(error) or time.monotonic() > until or self._code(error) not in _NOT_LOADED:
                    raise self._error(error) from error
                time.sleep(0.5)
            else:
                return

    def index(self, collection: str, vector: str) -> str:
        """Return the kind of index a vector has, in lower case."""
        found = self._asked(self._client.describe_index, collection, vector, timeout=_ANSWER)
        return str(found["index_type"]).lower()

    def insert(self, collection: str, rows: Sequence[Row], part: str = "") -> list[int]:
        """Add rows, and return their ids.

        Args:
            collection: its name.
            rows: values by field.
            part: partition, the default one if empty.
        """
        if not rows:
            return []
        if collection not in self._schemas:
            self._schemas[collection] = self._asked(
                self._client.describe_collection, collection, timeout=_ANSWER
            )
        schema = self._schemas[collection]
        columns = [
            {"name": field["name"], "type": field["type"], "values": [row[field["name"]] for row in rows]}
            for field in schema["fields"]
            if not field.get("auto_id")
        ]
        for column in columns:
            if column["type"] == self._types.FLOAT_VECTOR:
                column["values"] = np.asarray(column["values"], np.float32).tolist()
        # By columns: pymilvus looks up the type of each value of rows.
        insert = self._client._get_connection().batch_insert
        answer = self._asked(insert, collection, columns, part, timeout=_ANSWER, schema=schema, on=collection)
        self.clock.note_write()
        return [int(one) for one in answer.primary_keys]

    def delete(self, collection: str, ids: Sequence[int]) -> None:
        """Delete rows; unknown ids change nothing."""
        for some in _pieces(ids, _IN):
            self._asked(self._client.delete, collection, ids=some, timeout=_ANSWER, on=collection)
        self.clock.note_write()

    def delete_where(self, collection: str, condition: str) -> int:
        """Delete the rows that fulfil a condition, and return how many there were."""
        ids = [row["id"] for row in self.rows(collection, condition, [], self.now())]
        self.delete(collection, ids)
        return len(ids)

    def compact(self, collection: str) -> None:
        """Request that deleted rows be overwritten, which the server does later."""
        with suppress(GalleryError):  # it does so by itself, too, only later
            self._asked(self._client.compact, collection, timeout=_ANSWER, on=collection)

    def rows(
        self,
        collection: str,
        condition: str,
        fields: Sequence[str],
        at: int,
        part: str = "",
        width: int = 1024,
    ) -> Iterator[Row]:
        """Yield all rows that fulfil a condition, by id.

        Args:
            collection: its name.
            condition: of ours: no text of a user is ever part of one.
            fields: besides the id.
            at: a moment.
            part: partition, all by default.
            width: about the bytes of a row.
        """
        size, last = max(1, min(_PAGE, _PAGE_BYTES // width)), 0
        while True:
            page = self._asked(
                self._client.query,
                collection,
                filter=f"({condition}) and id > {last}",
                output_fields=["id", *fields],
                limit=size,
                partition_names=[part] if part else None,
                timeout=_ANSWER,
                on=collection,
                **_seen_at(at),
            )
            page = sorted(page, key=lambda row: int(row["id"]))
            yield from page
            if len(page) < size:
                return
            last = page[-1]["id"]

    def rows_in(
        self,
        collection: str,
        field: str,
        values: Iterable[int | str],
        fields: Sequence[str],
        at: int,
        also: str = "",
        part: str = "",
    ) -> list[Row]:
        """Read the rows whose field has one of some values.

        Args:
            collection: its name.
            field: to be compared.
            values: numbers, or texts of ours.
            fields: to be read.
            at: a moment.
            also: another condition.
            part: partition, all by default.
        """
        more = f" and ({also})" if also else ""
        return [
            row
            for some in _pieces(sorted(set(values)), _IN)
            for row in self.rows(collection, f"{field} in {_listed(some)}{more}", fields, at, part)
        ]

    def count(self, collection: str, condition: str, at: int, part: str = "") -> int:
        """Count rows; one that was written twice counts twice."""
        (answer,) = self._asked(
            self._client.query,
            collection,
            filter=condition,
            output_fields=["count(*)"],
            partition_names=[part] if part else None,
            timeout=_ANSWER,
            on=collection,
            **_seen_at(at),
        )
        return int(answer["count(*)"])

    def search(
        self, collection: str, vector: str, queries: Any, limit: int, at: int, part: str, **options: Any
    ) -> list[list[Row]]:
        """Find the ids of the `limit` nearest rows of each query; all if there are fewer.

        Args:
            collection: its name.
            vector: the field of the vectors.
            queries: (n, dim) float32.
            limit: number of rows per query.
            at: a moment.
            part: partition.
            **options: of the search.
        """
        answers = self._asked(
            self._client.search,
            collection,
            data=queries,
            anns_field=vector,
            limit=limit,
            partition_names=[part],
            timeout=_ANSWER,
            on=collection,
            **options,
            **_seen_at(at),
        )
        return [list(answer) for answer in answers]

    def _asked(self, ask: Callable[..., Any], *arguments: Any, on: str = "", **options: Any) -> Any:
        """Make a request, and repeat it once if a restarted server has yet to load the collection."""
        try:
            try:
                with self._turn:
                    return ask(*arguments, **options)
            except self._milvus_errors as error:
                if not on or self._code(error) not in _NOT_LOADED:
                    raise
                self.load(on)
                with self._turn:
                    return ask(*arguments, **options)
        except self._milvus_errors as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> GalleryError:
        shown, message = self.address.shown, _message_of(error)
        said = " ".join((str(getattr(error, "message", "")) or str(error)).split())[:300]
        if "UNAUTHENTICATED" in message or "PERMISSION_DENIED" in message or "privilege" in message:
            return GalleryError(
                f"{shown}: the server refuses us; expected milvus://USER:PASSWORD@HOST…, or "
                "EMBED_MILVUS_TOKEN=USER:PASSWORD in the environment, of someone who may use this gallery"
            )
        if self._is_away(error):
            return AwayError(
                f"{shown}: the server does not answer; see that Milvus runs there and that the address is "
                "right, then try again: nothing is half done"
            )
        return GalleryError(f"{shown}: the gallery cannot be used: {said}")

    def _is_away(self, error: Exception) -> bool:
        text = f"{error}"
        return "UNAVAILABLE" in text or "DEADLINE_EXCEEDED" in text or "Fail connecting" in text

    @staticmethod
    def _code(error: Exception) -> object:
        code = getattr(error, "code", None)
        return None if callable(code) else code


def _message_of(error: BaseException | None) -> str:
    """Return an error's message and those of its causes, as pymilvus hides why it cannot connect."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:  # pymilvus names some as their own cause
        chain.append(error)
        error = error.__cause__
    return " ".join(map(str, chain))


def _seen_at(at: int) -> Row:
    return {"consistency_level": "Customized", "guarantee_timestamp": at}


def _pieces(values: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])


def _listed(values: Sequence[int | str]) -> str:
    return "[" + ", ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values) + "]"
