"""Record who is enrolled as facts that are only ever added; see `enroll.store.milvus.facts`.

So changes are atomic without transactions: Milvus has none, but what one request inserts into one shard is
there as a whole or not at all. Each change of a gallery is done by one such request, and who is in the
gallery follows from the facts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from enroll.store.base import Event
from enroll.store.milvus import address as address_module
from enroll.store.milvus.connection import MilvusConnection
from enroll.store.milvus.facts import (
    ADDED,
    ENROLL,
    FIELDS,
    NO_VECTOR,
    STATE,
    Known,
    fact,
    is_state,
    key_of,
    known,
    new_op,
)

if TYPE_CHECKING:
    from enroll.store.milvus.address import MilvusAddress
    from enroll.store.milvus.connection import Row


_POLL = 0.5  # seconds between checks for changes of others
_LAG = 0.5  # seconds that such a check may be behind, so that it need not wait
_PIECE = 60_000  # letters of a note
_LISTED = 2_500  # people in one text
_WRITTEN = 10_000  # facts in one request, which Milvus must not cut in two: it does at 5 MB


class Ledger:
    """Stores the facts of a gallery in a collection beside its templates."""

    def __init__(self, connection: MilvusConnection, name: str) -> None:
        """Set the name of the collection; see `create`."""
        self.collection = f"{name}_facts"
        self._connection = connection
        self._added = self._last = self._late = 0  # as of the last call of `changes`
        self._revision: tuple[int, ...] = ()
        self._ask_again = 0.0  # as `time.monotonic`

    def exists(self) -> bool:
        """Return whether the collection exists and is ours."""
        return (self._connection.fields(self.collection) or {}).keys() == {"id", *FIELDS, NO_VECTOR[0]}

    def create(self) -> None:
        """Create the collection, or finish an interrupted creation."""
        index = {"index_type": "FLAT", "metric_type": "L2"}
        self._connection.create(self.collection, FIELDS, NO_VECTOR, index)

    def write(self, facts: Sequence[Row]) -> list[int]:
        """Add facts, all or none if one request can hold them, and return the ids of their rows."""
        rows = [
            row
            for start in range(0, len(facts), _WRITTEN)
            for row in self._connection.insert(self.collection, facts[start : start + _WRITTEN])
        ]
        self._ask_again = 0.0
        return rows

    def people(self, at: int, persons: Iterable[int] | None = None) -> dict[int, Known]:
        """Return the people in the gallery, enrolled or as strangers, by id.

        Args:
            at: a moment.
            persons: ids; None: all.
        """
        fields = [*FIELDS]
        if persons is None:
            rows = list(self._connection.rows(self.collection, STATE, fields, at))
        else:
            # To compare texts takes Milvus longer than to send the few facts that are not needed.
            every = self._connection.rows_in(self.collection, "person", persons, fields, at)
            rows = [row for row in every if is_state(row)]
        return {one.id: one for one in known(rows).values() if one.here}

    def named(self, names: Iterable[str], at: int) -> dict[str, list[Known]]:
        """Return the people with some names: several with one name if several clients enrolled it at once."""
        found: dict[str, list[Known]] = {name: [] for name in names}
        keys, which = [key_of(name) for name in found], 'kind in ["name", "stranger"]'
        rows = self._connection.rows_in(self.collection, "key", keys, ["person"], at, which)
        for one in self.people(at, {row["person"] for row in rows}).values():
            if one.name in found:
                found[one.name].append(one)
        return found

    def expired(self, today: date, at: int) -> list[Known]:
        """Return the people who expired before a day."""
        past = f'kind == "terms" and key > 0 and key < {today.toordinal()}'
        persons = {row["person"] for row in self._connection.rows(self.collection, past, ["person"], at)}
        return [
            one
            for one in self.people(at, persons).values()
            if not one.stranger and one.terms.expires is not None and one.terms.expires < today
        ]

    def rows(self, kind: str, at: int, also: str = "person >= 0") -> list[Row]:
        """Read facts of one kind, oldest first.

        Args:
            kind: of the facts.
            at: a moment.
            also: another condition.
        """
        rows = self._connection.rows(self.collection, f'kind == "{kind}" and {also}', [*FIELDS], at)
        return sorted(rows, key=lambda row: (row["at"], row["id"]))

    def begin(self, op: int, known: Sequence[int]) -> list[int]:
        """Write that templates of some people, or of new ones, may follow; return the rows of that."""
        pieces = [known[start : start + _LISTED] for start in range(0, len(known), _LISTED)] or [[]]
        return self.write([fact("todo", op, text=f"add {json.dumps(piece)}") for piece in pieces])

    def pending(self, ops: Iterable[int], at: int) -> set[int]:
        """Return the operations among some whose templates may still follow."""
        which = f'{ADDED} or (kind == "todo" and text like "add%")'
        rows = self._connection.rows_in(self.collection, "op", ops, ["op", "kind"], at, which)
        return {row["op"] for row in rows if row["kind"] == "todo"} - {
            row["op"] for row in rows if row["kind"] != "todo"
        }

    def adding_to(self, persons: Iterable[int], at: int) -> set[int]:
        """Return the operations that may still add templates to some people."""
        todos = [row for row in self.rows("todo", at) if row["text"].startswith("add ")]
        wanted = set(persons)
        return {row["op"] for row in todos if wanted & set(json.loads(row["text"].removeprefix("add ")))}

    def by(self, op: int, at: int) -> dict[int, Known]:
        """Return the people with facts of an operation."""
        rows = self._connection.rows(self.collection, f"op == {op} and person > 0", ["person"], at)
        return self.people(at, {row["person"] for row in rows})

    def delete(self, ids: Sequence[int]) -> None:
        """Delete facts that no longer count."""
        self._connection.delete(self.collection, ids)

    def forget(self, persons: Sequence[int]) -> None:
        """Delete the facts about people who are gone, and that fact last; the audit log stays."""
        rows = self._connection.rows_in(
            self.collection, "person", persons, ["kind", "text"], self._connection.now(), 'kind != "event"'
        )
        last = [row["id"] for row in rows if row["kind"] == "gone" or row["text"] == "erase"]
        self.delete(sorted({row["id"] for row in rows} - set(last)))
        self.delete(last)

    def forget_todos(self, ops: Iterable[int]) -> None:
        """Delete the `todo` of enrolling or dropping."""
        which = 'kind == "todo" and text != "erase"'
        rows = self._connection.rows_in(self.collection, "op", ops, [], self._connection.now(), which)
        self.delete([row["id"] for row in rows])

    def events(self, at: int) -> list[Event]:
        """Return the audit log, oldest first."""
        return [
            Event(
                datetime.fromtimestamp(row["at"] // 1_000_000, UTC).isoformat(timespec="seconds"),
                row["text"],
                row["person"] or None,
                row["count"],
            )
            for row in self._events(at)
        ]

    def _events(self, at: int) -> list[Row]:
        rows = {(row["op"], row["person"], row["text"]): row for row in self.rows("event", at)}
        return [*rows.values()]  # a request that was sent twice left one entry twice

    def changes(self, at: int) -> tuple[int, int]:
        """Return generation and last id; see `Store.changes`.

        Two proxies of Milvus give ids out side by side. So templates with lower ids may come to count after
        others did; a caller who has asked in between gets a new generation.
        """
        rows = self._events(at)
        added = [row for row in rows if row["text"].startswith(ENROLL)]
        self._late += sum(row["first"] <= self._last for row in added) > self._added
        self._added, self._last = len(added), max((row["key"] for row in added), default=0)
        return len(rows) - len(added) + self._late, self._last

    def revision(self) -> tuple[int, ...]:
        """Return a value that differs after any change; see `Store.revision`."""
        if (now := time.monotonic()) >= self._ask_again:
            at = self._connection.clock.recent(_LAG)
            notes = self._connection.rows(self.collection, 'kind == "note"', ["op"], at)
            events = self._connection.count(self.collection, 'kind == "event"', at)
            self._revision, self._ask_again = (events, *sorted(row["op"] for row in notes)), now + _POLL
        return self._revision

    def keep(self, text: str) -> None:
        """Store a long ASCII text, and replace the former one."""
        old = [row["id"] for row in self.rows("note", self._connection.now())]
        op, pieces = new_op(), [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        self.write(
            [fact("note", op, key=at, count=len(pieces), text=piece) for at, piece in enumerate(pieces)]
        )
        self.delete(old)

    def kept(self, at: int) -> str | None:
        """Return the stored text, None without one or if it was not written completely."""
        whole: dict[int, dict[int, str]] = {}
        latest = None
        for row in self.rows("note", at):
            pieces = whole.setdefault(row["op"], {})
            pieces[row["key"]] = row["text"]
            if len(pieces) == row["count"]:
                latest = pieces
        return None if latest is None else "".join(latest[place] for place in sorted(latest))


def gallery_exists(address: MilvusAddress) -> bool:
    """Return whether there is a gallery.

    Raises:
        GalleryError: the server does not answer.
    """
    if address.lite and not address_module.is_there(Path(address.uri), address.shown):
        return False
    connection = MilvusConnection(address)
    try:
        return Ledger(connection, address.name).exists()
    finally:
        connection.close()
