"""Erasing without transactions, and finishing what a client that ended left behind.

One request says that people are gone, or templates; from then on no one sees them. Then the templates are
deleted, then what is known of the people. A `todo` that was written with the first request stays until all is
done, so that the next client that writes does what is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from enroll.store.milvus_ledger import event, fact, new_op

if TYPE_CHECKING:
    from enroll.store.milvus_connection import MilvusConnection, Row
    from enroll.store.milvus_ledger import Known, Ledger
    from enroll.store.milvus_templates import TemplateRows

LEASE = 30.0  # seconds that a client may be silent while it enrolls before others take it for dead

_OLD = 600.0  # seconds after which that is certain, even if the clocks of two machines differ by minutes
_POLL = 0.2  # seconds
_NAMED_AT_ONCE = 2_000  # ids in one fact


class Eraser:
    """Takes people and templates out of a gallery."""

    def __init__(self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows) -> None:
        """Work on these two collections."""
        self._connection, self._ledger, self._templates = connection, ledger, templates

    def erase(self, people: Collection[Known], action: str) -> int:
        """Erase people; gives how many templates they had."""
        if not people:
            return 0
        op = new_op()
        self._ledger.write(
            [
                row
                for one in people
                for row in (
                    fact("gone", op, one.id, one.latest),
                    fact("todo", op, one.id, text="erase"),
                    event(action, op, one.id, one.templates),
                )
            ]
        )
        self._finish_erasing([one.id for one in people])
        return sum(one.templates for one in people)

    def drop(self, whose: dict[int, Known], rows: Sequence[Row]) -> None:
        """Erase single templates, and the people who have none left.

        Args:
            whose: the people.
            rows: their templates to erase.
        """
        op, facts = new_op(), []
        ids: dict[int, list[int]] = {}
        for row in rows:
            ids.setdefault(row["person"], []).append(row["id"])
        empty = [person for person, dropped in ids.items() if len(dropped) == whose[person].templates]
        for person, dropped in ids.items():
            for start in range(0, len(dropped), _NAMED_AT_ONCE):
                text = json.dumps(dropped[start : start + _NAMED_AT_ONCE])
                facts.append(fact("drop", op, person, whose[person].latest, text=text))
                facts.append(fact("todo", op, person, text=f"drop {text}"))
            facts.append(event("drop", op, person, len(dropped)))
        for person in empty:
            facts.append(fact("gone", op, person, whose[person].latest + 1))
            facts.append(fact("todo", op, person, text="erase"))
        self._ledger.write(facts)
        self._templates.delete([row["id"] for row in rows])
        self._ledger.forget_todos([op])
        self._finish_erasing(empty)

    def undo(self, op: int) -> None:
        """Delete what an operation left that never came to count."""
        self._templates.delete_where(f"op == {op}")
        self._ledger.forget_todos([op])

    def wait_for(self, ops: Iterable[int]) -> None:
        """Wait until these operations have come to an end; one that has not after `LEASE` is undone."""
        waiting, until = set(ops), time.monotonic() + LEASE
        while waiting and time.monotonic() < until:
            time.sleep(_POLL)
            waiting &= self._ledger.pending(waiting, self._connection.now())
        for op in waiting:
            self.undo(op)

    def tidy(self) -> None:
        """Do what clients that ended have left to do."""
        for row in self._ledger.rows("todo", self._connection.now()):
            op, what = row["op"], row["text"]
            if what == "erase":
                self._finish_erasing([row["person"]])
            elif what.startswith("drop "):
                self._templates.delete(json.loads(what.removeprefix("drop ")))
                self._ledger.delete([row["id"]])
            elif not self._ledger.pending([op], self._connection.now()):
                self.finish_adding([row["person"]])
                self._ledger.delete([row["id"]])
            elif time.time() - row["at"] / 1e6 > _OLD:
                self.undo(op)

    def finish_adding(self, persons: Sequence[int]) -> None:
        """Erase the strangers who are called as these people are, who have been enrolled."""
        at = self._connection.now()
        names = {one.name for one in self._ledger.people(at, persons).values() if not one.stranger}
        called = self._ledger.named(names, at)
        self.erase([one for some in called.values() for one in some if one.stranger], "strangers")

    def _finish_erasing(self, persons: Sequence[int]) -> None:
        if not persons:
            return
        self.wait_for(self._ledger.adding_to(persons, self._connection.now()))
        self._templates.delete_of(persons)
        self._ledger.forget(persons)
        self._templates.compact()
        self._connection.compact(self._ledger.collection)
