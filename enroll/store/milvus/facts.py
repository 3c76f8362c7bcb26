"""Define the facts that a gallery in Milvus consists of, and evaluate them.

```
name, stranger   name of a person; the latest counts
terms            terms of a person; the latest count
add              templates with this operation's number are the person's, who is a stranger
drop             these templates are erased
gone             the person is erased, whatever the other facts say
event            the audit log; "enroll…": templates with this operation's number are the person's
note             a piece of the calibration
todo             there may be templates without a fact: see `enroll.store.milvus.erasing`
```
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING

from enroll.store.actor import signed
from enroll.store.base import Terms

if TYPE_CHECKING:
    from enroll.store.milvus.connection import Row


NO_VECTOR = ("nothing", 2)  # name and length: Milvus has no collection without one
FIELDS: Row = {
    "kind": 16,
    "op": "INT64",  # the operation, a random number
    "person": "INT64",
    "at": "INT64",  # microseconds, and above all earlier facts of the person
    "key": "INT64",  # of a name; the last day of terms; the last id of an event; the place of a piece
    "count": "INT64",
    "first": "INT64",  # id of an event
    "text": 65_535,  # bytes, at most
}
ENROLL = "enroll"  # how the text of such an event begins; it may be signed
ADDED = f'(kind == "add" or (kind == "event" and text like "{ENROLL}%"))'
_KINDS = ("name", "stranger", "terms", "drop", "gone")
STATE = f"kind in {json.dumps(_KINDS)} or {ADDED}"  # the facts that `known` evaluates


@dataclass
class Known:
    """Holds what the facts say about one person.

    Attributes:
        id: of the person.
        name: "" if there is none yet.
        terms: the latest.
        ops: operations whose templates are theirs, with how many they added, or dropped.
        dropped: templates that are erased.
        stranger: whether they are not enrolled.
        gone: whether they are erased.
        latest: when the last fact was written.
        names: rows of their names.
        agreed: rows of their terms.
    """

    id: int
    name: str = ""
    terms: Terms = field(default_factory=Terms)
    ops: dict[int, int] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    stranger: bool = False
    gone: bool = False
    latest: int = 0
    names: list[int] = field(default_factory=list)
    agreed: list[int] = field(default_factory=list)

    @property
    def templates(self) -> int:
        """The number of their templates."""
        return sum(self.ops.values())

    @property
    def here(self) -> bool:
        """Whether they are in the gallery, enrolled or as strangers."""
        return bool(self.name) and not self.gone and self.templates > 0

    def has(self, template: Row) -> bool:
        """Return whether a row of the templates is one of theirs."""
        return self.here and template["op"] in self.ops and template["id"] not in self.dropped


def fact(kind: str, op: int, person: int = 0, after: int = 0, **more: object) -> Row:
    """Build one fact.

    Args:
        kind: see the module's description.
        op: number of the operation.
        person: id of the person.
        after: time of the latest fact of that person; clocks of two machines differ.
        more: key, count, first, text.
    """
    at = max(time.time_ns() // 1000, after + 1)
    row: Row = {"kind": kind, "op": op, "person": person, "at": at, "text": "", NO_VECTOR[0]: [0.0, 0.0]}
    return row | dict.fromkeys(("key", "count", "first"), 0) | more


def event(
    action: str, op: int, person: int = 0, count: int = 0, ids: Iterable[int] = (), after: int = 0
) -> Row:
    """Build an entry of the audit log, which also holds the new ids, for `changes`.

    Args:
        action: what was done.
        op: number of the operation.
        person: id of the person, 0 if it is about no single one.
        count: number of templates.
        ids: of new templates.
        after: time of the latest fact of that person.
    """
    given = sorted(ids) or [0]
    return fact("event", op, person, after, count=count, first=given[0], key=given[-1], text=signed(action))


def name_fact(name: str, op: int, person: int, after: int = 0, stranger: bool = False) -> Row:
    """Build the fact of a person's name.

    Args:
        name: of the person.
        op: number of the operation.
        person: id of the person.
        after: time of the latest fact of that person.
        stranger: whether the person is a stranger.
    """
    return fact("stranger" if stranger else "name", op, person, after, key=key_of(name), text=name)


def terms_fact(terms: Terms, op: int, person: int, after: int = 0) -> Row:
    """Build the fact of a person's terms.

    Args:
        terms: of the person.
        op: number of the operation.
        person: id of the person.
        after: time of the latest fact of that person.
    """
    days = {part: value and value.isoformat() for part, value in vars(terms).items() if part != "consent"}
    last = terms.expires.toordinal() if terms.expires else 0
    return fact("terms", op, person, after, key=last, text=json.dumps({"consent": terms.consent} | days))


def key_of(name: str) -> int:
    """Return a number by which to find a name, so that no name is ever part of a condition."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") >> 1


def new_op() -> int:
    """Return a number for a new operation."""
    return secrets.randbits(62)


def known(rows: Iterable[Row]) -> dict[int, Known]:
    """Evaluate facts, by person."""
    people: dict[int, Known] = {}
    for row in sorted(rows, key=lambda row: (row["at"], row["id"])):
        person = people.setdefault(row["person"], Known(row["person"]))
        person.latest = row["at"]
        match row["kind"]:
            case "name" | "stranger":
                person.name, person.stranger = row["text"], row["kind"] == "stranger"
                person.names.append(row["id"])
            case "terms":
                person.terms = _terms(row["text"])
                person.agreed.append(row["id"])
            case "add" | "event":
                person.ops[row["op"]] = row["count"]
            case "drop":
                dropped = set(json.loads(row["text"]))
                person.ops[row["op"]] = person.ops.get(row["op"], 0) - len(dropped - person.dropped)
                person.dropped |= dropped
            case "gone":
                person.gone = True
    return people


def is_state(row: Row) -> bool:
    """Return whether a fact fulfils the condition `STATE`."""
    if row["kind"] == "event":
        return bool(row["text"].startswith(ENROLL))
    return row["kind"] in (*_KINDS, "add")


def _terms(text: str) -> Terms:
    stored = json.loads(text)
    days = {part: stored[part] and date.fromisoformat(stored[part]) for part in ("consent_date", "expires")}
    return Terms(stored["consent"], **days)
