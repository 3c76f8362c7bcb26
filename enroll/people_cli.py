"""`embed gallery show, terms, purge, log`: what is stored about people, and for how long."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from embedder.cli import printable
from embedder.errors import UsageError
from embedder.wording import count
from enroll.gallery_cli import DEFAULT_GALLERY, GalleryFile

if TYPE_CHECKING:
    from enroll.store import Person, StoredTemplate, Terms

people_commands = typer.Typer()

_DAY = ["%Y-%m-%d"]

Consent = Annotated[
    str | None, typer.Option(help="Where their consent is kept, such as a file number.", show_default=False)
]
ConsentDate = Annotated[
    datetime | None, typer.Option(formats=_DAY, help="When it was given.", show_default=False)
]
Expires = Annotated[
    datetime | None,
    typer.Option(formats=_DAY, help="The last day on which they are identified.", show_default=False),
]


def given_terms(consent: str | None, consent_date: datetime | None, expires: datetime | None) -> Terms | None:
    """Give the terms of the three options, None if none is given."""
    from enroll.store import Terms
    from enroll.store.limits import terms_problem

    if consent is not None and not consent.strip():
        raise UsageError("--consent: expected where it is kept, got nothing")
    terms = Terms(consent, _day(consent_date), _day(expires))
    if problem := terms_problem(terms):
        raise UsageError(f"--{problem}")
    return None if terms == Terms() else terms


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


@people_commands.command()
def show(
    name: str,
    gallery: GalleryFile = DEFAULT_GALLERY,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with the vectors.")] = False,
) -> None:
    """Show all that is stored about a person."""
    from enroll.gallery import checked_name
    from enroll.store import open_store

    name = checked_name(name)
    with open_store(gallery) as store:
        templates = store.stored(name)
        person = next(entry for entry in store.people() if entry.name == name)
    if as_json:
        print(json.dumps(_as_json(person, templates), ensure_ascii=False))
        return
    print(f"{printable(name)} ({count(len(templates), 'photo')})")
    for word, value in _in_words(person.terms):
        print(f"  {word}: {printable(value)}")
    for template in templates:
        print(f"  photo {template.id}: {printable(template.photo)}, SHA-256 {template.digest.hex()}")
    print("  and a vector of each photo: --json shows them")


def _as_json(person: Person, templates: list[StoredTemplate]) -> dict[str, object]:
    words = dict(_in_words(person.terms))
    return {
        "name": person.name,
        "consent": words.get("consent"),
        "consent_date": words.get("consent date"),
        "expires": words.get("expires"),
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


def _in_words(terms: Terms) -> list[tuple[str, str]]:
    given = (("consent", terms.consent), ("consent date", terms.consent_date), ("expires", terms.expires))
    return [(word, str(value)) for word, value in given if value is not None]


@people_commands.command("terms")
def change_terms(
    name: str,
    consent: Consent = None,
    consent_date: ConsentDate = None,
    expires: Expires = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget those there are first.")] = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Say on what terms a person is in the gallery; what is not given stays as it is."""
    from enroll.gallery import checked_name
    from enroll.store import Terms, open_store

    given = given_terms(consent, consent_date, expires)
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
    words = ", ".join(" ".join(entry) for entry in _in_words(terms)) or "no terms"
    print(printable(f"{name}: {words}"))


@people_commands.command()
def purge(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase everyone whose last day is over."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        names = store.purge(date.today())
    for name in names:
        print(f"purged {printable(name)}")
    if not names:
        print("no one has expired")


@people_commands.command()
def log(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """List what was done, when and to whom; people are numbers, since names may be erased."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        for event in store.events():
            whom = "" if event.subject is None else f", person {event.subject}"
            photos = f", {count(event.count, 'photo')}" if event.count else ""
            print(f"{event.at} {event.action}{whom}{photos}")
