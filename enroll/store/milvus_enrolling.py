"""Enrolling without transactions: a person's templates come whole or not at all, and a photo is one person's.

1. `todo`: say that templates of this operation may be about to come.
2. Insert the templates. They do not count yet.
3. Read who else has these photos, at a moment after 2. Of two clients that enroll one photo at least one sees
   the other here, and gives way. So no photo ever becomes two people's.
4. Insert the facts, in one request: from here on the templates count.
5. Take the `todo` back.

A client that ends before 4 leaves templates that no one sees. Whoever wants their photos waits for `LEASE`
and then deletes them; a client that took half of that from 1 to 4 does not do 4.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedder.errors import GalleryError, PhotoConflictError
from enroll.store.contract import NewTemplate, Terms, conflict_reason, stacked
from enroll.store.milvus_connection import LATELY
from enroll.store.milvus_erasing import LEASE
from enroll.store.milvus_ledger import event, fact, name_fact, new_op, terms_fact
from enroll.store.milvus_templates import ENROLLED, STRANGERS, counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from enroll.store.milvus_connection import MilvusConnection, Row
    from enroll.store.milvus_erasing import Eraser, Strangers
    from enroll.store.milvus_ledger import Known, Ledger
    from enroll.store.milvus_templates import TemplateRows

_TRIES = 20
_AT_RANDOM = 0.5  # seconds; two clients that gave way to each other do not come back together


@dataclass(frozen=True)
class Enrolment:
    """Templates to add to one identity; `terms` as in `Store.add`."""

    name: str
    templates: Sequence[NewTemplate]
    terms: Terms | None = None


@dataclass
class _Sent:
    """Templates of one identity that are there and do not count yet."""

    asked: Enrolment
    person: Known | None  # None for someone new
    op: int
    ids: dict[str, int]  # by digest, in hexadecimal
    todo: int  # row of the fact

    @property
    def owner(self) -> int:
        """Whose they will be; someone new gets the number of the operation."""
        return self.person.id if self.person else self.op


class Enroller:
    """Adds people to a gallery."""

    def __init__(
        self, connection: MilvusConnection, ledger: Ledger, templates: TemplateRows, eraser: Eraser
    ) -> None:
        """Work on these two collections."""
        self._connection, self._ledger, self._templates = connection, ledger, templates
        self._eraser, self._shown = eraser, connection.address.shown

    def enroll(self, people: Sequence[Enrolment], strangers: bool = False) -> int:
        """Add templates, all or none; photos that are already theirs change nothing.

        Args:
            people: no name twice.
            strangers: whether they are people who are not enrolled.

        Returns:
            How many templates were added.

        Raises:
            GalleryError: it cannot be done now; nothing was added.
            PhotoConflictError: a photo is enrolled under another name; nothing was added.
        """
        people = [_each_photo_once(one) for one in people]
        vectors = [stacked(one.templates, (self._templates.model() or ("", 0))[1]) for one in people]
        self._check_photos(people)
        at = LATELY  # a guess at who is there; what counts is read below
        for _ in range(_TRIES):
            started, sent = time.monotonic(), self._begun(people, strangers, at)
            try:
                self._send(sent, vectors, strangers)
                at = self._connection.now()
                named = self._ledger.named([one.asked.name for one in sent], at)
                theirs, rivals = self._others(sent, strangers, at)
                if not rivals and self._still(sent, named, strangers):
                    self._leave_out(sent, theirs)
                    if time.monotonic() - started > LEASE / 2:
                        raise GalleryError(f"{self._shown}: enrolling took too long; try again")
                    break
            except BaseException:
                with suppress(GalleryError):  # the next client that writes does it
                    self._undo(sent)
                raise
            self._undo(sent)
            if rivals:
                self._eraser.wait_for(rivals)
                time.sleep(random.uniform(0, _AT_RANDOM))
        else:
            raise GalleryError(f"{self._shown}: others enroll the same people all the time; try again")
        replaced = None if strangers else self._replaced(sent, at)
        self._commit(sent, strangers)
        if replaced:
            self._eraser.erase_strangers(replaced)
        self._ledger.delete([one.todo for one in sent])
        return sum(len(one.ids) for one in sent)

    def _check_photos(self, people: Sequence[Enrolment]) -> None:
        owners: dict[bytes, str] = {}
        for one in people:
            for template in one.templates:
                if len(template.digest) != 32:
                    raise GalleryError(
                        f"{template.photo}: expected a digest of 32 bytes, got {template.digest!r}"
                    )
                owner = owners.setdefault(template.digest, one.name)
                if owner != one.name:
                    raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)

    def _begun(self, people: Sequence[Enrolment], strangers: bool, at: int) -> list[_Sent]:
        named, first = self._ledger.named([one.name for one in people], at), new_op()
        known = [_first(named[one.name], strangers) for one in people]
        todos = self._ledger.write(
            [
                fact("todo", first + place, person.id if person else first + place, text="add")
                for place, person in enumerate(known)
            ]
        )
        return [
            _Sent(one, person, first + place, {}, todo)
            for place, (one, person, todo) in enumerate(zip(people, known, todos, strict=True))
        ]

    def _send(self, sent: Sequence[_Sent], vectors: Sequence[NDArray[np.float32]], strangers: bool) -> None:
        rows = [
            row
            for one, theirs in zip(sent, vectors, strict=True)
            for row in self._templates.made(one.owner, one.op, one.asked.templates, theirs)
        ]
        ids = self._templates.send(rows, STRANGERS if strangers else ENROLLED)
        for one in sent:
            count = len(one.asked.templates)
            digests = [template.digest.hex() for template in one.asked.templates]
            one.ids, ids = dict(zip(digests, ids[:count], strict=True)), ids[count:]

    def _still(self, sent: Sequence[_Sent], named: dict[str, list[Known]], strangers: bool) -> bool:
        """Say whether the names are whose they were taken for, and look at these people as they are now."""
        for one in sent:
            now = _first(named[one.asked.name], strangers)
            if (now and now.id) != (one.person and one.person.id):
                return False
            one.person = now
        return True

    def _others(
        self, sent: Sequence[_Sent], strangers: bool, at: int
    ) -> tuple[list[tuple[_Sent, Row]], set[int]]:
        """Find who else has the photos: rows that make one of ours needless, and operations under way.

        Raises:
            PhotoConflictError: another person has one.
        """
        ours, of_photo = {one.op for one in sent}, {digest: one for one in sent for digest in one.ids}
        digests = [bytes.fromhex(digest) for digest in of_photo]
        rows = self._templates.with_digests(digests, at, STRANGERS if strangers else ENROLLED)
        others = [row for row in rows if row["op"] not in ours]
        pending, people = set(), {}
        if others:  # what is no longer pending has come to count before the people are read
            pending = self._ledger.pending({row["op"] for row in others}, at)
            people = self._ledger.people(self._connection.now(), {row["person"] for row in others})
        theirs, rivals = [], set()
        for row in others:
            one = of_photo[row["digest"]]
            if counts(row, people):
                owner = people[row["person"]].name
                if owner != one.asked.name and not strangers:
                    self._refuse(one.asked, row["digest"], owner)
                theirs.append((one, row))
            elif row["op"] in pending:
                rivals.add(row["op"])
        for row in rows:  # a request that was sent twice
            one = of_photo[row["digest"]]
            if row["op"] == one.op and row["id"] != one.ids[row["digest"]]:
                self._templates.delete([row["id"]])
        return theirs, rivals

    def _refuse(self, asked: Enrolment, digest: str, owner: str) -> None:
        (template,) = (one for one in asked.templates if one.digest.hex() == digest)
        raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)

    def _leave_out(self, sent: Sequence[_Sent], theirs: Sequence[tuple[_Sent, Row]]) -> None:
        needless = [one.ids.pop(row["digest"]) for one, row in theirs if row["digest"] in one.ids]
        self._templates.delete(needless)

    def _replaced(self, sent: Sequence[_Sent], at: int) -> Strangers:
        new = [one for one in sent if one.ids]
        digests = [bytes.fromhex(digest) for one in new for digest in one.ids]
        return self._eraser.strangers([one.asked.name for one in new], digests, at)

    def _commit(self, sent: Sequence[_Sent], strangers: bool) -> None:
        facts = []
        for one in sent:
            asked, count, latest = one.asked, len(one.ids), one.person.latest if one.person else 0
            if count and one.person is None:
                facts.append(name_fact(asked.name, one.op, one.owner, stranger=strangers))
            if asked.terms is not None and (count or one.person):
                facts.append(terms_fact(asked.terms, one.op, one.owner, latest))
            if count:
                facts.append(fact("add", one.op, one.owner, latest, count=count))
            if not strangers and (count or asked.terms is not None):
                ids = one.ids.values()
                facts.append(event("enroll" if count else "terms", one.op, one.owner, count, ids))
        count = sum(len(one.ids) for one in sent)
        if strangers and count:
            facts.append(event("strangers", sent[0].op, count=count))
        self._ledger.write(facts)

    def _undo(self, sent: Sequence[_Sent]) -> None:
        ids = [number for one in sent for number in one.ids.values()]
        if ids:
            self._templates.delete(ids)
            self._ledger.forget_todos([one.op for one in sent])
        else:  # what arrived is not known
            for one in sent:
                self._eraser.undo(one.op)


def _first(known: Sequence[Known], strangers: bool) -> Known | None:
    """Give the person of a name; if several clients made one at once, all of them take the same."""
    return min((one for one in known if one.stranger == strangers), key=lambda one: one.id, default=None)


def _each_photo_once(asked: Enrolment) -> Enrolment:
    once = {template.digest: template for template in reversed(asked.templates)}
    return Enrolment(asked.name, [*reversed(once.values())], asked.terms)
