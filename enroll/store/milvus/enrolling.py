"""Enroll without transactions: a person completely or not at all, a photo for one person.

1. `todo`: write that templates of this operation may follow.
2. Insert the templates. They do not count yet.
3. Read who else has these photos, at a moment after 2. Of two clients that enroll one photo at least one sees
   the other here, and gives way. So no photo ever becomes two people's.
4. Insert the facts, in one request: from here on the templates count.
5. Delete the `todo`.

A client that ends before 4 leaves templates that no one sees. A client that needs their photos waits for
`LEASE` and then deletes them; a client that took half of that from 1 to 4 does not do 4.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder.errors import GalleryError, PhotoConflictError
from enroll.store.base import NewPerson
from enroll.store.messages import conflict_reason
from enroll.store.milvus.connection import LATELY, AwayError
from enroll.store.milvus.erasing import LEASE
from enroll.store.milvus.facts import event, fact, name_fact, new_op, terms_fact
from enroll.store.milvus.templates import ENROLLED, STRANGERS, counts
from enroll.templates import check_vectors_of

if TYPE_CHECKING:
    from enroll.store.milvus.connection import MilvusConnection, Row
    from enroll.store.milvus.erasing import Eraser, Strangers
    from enroll.store.milvus.facts import Known
    from enroll.store.milvus.ledger import Ledger
    from enroll.store.milvus.templates import TemplateRows


_TOGETHER = 10_000  # templates that are made to count at once, or those of one person
_OF_PERSON = 2  # a person counts as at least as many: the facts of all must fit into one request
_TRIES = 20
_AT_RANDOM = 0.5  # seconds; two clients that gave way to each other do not retry at the same time


@dataclass
class _Sent:
    """Holds templates of one person that are inserted and do not count yet."""

    asked: NewPerson
    person: Known | None  # None for someone new
    owner: int  # whose they will be
    ids: dict[str, int]  # by digest, in hexadecimal


@dataclass(frozen=True)
class _Operation:
    """Holds what is enrolled together: all of it will count, or nothing."""

    op: int
    todos: list[int]  # rows of the ledger
    sent: list[_Sent]
    strangers: bool

    @property
    def part(self) -> str:
        """The partition of the templates."""
        return STRANGERS if self.strangers else ENROLLED

    @property
    def of_photo(self) -> dict[str, _Sent]:
        """The person of each photo, by digest in hexadecimal."""
        return {digest: one for one in self.sent for digest in one.ids}


class Enroller:
    """Adds people to a gallery."""

    def __init__(
        self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows, eraser: Eraser
    ) -> None:
        """Use the collections of a gallery."""
        self._connection, self._ledger, self._templates = connection, ledger, templates
        self._eraser, self._shown = eraser, connection.address.shown

    def check(self, people: Sequence[NewPerson]) -> None:
        """Check what can be checked before anything is sent.

        Raises:
            PhotoConflictError: a photo is given under two names.
            ValueError: as `Store.add`.
        """
        check_vectors_of((one.templates for one in people), (self._templates.model() or ("", 0))[1])
        owners: dict[bytes, str] = {}
        for one in people:
            for template in one.templates:
                owner = owners.setdefault(template.digest, one.name)
                if owner != one.name:
                    raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)

    def enroll(self, people: Sequence[NewPerson], strangers: bool = False) -> set[str]:
        """Add templates, all or none; photos that are already theirs change nothing.

        Args:
            people: no name twice; see `check`.
            strangers: whether they are people who are not enrolled.

        Returns:
            The photos that were added, by digest in hexadecimal.

        Raises:
            GalleryError: it cannot be done now; nothing was added.
            PhotoConflictError: a photo is enrolled under another name; nothing was added.
        """
        people = [_each_photo_once(one) for one in people]
        at = LATELY  # a first guess of the people; the reads that matter follow below
        for _ in range(_TRIES):
            started, now = time.monotonic(), self._begun(people, strangers, at)
            try:
                self._send(now)
                at = self._connection.now()
                named = self._ledger.named([one.asked.name for one in now.sent], at)
                self._delete_duplicates(now, at)
                rows, rivals = self._others(now, at)
                if not rivals and self._reread_people(now, named):
                    self._leave_out(now, rows)
                    replaced = self._replaced(now, at)
                    if time.monotonic() - started > LEASE / 2:
                        raise GalleryError(f"{self._shown}: enrolling took too long; try again")
                    break
            except AwayError:  # the next client that writes deletes what has arrived
                raise
            except BaseException:
                with suppress(GalleryError):
                    self._undo(now)
                raise
            self._undo(now)
            if rivals:
                self._eraser.wait_for(rivals)
                time.sleep(random.uniform(0, _AT_RANDOM))
        else:
            raise GalleryError(f"{self._shown}: others enroll the same people all the time; try again")
        self._commit(now)
        if replaced is not None:
            self._eraser.erase_strangers(replaced)
        self._ledger.delete(now.todos)
        return set(now.of_photo)

    def _begun(self, people: Sequence[NewPerson], strangers: bool, at: int) -> _Operation:
        named, op, first = self._ledger.named([one.name for one in people], at), new_op(), new_op()
        known = [_first(named[one.name], strangers) for one in people]
        sent = [
            _Sent(one, person, person.id if person else first + place, {})
            for place, (one, person) in enumerate(zip(people, known, strict=True))
        ]
        todos = self._ledger.begin(op, [one.owner for one in sent if one.person])
        return _Operation(op, todos, sent, strangers)

    def _send(self, now: _Operation) -> None:
        rows = [
            row for one in now.sent for row in self._templates.made(one.owner, now.op, one.asked.templates)
        ]
        ids = iter(self._templates.send(rows, now.part))
        for one in now.sent:
            one.ids = {template.digest.hex(): next(ids) for template in one.asked.templates}

    def _reread_people(self, now: _Operation, named: dict[str, list[Known]]) -> bool:
        """Return whether the names are still those of the same people, and read these people again."""
        for one in now.sent:
            person = _first(named[one.asked.name], now.strangers)
            if (person and person.id) != (one.person and one.person.id):
                return False
            one.person = person
        return True

    def _delete_duplicates(self, now: _Operation, at: int) -> None:
        """Delete duplicates of a request that pymilvus sent twice, as it does without an answer."""
        sent = {number for one in now.sent for number in one.ids.values()}
        if self._templates.count(now.op, at) > len(sent):
            rows = self._templates.rows(f"op == {now.op}", [], at)
            self._templates.delete([row["id"] for row in rows if row["id"] not in sent])

    def _others(self, now: _Operation, at: int) -> tuple[list[Row], set[int]]:
        """Find others with the photos: rows that make ours unnecessary, and unfinished operations.

        Raises:
            PhotoConflictError: another person has one.
        """
        of_photo = now.of_photo
        digests = [bytes.fromhex(digest) for digest in of_photo]
        others = self._templates.with_digests(digests, at, now.part, but=now.op)
        if not others:
            return [], set()
        # In this order: operations no longer pending count before the people are read.
        pending = self._ledger.pending({row["op"] for row in others}, at)
        people = self._ledger.people(self._connection.now(), {row["person"] for row in others})
        theirs = [row for row in others if counts(row, people)]
        for row in theirs:
            asked, owner = of_photo[row["digest"]].asked, people[row["person"]].name
            if owner != asked.name and not now.strangers:
                (template,) = (one for one in asked.templates if one.digest.hex() == row["digest"])
                raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)
        return theirs, {row["op"] for row in others if not counts(row, people)} & pending

    def _leave_out(self, now: _Operation, rows: Sequence[Row]) -> None:
        """Delete our templates of photos that are already theirs."""
        of_photo = now.of_photo
        needless = {row["digest"] for row in rows}
        self._templates.delete([of_photo[digest].ids.pop(digest) for digest in needless])

    def _replaced(self, now: _Operation, at: int) -> Strangers | None:
        if now.strangers:
            return None
        names = [one.asked.name for one in now.sent if one.ids]
        return self._eraser.strangers(names, [bytes.fromhex(digest) for digest in now.of_photo], at)

    def _commit(self, now: _Operation) -> None:
        facts = []
        for one in now.sent:
            asked, count, latest = one.asked, len(one.ids), one.person.latest if one.person else 0
            if count and one.person is None:
                facts.append(name_fact(asked.name, now.op, one.owner, stranger=now.strangers))
            agreed = one.person.terms if one.person else None
            if asked.terms is not None and asked.terms != agreed and (count or one.person):
                facts.append(terms_fact(asked.terms, now.op, one.owner, latest))
                if one.person:
                    facts.append(event("terms", now.op, one.owner, after=latest))
            if now.strangers and count:
                facts.append(fact("add", now.op, one.owner, latest, count=count))
            elif count:
                facts.append(event("enroll", now.op, one.owner, count, one.ids.values(), latest))
        if now.strangers and now.of_photo:
            facts.append(event("strangers", now.op, count=len(now.of_photo)))
        self._ledger.write(facts)

    def _undo(self, now: _Operation) -> None:
        ids = [number for one in now.sent for number in one.ids.values()]
        if ids:
            self._templates.delete(ids)
            self._ledger.delete(now.todos)
        else:  # it is unknown what has arrived
            self._eraser.undo(now.op)


def _first(known: Sequence[Known], strangers: bool) -> Known | None:
    """Return the person of a name.

    If several clients created one at once, all of them take the same.
    """
    return min((one for one in known if one.stranger == strangers), key=lambda one: one.id, default=None)


def _each_photo_once(asked: NewPerson) -> NewPerson:
    once = {template.digest: template for template in reversed(asked.templates)}
    return NewPerson(asked.name, [*reversed(once.values())], asked.terms)


def grouped(people: Iterable[NewPerson]) -> Iterator[list[NewPerson]]:
    """Yield people, each name once, in groups that can be made to count at once."""
    together, size = list[NewPerson](), 0
    for one in _each_name_once(people):
        own = max(_OF_PERSON, len(one.templates))
        if together and size + own > _TOGETHER:
            yield together
            together, size = [], 0
        together.append(one)
        size += own
    if together:
        yield together


def _each_name_once(people: Iterable[NewPerson]) -> Iterable[NewPerson]:
    named: dict[str, NewPerson] = {}
    for one in people:
        if before := named.get(one.name):
            one = NewPerson(one.name, [*before.templates, *one.templates], one.terms or before.terms)
        named[one.name] = one
    return named.values()
