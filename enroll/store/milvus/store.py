"""Store a gallery in Milvus, for more templates than one machine holds.

`enroll.store.base.Store` says what the methods do. What is guaranteed, and what is not where several clients
write at once: docs/scale.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import GalleryError, PhotoConflictError, UsageError
from enroll.store.base import Changed, Event, NewPerson, Person, Terms, check_model, joined_terms
from enroll.store.limits import (
    CALIBRATION,
    check,
    check_people,
    model_problem,
    stored_name_problem,
    terms_problem,
    text_problem,
)
from enroll.store.messages import conflict_reason, unknown_identity
from enroll.store.milvus import address as address_module
from enroll.store.milvus.connection import MilvusConnection
from enroll.store.milvus.enrolling import Enroller, grouped
from enroll.store.milvus.erasing import Eraser
from enroll.store.milvus.facts import event, name_fact, new_op, terms_fact
from enroll.store.milvus.ledger import Ledger, gallery_exists
from enroll.store.milvus.templates import (
    ENROLLED,
    STRANGERS,
    MilvusIndex,
    TemplateReader,
    TemplateRows,
    counts,
)
from enroll.templates import NewTemplate, StoredTemplate, Templates

if TYPE_CHECKING:
    from enroll.store.milvus.address import MilvusAddress
    from enroll.store.milvus.facts import Known

_SIDE_BY_SIDE = 4  # groups of people


class MilvusStore:
    """Stores a gallery in Milvus; see `Store` for what its methods do and raise."""

    def __init__(self, address: MilvusAddress, create: bool = False) -> None:
        """Open a gallery.

        Args:
            address: where it is.
            create: make it if it is missing.

        Raises:
            GalleryError: it is missing, not a gallery, or the server does not answer.
            MissingPackageError: pymilvus is not installed.
        """
        self.location = address.shown
        if not create and not gallery_exists(address):
            raise GalleryError(
                f"{address.shown}: no gallery here; make one with `embed enroll PEOPLE_FOLDER`"
            )
        if address.lite:
            address_module.is_there(Path(address.uri), address.shown)
        self._connection = MilvusConnection(address)
        try:
            self._ledger = Ledger(self._connection, address.name)
            self._templates = TemplateRows(self._connection, address.name)
            if create:
                self._ledger.create()
            self._connection.load(self._ledger.collection)
            self._templates.open()
        except BaseException:
            self._connection.close()
            raise
        self._eraser = Eraser(self._connection, self._ledger, self._templates)
        self._enroller = Enroller(self._connection, self._ledger, self._templates, self._eraser)
        self._reader = TemplateReader(self._connection, self._ledger, self._templates)
        self._tidied = False

    def close(self) -> None:
        """Close the gallery."""
        self._connection.close()

    def __enter__(self) -> MilvusStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tidy(self) -> None:
        """Finish the work of interrupted clients, before the first change."""
        if not self._tidied:
            self._eraser.tidy()
            self._tidied = True

    def together(self) -> AbstractContextManager[None]:
        """Return a block without effect: Milvus has no transactions."""
        return nullcontext()

    def one_moment(self) -> AbstractContextManager[None]:
        """Let the reads of an answer share one moment, `?staleness=` seconds ago at most."""
        return self._connection.clock.one_moment(self._connection.address.staleness)

    def model(self) -> tuple[str, int] | None:
        """Return fingerprint and vector length of the model, None in a new gallery."""
        return self._templates.model()

    def bind(self, fingerprint: str, dim: int) -> None:
        """Bind a new gallery to a model, or check that it is bound to this one."""
        check(model_problem(fingerprint, dim))
        if self.model() is None:
            self._templates.bind(fingerprint, dim)
        check_model(self, fingerprint, dim)

    def remake(
        self, model: tuple[str, int], templates: Sequence[tuple[str, NewTemplate]], since: tuple[int, int]
    ) -> bool:
        """Refuse, because the collection of the templates is named after their model."""
        raise UsageError(f"{self.location}: a gallery in Milvus is of one model forever; give --to NEW")

    def owners(self, digests: Sequence[bytes]) -> list[str | None]:
        """Return the name of the person of each photo digest, in their order; None: not enrolled."""
        at = self._connection.now()
        rows = self._templates.with_digests(digests, at)
        people = self._ledger.people(at, {row["person"] for row in rows})
        owners = {row["digest"]: people[row["person"]].name for row in rows if counts(row, people)}
        return [owners.get(digest.hex()) for digest in digests]

    def add(self, name: str, templates: Sequence[NewTemplate], terms: Terms | None = None) -> int:
        """Add templates to a person, new or known; a photo that is already theirs changes nothing."""
        return self.add_many([NewPerson(name, templates, terms)])[0]

    def add_many(self, people: Sequence[NewPerson]) -> list[int]:
        """Add templates of several people, all or none if they are few enough to count at once."""
        check_people(people)
        self._tidy()
        groups = [*grouped(people)]
        self._enroller.check(people)
        if len(groups) > 1:
            self._check_owners(people)
        added: set[str] = set()
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:  # some wait for Milvus while others send
            for start in range(0, len(groups), _SIDE_BY_SIDE):
                some = groups[start : start + _SIDE_BY_SIDE]
                enroll = [partial(copy_context().run, self._enroller.enroll, one) for one in some]
                added.update(*pool.map(lambda each: each(), enroll))
        counts = []
        for one in people:
            theirs = added.intersection(template.digest.hex() for template in one.templates)
            added -= theirs
            counts.append(len(theirs))
        return counts

    def _check_owners(self, people: Sequence[NewPerson]) -> None:
        """Find photos of others before the first group of several is added."""
        asked = [(one.name, template) for one in people for template in one.templates]
        owners = self.owners([template.digest for _, template in asked])
        for (name, template), owner in zip(asked, owners, strict=True):
            if owner not in (None, name):
                raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)

    def identities(self) -> list[tuple[str, int]]:
        """List names and their number of templates, sorted by name."""
        return [(one.name, one.templates) for one in self.people()]

    def people(self) -> list[Person]:
        """List everyone who is enrolled, sorted by name."""
        found: dict[str, list[Known]] = {}
        for one in self._ledger.people(self._connection.now()).values():
            if not one.stranger:
                found.setdefault(one.name, []).append(one)
        return [
            Person(name, sum(one.templates for one in same), max(same, key=lambda one: one.latest).terms)
            for name, same in sorted(found.items())
        ]

    def _enrolled_as(self, name: str) -> list[Known]:
        """Return the people enrolled under a name: several if several clients were the first at once.

        Raises:
            UnknownIdentityError: no one.
        """
        found = [one for one in self._ledger.named([name], self._connection.now())[name] if not one.stranger]
        if not found:
            raise unknown_identity(self.location, name, [entry for entry, _ in self.identities()])
        return found

    def set_terms(self, name: str, terms: Terms) -> None:
        """Replace the terms of a person."""
        check(terms_problem(terms))
        self._tidy()
        op, found = new_op(), self._enrolled_as(name)
        self._ledger.write(
            [
                row
                for one in found
                for row in (terms_fact(terms, op, one.id, one.latest), event("terms", op, one.id))
            ]
        )
        self._ledger.delete([row for one in found for row in one.agreed])

    def rename(self, old: str, new: str) -> None:
        """Change the name of a person."""
        check(stored_name_problem(new))
        self._tidy()
        found = self._enrolled_as(old)
        if old == new:
            return
        self._check_free(new)
        replaced = self._eraser.strangers([new], [], self._connection.now())
        self._write_name(new, found)
        try:
            self._check_free(new, {one.id for one in found})
        except UsageError:
            self._write_name(
                old, self._ledger.people(self._connection.now(), [one.id for one in found]).values()
            )
            raise
        self._eraser.erase_strangers(replaced)

    def _write_name(self, name: str, people: Iterable[Known]) -> None:
        op, people = new_op(), list(people)
        self._ledger.write(
            [
                row
                for one in people
                for row in (name_fact(name, op, one.id, one.latest), event("rename", op, one.id))
            ]
        )
        self._ledger.delete([row for one in people for row in one.names])

    def _check_free(self, name: str, but: Iterable[int] = ()) -> None:
        named = self._ledger.named([name], self._connection.now())[name]
        if any(not one.stranger and one.id not in but for one in named):
            raise UsageError(
                f"{name!r} is already enrolled; two people are never merged by a rename, remove one first"
            )

    def merge_people(self, kept: str, other: str) -> int:
        """Join two people who are one; from then on the name has several ids."""
        self._tidy()
        if kept == other:
            raise UsageError(f"merge-people: expected two names, got {kept!r} twice")
        ones, gone = self._enrolled_as(kept), self._enrolled_as(other)
        terms, op = joined_terms(ones[0].terms, gone[0].terms), new_op()
        photos = sum(one.templates for one in gone)
        facts = [event("merge people", op, ones[0].id, photos)]
        facts += [name_fact(kept, op, one.id, one.latest) for one in gone]
        changed = [one for one in (*ones, *gone) if one.terms != terms]
        facts += [terms_fact(terms, op, one.id, one.latest + 1) for one in changed]
        self._ledger.write(facts)
        self._ledger.delete(
            [row for one in gone for row in one.names] + [row for one in changed for row in one.agreed]
        )
        return photos

    def remove(self, name: str) -> int:
        """Erase a person and their templates."""
        self._tidy()
        return self._eraser.erase(self._enrolled_as(name), "remove")

    def drop(self, ids: Sequence[int]) -> int:
        """Erase single templates, and people who have none left; unknown ids change nothing."""
        self._tidy()
        at = self._connection.now()
        rows = self._templates.with_ids([int(one) for one in ids], [], at)
        people = self._ledger.people(at, {row["person"] for row in rows})
        people = {key: one for key, one in people.items() if not one.stranger}
        rows = [row for row in rows if counts(row, people)]
        if rows:
            self._eraser.drop(people, rows)
        return len(rows)

    def expired(self, today: date) -> list[str]:
        """List the names of people who expired before `today`, sorted.

        It is fast, since every search asks.
        """
        return sorted({one.name for one in self._ledger.expired(today, self._connection.now())})

    def purge(self, today: date) -> list[str]:
        """Erase the people who expired before `today`, and return their names."""
        self._tidy()
        people = self._ledger.expired(today, self._connection.now())
        self._eraser.erase(people, "purge")
        return sorted({one.name for one in people})

    def events(self) -> list[Event]:
        """Return the audit log, oldest first."""
        return self._ledger.events(self._connection.now())

    def stored(self, name: str) -> list[StoredTemplate]:
        """List all templates of a person, by id."""
        persons = ", ".join(str(one.id) for one in self._enrolled_as(name))
        return [one for _, one in self._reader.stored(ENROLLED, f"person in [{persons}]")]

    def stored_strangers(self) -> list[tuple[str, StoredTemplate]]:
        """List all templates of strangers, by id, with the names of the people they show."""
        return self._reader.stored(STRANGERS)

    def templates(self, after: int = 0) -> Templates:
        """Read the templates whose id is above `after`."""
        return self._reader.read(ENROLLED, f"id > {int(after)}")

    def strangers(self) -> Templates:
        """Read all templates of strangers; `identities` are the names of the people they show."""
        return self._reader.read(STRANGERS)

    def photos(self, ids: Sequence[int]) -> list[str]:
        """Return the paths of the photos of templates, in the order of the ids; "" if one is gone."""
        at = self._connection.now()
        rows = self._templates.with_ids([int(one) for one in ids], ["photo"], at)
        people = self._ledger.people(at, {row["person"] for row in rows})
        found = {row["id"]: row["photo"] for row in rows if counts(row, people)}
        return [found.get(int(one), "") for one in ids]

    def changes(self) -> tuple[int, int]:
        """Return generation and last template id; another store may return another generation."""
        return self._ledger.changes(self._connection.now())

    def revision(self) -> tuple[int, ...]:
        """Return a value that differs after any change, up to a second late if another process made it."""
        return self._ledger.revision()

    def search_index(self) -> MilvusIndex:
        """Return a search of the current templates."""
        return MilvusIndex(self._connection, self._ledger, self._templates)

    def add_strangers(self, people: Sequence[tuple[str, NewTemplate]]) -> int:
        """Add photos of people who are known not to be enrolled, and return how many are new."""
        check_people(NewPerson(name, [template]) for name, template in people)
        self._tidy()
        at = self._connection.now()
        rows = self._templates.with_digests([photo.digest for _, photo in people], at, "")
        known = self._ledger.people(at, {row["person"] for row in rows})
        taken = {row["digest"] for row in rows if counts(row, known)}
        named = self._ledger.named({name for name, _ in people}, at)
        wanted: dict[str, dict[bytes, NewTemplate]] = {}
        for name, photo in people:
            if photo.digest.hex() not in taken and all(one.stranger for one in named[name]):
                taken.add(photo.digest.hex())
                wanted.setdefault(name, {})[photo.digest] = photo
        groups = [NewPerson(name, [*photos.values()]) for name, photos in wanted.items()]
        self._enroller.check(groups)
        return len(self._enroller.enroll(groups, strangers=True)) if groups else 0

    def remove_strangers(self) -> int:
        """Erase all strangers, and return the number of their photos."""
        self._tidy()
        at = self._connection.now()
        people = self._ledger.people(at, {row["person"] for row in self._ledger.rows("stranger", at)})
        return self._eraser.erase([one for one in people.values() if one.stranger], "remove strangers")

    def set_calibration(self, content: str, identities: int, templates: int) -> bool:
        """Store a calibration of the gallery as it is."""
        check(text_problem(content, "calibration", CALIBRATION))
        people = [one for one in self._ledger.people(self._connection.now()).values() if not one.stranger]
        names, photos = {one.name for one in people}, sum(one.templates for one in people)
        if (len(names), photos) != (identities, templates):
            return False
        self._ledger.keep(json.dumps({"content": content, "people": sorted(one.id for one in people)}))
        return True

    def calibration(self) -> tuple[str, Changed] | None:
        """Return the calibration and what changed since, or None if there is none."""
        at = self._connection.now()
        if (kept := self._ledger.kept(at)) is None:
            return None
        stored = json.loads(kept)
        people = [one for one in self._ledger.people(at).values() if not one.stranger]
        now, then = {one.id for one in people}, set(stored["people"])
        photos = sum(one.templates for one in people)
        return stored["content"], Changed(len(now - then), len(then - now), photos)

    def verify(self) -> None:
        """Read and check everything that is stored."""
        for part in (ENROLLED, STRANGERS):
            self._reader.check(part)
        self.events()
        self.calibration()
