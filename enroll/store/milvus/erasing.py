"""Erase without transactions, and finish what an interrupted client left behind.

One request writes that people are gone, or templates; from then on no one sees them. Then the templates are
deleted, then what is known of the people. A `todo` that was written with the first request stays until all is
done, so that the next client that writes finishes the work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enroll.store.milvus.facts import event, fact, new_op
from enroll.store.milvus.templates import STRANGERS, counts

if TYPE_CHECKING:
    from enroll.store.milvus.connection import MilvusConnection, Row
    from enroll.store.milvus.facts import Known
    from enroll.store.milvus.ledger import Ledger
    from enroll.store.milvus.templates import TemplateRows


LEASE = 30.0  # seconds without a sign of an enrolling client after which others take it for dead

_OLD = 600.0  # seconds after which that is certain, even if the clocks of two machines differ by minutes
_POLL = 0.2  # seconds
_NAMED_AT_ONCE = 2_000  # ids in one fact


@dataclass(frozen=True)
class Strangers:
    """Holds what is to be erased of strangers: all of some people, single templates of others."""

    people: list[Known]
    whose: dict[int, Known]
    rows: list[Row]


class Eraser:
    """Erases people and templates of a gallery."""

    def __init__(self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows) -> None:
        """Use the collections of a gallery."""
        self._connection, self._ledger, self._templates = connection, ledger, templates

    def erase(self, people: Collection[Known], action: str = "") -> int:
        """Erase people, and return how many templates they had.

        Args:
            people: to be erased.
            action: for the audit log; "": no entry is written.
        """
        if not people:
            return 0
        op, facts = new_op(), []
        for one in people:
            facts.append(fact("gone", op, one.id, one.latest))
            facts.append(fact("todo", op, one.id, text="erase"))
            if action and not one.stranger:
                facts.append(event(action, op, one.id, one.templates))
        templates = sum(one.templates for one in people)
        if action and all(one.stranger for one in people):
            facts.append(event(action, op, count=templates))
        self._ledger.write(facts)
        self._finish_erasing([one.id for one in people])
        return templates

    def drop(self, whose: dict[int, Known], rows: Sequence[Row]) -> None:
        """Erase single templates, and the people who have none left.

        Args:
            whose: the people.
            rows: their templates to erase.
        """
        op, facts, empty = new_op(), [], []
        ids: dict[int, list[int]] = {}
        for row in rows:
            ids.setdefault(row["person"], []).append(row["id"])
        for person, dropped in ids.items():
            one = whose[person]
            for start in range(0, len(dropped), _NAMED_AT_ONCE):
                text = json.dumps(dropped[start : start + _NAMED_AT_ONCE])
                facts.append(fact("drop", op, person, one.latest, text=text))
                facts.append(fact("todo", op, person, text=f"drop {text}"))
            if not one.stranger:
                facts.append(event("drop", op, person, len(dropped)))
            if len(dropped) == one.templates:
                empty.append(person)
                facts.append(fact("gone", op, person, one.latest + 1))
                facts.append(fact("todo", op, person, text="erase"))
        self._ledger.write(facts)
        self._templates.delete([row["id"] for row in rows])
        self._ledger.forget_todos([op])
        self._finish_erasing(empty)

    def strangers(self, names: Iterable[str], digests: Sequence[bytes], at: int) -> Strangers:
        """Find the strangers with some names, and those on some photos.

        Args:
            names: of people.
            digests: of photos.
            at: a moment.
        """
        rows = self._templates.with_digests(digests, at, STRANGERS)
        whose = self._ledger.people(at, {row["person"] for row in rows})
        named = self._ledger.named(names, at)
        people = [one for some in named.values() for one in some if one.stranger]
        gone = {one.id for one in people}
        return Strangers(
            people, whose, [row for row in rows if counts(row, whose) and row["person"] not in gone]
        )

    def erase_strangers(self, found: Strangers) -> None:
        """Erase strangers who have been enrolled."""
        self.erase(found.people)
        if found.rows:
            self.drop(found.whose, found.rows)

    def undo(self, op: int) -> None:
        """Delete the templates of an operation that never came to count."""
        self._templates.delete_where(f"op == {op}")
        self._ledger.forget_todos([op])

    def wait_for(self, ops: Iterable[int]) -> None:
        """Wait until some operations have ended; one that has not after `LEASE` is undone."""
        waiting, until = set(ops), time.monotonic() + LEASE
        while waiting and time.monotonic() < until:
            time.sleep(_POLL)
            waiting &= self._ledger.pending(waiting, self._connection.now())
        for op in waiting:
            self.undo(op)

    def tidy(self) -> None:
        """Finish the work of interrupted clients."""
        for row in self._ledger.rows("todo", self._connection.now()):
            op, what = row["op"], row["text"]
            if what == "erase":
                self._finish_erasing([row["person"]])
            elif what.startswith("drop "):
                self._templates.delete(json.loads(what.removeprefix("drop ")))
                self._ledger.delete([row["id"]])
            elif not self._ledger.pending([op], self._connection.now()):
                self._finish_adding(op)
                self._ledger.delete([row["id"]])
            elif time.time() - row["at"] / 1e6 > _OLD:
                self.undo(op)

    def _finish_adding(self, op: int) -> None:
        at = self._connection.now()
        names = {one.name for one in self._ledger.by(op, at).values() if not one.stranger}
        digests = [
            bytes.fromhex(row["digest"]) for row in self._templates.rows(f"op == {op}", ["digest"], at)
        ]
        if names:
            self.erase_strangers(self.strangers(names, digests, at))

    def _finish_erasing(self, persons: Sequence[int]) -> None:
        if not persons:
            return
        self.wait_for(self._ledger.adding_to(persons, self._connection.now()))
        self._templates.delete_of(persons)
        self._ledger.forget(persons)
        self._templates.compact()
        self._connection.compact(self._ledger.collection)
