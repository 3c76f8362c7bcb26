"""Read the whole content of a gallery, write it into another store, merge two galleries.

Merging decides nothing silently: where the two differ is listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from embedder.errors import GalleryError, UsageError
from enroll.store import NewPerson, Store, Terms, check_model
from enroll.store.base import Changed
from enroll.templates import NewTemplate, as_new

_TRIES = 3  # to read while others enroll

SameName = Literal["refuse", "join", "skip"]


@dataclass(frozen=True, eq=False)
class PersonRecord:
    """Holds a person of a gallery with all templates.

    Attributes:
        name: as it is stored.
        terms: consent and last day.
        templates: at least one.
    """

    name: str
    terms: Terms
    templates: tuple[NewTemplate, ...]


@dataclass(frozen=True, eq=False)
class GallerySnapshot:
    """Holds the whole content of a gallery.

    Attributes:
        model: fingerprint and vector length, None in a gallery that has never held anyone.
        people: sorted by name.
        strangers: photos of people who are not to be named, each with the name of its person.
        calibration: of exactly these people and photos, or None.
    """

    model: tuple[str, int] | None
    people: tuple[PersonRecord, ...]
    strangers: tuple[tuple[str, NewTemplate], ...] = ()
    calibration: str | None = None

    @property
    def templates(self) -> int:
        """The number of all templates of people."""
        return sum(len(person.templates) for person in self.people)


def read_content(store: Store) -> tuple[GallerySnapshot, Changed | None]:
    """Read the whole content of a gallery, as it was at one moment.

    Returns:
        The content, and what changed since it was calibrated, if the calibration is left out for that.

    Raises:
        GalleryError: something is broken.
        UsageError: other processes keep changing the gallery.
    """
    for _ in range(_TRIES):
        before = store.changes()
        people = tuple(
            PersonRecord(person.name, person.terms, tuple(map(as_new, store.stored(person.name))))
            for person in store.people()
        )
        strangers = tuple((name, as_new(template)) for name, template in store.stored_strangers())
        kept = store.calibration()
        if store.changes() == before:
            break
    else:
        raise UsageError(f"{store.location}: other processes keep changing it; try again when no one enrolls")
    content = GallerySnapshot(store.model(), people, strangers)
    if kept is None:
        return content, None
    calibration, changed = kept
    if changed.added or changed.removed:
        return content, changed
    return GallerySnapshot(content.model, people, strangers, calibration), None


def put_content(store: Store, content: GallerySnapshot) -> None:
    """Write content into a gallery that holds nothing else.

    An interrupted run can be repeated.

    Args:
        store: the gallery.
        content: of the other gallery.

    Raises:
        UsageError: the gallery holds someone else; nothing was changed.
        ForeignModelError: it is of another model.
        GalleryError: it cannot be written.
    """
    wanted = {person.name: {entry.digest for entry in person.templates} for person in content.people}
    strangers = {template.digest for _, template in content.strangers}
    if any(
        name not in wanted or not wanted[name].issuperset(entry.digest for entry in store.stored(name))
        for name, _ in store.identities()
    ) or not strangers.issuperset(template.digest for _, template in store.stored_strangers()):
        raise UsageError(
            f"{store.location}: expected a new gallery, got one with other people or photos; import into a "
            "new one, and `embed gallery merge` that into this one"
        )
    if content.model is None:
        return
    with store.together():
        store.bind(*content.model)
        add_people(store, content.people, content.strangers)
        if content.calibration is not None and not store.set_calibration(
            content.calibration, len(content.people), content.templates
        ):
            raise GalleryError(f"{store.location}: changed by another process; try again")


def add_people(
    store: Store, people: Sequence[PersonRecord], strangers: Sequence[tuple[str, NewTemplate]] = ()
) -> int:
    """Add people and strangers.

    What is there already changes nothing, so a run can be repeated.

    Args:
        store: the gallery.
        people: with their templates and terms.
        strangers: templates, each with the name of its person.

    Returns:
        Number of photos of people that are new.
    """
    added = sum(store.add_many([NewPerson(person.name, person.templates, person.terms) for person in people]))
    if strangers:
        store.add_strangers(strangers)
    return added


@dataclass(frozen=True)
class SharedName:
    """Holds a name that both galleries have.

    Attributes:
        name: of one person, or of two people with one name.
        here, there: number of photos in each gallery.
        same: number of photos that are in both.
        terms_differ: whether the terms differ; if the people are joined, the terms of this gallery stay.
    """

    name: str
    here: int
    there: int
    same: int
    terms_differ: bool


@dataclass(frozen=True)
class SharedPhoto:
    """Holds a photo that is one person's here and another's there.

    Attributes:
        photo: its path.
        here, there: names of the two.
    """

    photo: str
    here: str
    there: str


@dataclass(frozen=True, eq=False)
class Plan:
    """Holds what a merge would do.

    Attributes:
        names: in both galleries, with other photos there; sorted.
        photos: of a person who is to be added, but someone else's here; they are always refused.
        people: to be added.
        skipped: names that are left out.
    """

    names: tuple[SharedName, ...]
    photos: tuple[SharedPhoto, ...]
    people: tuple[PersonRecord, ...]
    skipped: tuple[str, ...]

    def refused(self, same_name: SameName) -> bool:
        """Return whether something has to be decided by the user first."""
        return bool(self.photos) or (same_name == "refuse" and bool(self.names))


def plan_merge(store: Store, other: GallerySnapshot, same_name: SameName = "refuse") -> Plan:
    """Compare two galleries; nothing is changed.

    A name is in question if the other gallery has photos under it that this one has not. Joined, the person
    keeps the terms of this gallery, unless it has none.

    Args:
        store: the gallery to merge into.
        other: content to be merged.
        same_name: what to do with people whose name is in both.

    Raises:
        ForeignModelError: the other gallery is of another model.
    """
    if other.model is not None:
        check_model(store, *other.model)
    known = {person.name: person for person in store.people()}
    owned = iter(store.owners([entry.digest for person in other.people for entry in person.templates]))
    names, photos, people, skipped = [], [], [], []
    for person in other.people:
        here = known.get(person.name)
        owners = list(islice(owned, len(person.templates)))
        terms = person.terms
        if here is not None:
            same = owners.count(person.name)
            differ = Terms() not in (here.terms, terms) and here.terms != terms
            if same < len(person.templates):
                names.append(SharedName(person.name, here.templates, len(person.templates), same, differ))
                if same_name == "skip":
                    skipped.append(person.name)
                    continue
            if here.terms != Terms():
                terms = here.terms
        people.append(PersonRecord(person.name, terms, person.templates))
        photos += [
            SharedPhoto(template.photo, owner, person.name)
            for template, owner in zip(person.templates, owners, strict=True)
            if owner not in (None, person.name)
        ]
    return Plan(tuple(names), tuple(photos), tuple(people), tuple(skipped))


def merge(store: Store, other: GallerySnapshot, plan: Plan) -> int:
    """Merge as planned, strangers too.

    Args:
        store: the gallery to merge into.
        other: the content that the plan was made for.
        plan: one that is not refused.

    Returns:
        Number of photos that are new.

    Raises:
        ForeignModelError: the galleries are of two models by now.
        PhotoConflictError: another process enrolled one of the photos under another name since.
        GalleryError: the gallery cannot be written.
    """
    if other.model is None:
        return 0
    with store.together():
        store.bind(*other.model)
        return add_people(store, plan.people, other.strangers)
