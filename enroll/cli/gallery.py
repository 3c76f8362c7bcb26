"""Run `embed gallery`: list, show, rename and remove people, their terms, purge, log, keys.

None of these commands needs a model.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder._internal.wording import count
from embedder.errors import UsageError
from enroll.cli.options import (
    DEFAULT_GALLERY,
    Consent,
    ConsentDate,
    Expires,
    GalleryFile,
    given_terms,
)
from enroll.cli.output import answer, tell
from enroll.cli.terminal import printable, safe, show_notes

if TYPE_CHECKING:
    from enroll.store import Person, Terms
    from enroll.templates import StoredTemplate


def list_people(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """List the people and how many photos each has."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        people = store.identities()
    answer(
        {"people": [{"name": name, "photos": photos} for name, photos in people]},
        *(f"{printable(name)} ({count(photos, 'photo')})" for name, photos in people),
    )


def remove(name: str, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase a person and all their templates."""
    from enroll.gallery.gallery import checked_name
    from enroll.store import open_store

    with open_store(gallery) as store:
        name = checked_name(name)
        photos = store.remove(name)
    tell(f"removed {printable(name)} ({count(photos, 'photo')})", "removed", person=name, photos=photos)


def remove_strangers(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase the photos that `embed enroll --strangers` kept."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        photos = store.remove_strangers()
    tell(f"removed {count(photos, 'photo')} of strangers", "removed strangers", photos=photos)


def rename(old: str, new: str, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Give a person another name; `merge-people` joins two names."""
    from embedder.names import name_notes
    from enroll.gallery.gallery import checked_name
    from enroll.store import open_store

    with open_store(gallery) as store:
        old, new = checked_name(old), checked_name(new)
        others = [name for name, _ in store.identities() if name != old]
        store.rename(old, new)
    show_notes(name_notes([new], others))
    tell(f"renamed {printable(old)} to {printable(new)}", "renamed", person=new, before=old)


def merge_people(
    kept: Annotated[str, typer.Argument(help="The name that stays.", show_default=False)],
    other: Annotated[
        str, typer.Argument(help="The name that goes; its photos become the first's.", show_default=False)
    ],
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Join two names that are one person; the terms of the first stay, and the earlier last day."""
    from enroll.gallery.gallery import checked_name
    from enroll.store import open_store

    with open_store(gallery) as store:
        kept, other = checked_name(kept), checked_name(other)
        before = {person.name: person.terms for person in store.people()}
        photos = store.merge_people(kept, other)
        after = next(person.terms for person in store.people() if person.name == kept)
    line = f"{printable(kept)} has {count(photos, 'photo')} more, those of {printable(other)}"
    tell(line, "merged people", person=kept, other=other, photos=photos)
    if len({before[kept], before[other], after}) > 1:
        terms = ", ".join(" ".join(entry) for entry in _describe(after)) or "no terms"
        show_notes([f"their terms differed; now: {terms}"])


def show(
    name: str,
    gallery: GalleryFile = DEFAULT_GALLERY,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with the vectors.")] = False,
) -> None:
    """Show all that is stored about a person."""
    from enroll.gallery.gallery import checked_name
    from enroll.store import open_store

    name = checked_name(name)
    with open_store(gallery) as store:
        templates = store.stored(name)
        person = next(entry for entry in store.people() if entry.name == name)
    if as_json:
        print(json.dumps(_as_json(person, templates)))
        return
    print(f"{printable(name)} ({count(len(templates), 'photo')})")
    for word, value in _describe(person.terms):
        print(f"  {word}: {printable(value)}")
    for template in templates:
        print(f"  photo {template.id}: {printable(template.photo)}, SHA-256 {template.digest.hex()}")
    print("  and a vector of each photo: --json shows them")


def _as_json(person: Person, templates: list[StoredTemplate]) -> dict[str, object]:
    return {
        "name": person.name,
        **_terms_facts(person.terms),
        "photos": [
            {
                "id": template.id,
                "photo": template.photo,
                "sha256": template.digest.hex(),
                "vector": [float(number) for number in template.vector],
            }
            for template in templates
        ],
    }


def _terms_facts(terms: Terms) -> dict[str, str | None]:
    words = dict(_describe(terms))
    return {name: words.get(name.replace("_", " ")) for name in ("consent", "consent_date", "expires")}


def _describe(terms: Terms) -> list[tuple[str, str]]:
    given = (("consent", terms.consent), ("consent date", terms.consent_date), ("expires", terms.expires))
    return [(word, str(value)) for word, value in given if value is not None]


def change_terms(
    name: str,
    consent: Consent = None,
    consent_date: ConsentDate = None,
    expires: Expires = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget those there are first.")] = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Say on what terms a person is in the gallery; what is not given stays as it is."""
    from enroll.gallery.gallery import checked_name
    from enroll.store import Terms, open_store

    given = given_terms(consent, consent_date, expires, over=True)
    if given is None and not clear:
        raise UsageError("terms: expected --consent, --consent-date, --expires or --clear, got none of them")
    given, name = given or Terms(), checked_name(name)
    with open_store(gallery) as store:
        there = next((person.terms for person in store.people() if person.name == name), Terms())
        if clear:
            there = Terms()
        terms = Terms(
            given.consent or there.consent,
            given.consent_date or there.consent_date,
            given.expires or there.expires,
        )
        store.set_terms(name, terms)
    words = ", ".join(" ".join(entry) for entry in _describe(terms)) or "no terms"
    tell(printable(f"{name}: {words}"), "changed terms", person=name, **_terms_facts(terms))
    if given.expires is not None and given.expires < date.today():
        show_notes(["this day is over: they are not named any more, and `embed gallery purge` erases them"])


def purge(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase everyone whose last day is over, and faces of a photo library that nobody has named in time."""
    from enroll.store import open_store
    from enroll.store.sqlite.store import SqliteStore

    with open_store(gallery) as store:
        today = date.today()
        names = store.purge(today)
        faces = store.library().purge(today) if isinstance(store, SqliteStore) else 0
    for name in names:
        tell(f"purged {printable(name)}", "purged", person=name)
    if faces:
        tell(f"purged {count(faces, 'face')} of unknown people", "purged faces", faces=faces)
    if not names and not faces:
        tell("no one has expired", "nothing")


def log(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """List what was done, when and to whom; people are numbers, since names may be erased."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        events = list(store.events())
    lines = []
    for event in events:
        whom = "" if event.subject is None else f", person {event.subject}"
        photos = f", {count(event.count, 'photo')}" if event.count else ""
        lines.append(f"{event.at} {event.action}{whom}{photos}")
    facts = [
        {"at": event.at, "action": event.action, "person": event.subject, "photos": event.count}
        for event in events
    ]
    answer({"events": facts}, *lines)


def new_key(file: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)]) -> None:
    """Make a key for encrypted galleries. Whoever loses it loses them: keep a copy elsewhere."""
    from enroll.store.keys import write_new_key

    write_new_key(file)
    line = f"wrote a new key to {safe(file)}; keep a copy where the gallery is not"
    tell(line, "wrote key", file=str(file))


def encrypt(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Encrypt a plain gallery with the key that `embed --key FILE` or the environment gives."""
    from enroll.store import open_store
    from enroll.store.keys import key_from_environment
    from enroll.store.milvus.address import is_milvus
    from enroll.store.sqlite.encryption import keys_path
    from enroll.store.sqlite.store import SqliteStore

    key = key_from_environment()
    if key is None:
        raise UsageError("encrypt: expected a key, got none; `embed --key FILE gallery encrypt`")
    if is_milvus(gallery):
        open_store(gallery, key=key)  # raises the error that says why
    with SqliteStore(gallery) as store:
        store.encrypt(key)
    keys = safe(keys_path(Path(gallery)))
    line = f"encrypted {safe(gallery)}; the keys of its people are in {keys}: back up the two apart"
    tell(line, "encrypted", gallery=str(gallery), keys=str(keys_path(Path(gallery))))


def drop_unreadable(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase the people of an encrypted backup who were erased since it was made, so that it can be used."""
    from enroll.store import open_store
    from enroll.store.sqlite.store import SqliteStore

    with open_store(gallery) as store:
        if not isinstance(store, SqliteStore):
            raise UsageError(
                f"drop-unreadable: expected an encrypted gallery, got {printable(store.location)}"
            )
        people = store.forget_keyless()
    tell(f"erased {count(people, 'person')} whose key was gone", "erased keyless", people=people)


def remove_photo(
    name: str,
    photo: Annotated[
        str, typer.Argument(help="Its path as it was enrolled, or the beginning of its SHA-256.")
    ],
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Erase one photo of a person; without another one, the person too."""
    from enroll.gallery.gallery import checked_name
    from enroll.gallery.photos import find_photo
    from enroll.gallery.places import home_of
    from enroll.store import open_store

    with open_store(gallery) as store:
        name = checked_name(name)
        stored = store.stored(name)
        template = find_photo(name, stored, photo, home_of(store))
        store.drop([template.id])
    gone = "; no photo is left, so the person was removed" if len(stored) == 1 else ""
    line = f"removed {printable(template.photo)} of {printable(name)}{gone}"
    tell(line, "removed", person=name, photo=template.photo, photos=len(stored) - 1)
