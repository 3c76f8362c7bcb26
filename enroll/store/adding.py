"""Adds people to a gallery, inside a transaction: first what is to be written is found, then it is written.

All people together, since one by one 100,000 would take minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from embedder.errors import PhotoConflictError
from enroll.store.contract import NewPerson, NewTemplate, Terms, conflict_reason
from enroll.store.reading import Reader
from enroll.store.writing import Writer


def enroll(reader: Reader, writer: Writer, people: Sequence[NewPerson]) -> list[int]:
    """Add templates of people; see `Store.add_many`."""
    held = reader.owners(template.digest for asked in people for template in asked.templates)
    fresh = _fresh(people, {digest: one.name for digest, (_, one) in held.items() if one.enrolled})
    writer.drop([number for number, one in held.values() if not one.enrolled])  # strangers no longer
    known = reader.named(asked.name for asked in people)
    for name in [name for name, one in known.items() if not one.enrolled]:
        writer.erase(known.pop(name))
    new: dict[str, Terms] = {}
    for asked in people:
        if asked.name not in known:
            new.setdefault(asked.name, asked.terms or Terms())
    known |= writer.enter(new, enrolled=True)
    events, put = [], []
    for asked, templates in zip(people, fresh, strict=True):
        someone = known[asked.name]
        if asked.terms is not None and asked.terms != someone.terms:
            known[asked.name] = writer.rewrite(someone, someone.name, asked.terms)
            events.append(("terms", someone.id, 0))
        if templates:
            put += [(someone.id, template) for template in templates]
            events.append(("enroll", someone.id, len(templates)))
    writer.put(put)
    writer.log(*events)
    return list(map(len, fresh))


def _fresh(people: Sequence[NewPerson], owners: dict[bytes, str]) -> list[list[NewTemplate]]:
    """Give each one's templates that are new.

    Raises:
        PhotoConflictError: another person has one.
    """
    fresh = []
    for asked in people:
        theirs = []
        for template in asked.templates:
            owner = owners.get(template.digest)
            if owner is None:
                owners[template.digest] = asked.name
                theirs.append(template)
            elif owner != asked.name:
                raise PhotoConflictError(template.photo, conflict_reason(owner), template.digest)
        fresh.append(theirs)
    return fresh


def keep_strangers(reader: Reader, writer: Writer, people: Sequence[tuple[str, NewTemplate]]) -> int:
    """Add photos of strangers; see `Store.add_strangers`."""
    known = reader.named(name for name, _ in people)
    taken = {*reader.owners(template.digest for _, template in people)}
    fresh = []
    for name, template in people:
        if template.digest not in taken and (name not in known or not known[name].enrolled):
            taken.add(template.digest)
            fresh.append((name, template))
    known |= writer.enter({name: Terms() for name, _ in fresh if name not in known}, enrolled=False)
    writer.put([(known[name].id, template) for name, template in fresh])
    if fresh:
        writer.log(("strangers", None, len(fresh)))
    return len(fresh)


def remake(
    reader: Reader, writer: Writer, model: tuple[str, int], templates: Sequence[tuple[str, NewTemplate]]
) -> None:
    """Replace all templates by those of another model; see `Store.remake`."""
    known = {one.name: one for one in reader.everyone()}
    kept = {name for name, _ in templates}
    for one in known.values():
        if one.name not in kept:
            writer.log(("remove", one.id, writer.erase(one)))
    writer.clear()
    writer.bind(*model)
    writer.put((known[name].id, template) for name, template in templates)
    writer.log(("re-embed", None, len(templates)))
