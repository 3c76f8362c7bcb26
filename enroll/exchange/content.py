"""What a gallery holds, in memory: read from one store, put into another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embedder.errors import GalleryError, UsageError
from enroll.store import NewPerson, NewTemplate, Store, Terms
from enroll.store.contract import Changed, StoredTemplate

_TRIES = 3  # to read while others enroll


@dataclass(frozen=True, eq=False)
class Enrolled:
    """A person of a gallery.

    Attributes:
        name: as it is stored.
        terms: on which they are in the gallery.
        templates: at least one.
    """

    name: str
    terms: Terms
    templates: tuple[NewTemplate, ...]


@dataclass(frozen=True, eq=False)
class Content:
    """All that a gallery holds.

    Attributes:
        model: fingerprint and vector length, None in a gallery that has never held anyone.
        people: sorted by name.
        strangers: photos of people who are not to be named, with the person each is of.
        calibration: of exactly these people and photos, or None.
    """

    model: tuple[str, int] | None
    people: tuple[Enrolled, ...]
    strangers: tuple[tuple[str, NewTemplate], ...] = ()
    calibration: str | None = None

    @property
    def templates(self) -> int:
        """Number of all templates of people."""
        return sum(len(person.templates) for person in self.people)


def read_content(store: Store) -> tuple[Content, Changed | None]:
    """Read all that a gallery holds, as it was at one moment.

    Returns:
        The content, and what changed since it was calibrated, if that is why the calibration is left out.

    Raises:
        GalleryError: something is broken.
        UsageError: the gallery changes all the time.
    """
    for _ in range(_TRIES):
        before = store.changes()
        people = tuple(
            Enrolled(person.name, person.terms, tuple(map(as_new, store.stored(person.name))))
            for person in store.people()
        )
        strangers = tuple((name, as_new(template)) for name, template in store.stored_strangers())
        kept = store.calibration()
        if store.changes() == before:
            break
    else:
        raise UsageError(f"{store.location}: it is changed all the time; try again when no one enrolls")
    content = Content(store.model(), people, strangers)
    if kept is None:
        return content, None
    calibration, changed = kept
    if changed.added or changed.removed:
        return content, changed
    return Content(content.model, people, strangers, calibration), None


def put_content(store: Store, content: Content) -> None:
    """Put content into a gallery that holds nothing else; one that was ended in the middle goes on.

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
    store: Store, people: Sequence[Enrolled], strangers: Sequence[tuple[str, NewTemplate]] = ()
) -> int:
    """Add people and strangers; what is there already changes nothing, so it can be done again.

    Returns:
        How many photos of people are new.
    """
    added = sum(store.add_many([NewPerson(person.name, person.templates, person.terms) for person in people]))
    if strangers:
        store.add_strangers(strangers)
    return added


def as_new(template: StoredTemplate) -> NewTemplate:
    """Give a stored template without its id."""
    return NewTemplate(template.photo, template.digest, template.vector)
