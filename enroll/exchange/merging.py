"""Two galleries of one model into one. Nothing is decided silently: what they disagree on is listed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal

from enroll.exchange.content import Content, Enrolled, add_people
from enroll.store import Store, Terms, check_model

SameName = Literal["refuse", "join", "skip"]


@dataclass(frozen=True)
class SharedName:
    """A name that both galleries have.

    Attributes:
        name: of the person, or of two people of one name.
        here, there: number of photos in each.
        same: of these, the same photos.
        terms_differ: joined, the terms of this gallery stay.
    """

    name: str
    here: int
    there: int
    same: int
    terms_differ: bool


@dataclass(frozen=True)
class SharedPhoto:
    """A photo that is one person's here and another's there."""

    photo: str
    here: str
    there: str


@dataclass(frozen=True, eq=False)
class Plan:
    """What merging would do.

    Attributes:
        names: in both, with other photos there; sorted.
        photos: of a person who is to be added, but someone else's here; they are always refused.
        people: to be added.
        skipped: names that are left out.
    """

    names: tuple[SharedName, ...]
    photos: tuple[SharedPhoto, ...]
    people: tuple[Enrolled, ...]
    skipped: tuple[str, ...]

    def refused(self, same_name: SameName) -> bool:
        """Say whether there is something only a person can decide."""
        return bool(self.photos) or (same_name == "refuse" and bool(self.names))


def plan_merge(store: Store, other: Content, same_name: SameName = "refuse") -> Plan:
    """Compare two galleries; nothing is changed.

    A name is in question if the other gallery has photos under it that this one has not. Joined, the person
    keeps the terms of this gallery, unless it has none.

    Args:
        store: the gallery to merge into.
        other: what is to be merged.
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
        people.append(Enrolled(person.name, terms, person.templates))
        photos += [
            SharedPhoto(template.photo, owner, person.name)
            for template, owner in zip(person.templates, owners, strict=True)
            if owner not in (None, person.name)
        ]
    return Plan(tuple(names), tuple(photos), tuple(people), tuple(skipped))


def merge(store: Store, other: Content, plan: Plan) -> int:
    """Do what was planned, strangers too.

    Args:
        store: the gallery to merge into.
        other: what the plan was made for.
        plan: not refused.

    Returns:
        How many photos are new.

    Raises:
        ForeignModelError: the galleries are of two models by now.
        PhotoConflictError: someone enrolled one of the photos under another name meanwhile.
        GalleryError: the gallery cannot be written.
    """
    if other.model is None:
        return 0
    with store.together():
        store.bind(*other.model)
        return add_people(store, plan.people, other.strangers)
