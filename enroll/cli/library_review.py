"""Run `embed library`: decide about faces, undo decisions, list them.

Faces are called f12, groups g7: `embed library groups` and `embed library suggestions` list them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from embedder._internal.wording import count
from embedder.errors import UsageError
from enroll.cli.library import AsJson, film_facts, opened
from enroll.cli.options import DEFAULT_GALLERY, Consent, ConsentDate, Expires, GalleryFile, given_terms
from enroll.cli.output import tell
from enroll.cli.terminal import printable

if TYPE_CHECKING:
    from enroll.library.people import Library

_CALLED = re.compile(r"([fg]?)(\d{1,18})")

Targets = Annotated[list[str], typer.Argument(help="Faces and groups, such as f12 g7.", show_default=False)]
Except = Annotated[
    list[str] | None,
    typer.Option("--except", help="Faces of the groups that are left out.", show_default=False),
]


def chosen_faces(
    library: Library, targets: Sequence[str], left_out: Sequence[str] | None = None
) -> list[int]:
    """Return the numbers of the faces that some words name.

    Raises:
        UsageError: a word is no face and no group, or there is none of that number.
    """
    members: dict[int, tuple[int, ...]] = {}
    if any(word.startswith("g") for word in targets):
        members = {group.id: group.faces for group in library.groups()}
    found: dict[int, None] = {}
    for word in targets:
        called = _CALLED.fullmatch(word.strip().lower())
        if not called:
            raise UsageError(f"{word!r}: expected a face such as f12 or a group such as g7")
        number = int(called.group(2))
        if called.group(1) == "g":
            if number not in members:
                raise UsageError(f"g{number}: no such group; `embed library groups` lists them")
            found |= dict.fromkeys(members[number])
        else:
            found[number] = None
    if left_out:
        gone = set(chosen_faces(library, left_out))
        found = {number: None for number in found if number not in gone}
    if not found:
        raise UsageError("expected faces or groups, got none")
    return list(found)


def confirm(
    name: Annotated[str, typer.Argument(help="Who they are.", show_default=False)],
    targets: Targets,
    left_out: Except = None,
    consent: Consent = None,
    consent_date: ConsentDate = None,
    expires: Expires = None,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Say who faces are; good ones become photos to recognize the person by."""
    terms = given_terms(consent, consent_date, expires)
    with opened(gallery) as library:
        faces = chosen_faces(library, targets, left_out)
        added = library.confirm(name, faces, terms)
        known = library.names[faces[0]]
        who = printable(known)
    line = f"{who}: {count(len(faces), 'face')} confirmed, {count(added, 'new photo')} to recognize them by"
    tell(line, "confirmed", person=known, faces=faces, photos=added)


def reject(
    name: Annotated[str, typer.Argument(help="Who they are not.", show_default=False)],
    targets: Targets,
    left_out: Except = None,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Say who faces are not: that name is never suggested for them again."""
    with opened(gallery) as library:
        faces = chosen_faces(library, targets, left_out)
        library.reject(name, faces)
    tell(f"{count(len(faces), 'face')}: not {printable(name)}", "rejected", person=name, faces=faces)


def ignore(targets: Targets, left_out: Except = None, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Leave strangers out of groups and suggestions; `embed library unknown` takes them back."""
    _mark("ignore", targets, left_out, gallery, "ignored")


def not_a_face(targets: Targets, left_out: Except = None, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Say that these are no faces; a new scan does not bring them back."""
    _mark("not-a-face", targets, left_out, gallery, "not faces")


def unknown(targets: Targets, left_out: Except = None, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Take a name, or that they are ignored, away from faces."""
    _mark("unknown", targets, left_out, gallery, "unknown again")


def _mark(
    action: str, targets: Sequence[str], left_out: Sequence[str] | None, gallery: str, said: str
) -> None:
    with opened(gallery) as library:
        faces = chosen_faces(library, targets, left_out)
        library.mark(action, faces)
    tell(f"{count(len(faces), 'face')}: {said}", said, faces=faces)


def merge(
    one: Annotated[str, typer.Argument(help="A group, or the name that stays.", show_default=False)],
    other: Annotated[str, typer.Argument(help="Another group, or the name that goes.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Join two groups, or two names, that are one person."""
    with opened(gallery) as library:
        if _CALLED.fullmatch(one) and _CALLED.fullmatch(other):
            faces = chosen_faces(library, [one, other])
            library.join(faces)
            line = f"{one} and {other} are one person: {count(len(faces), 'face')}"
            tell(f"{line}; `embed library groups` lists them together", "joined", faces=faces)
        else:
            moved = library.merge(one, other)
            line = f"{printable(one)} has {count(moved, 'photo')} more, those of {printable(other)}"
            tell(line, "merged people", person=one, other=other, photos=moved)


def split(
    whole: Annotated[str, typer.Argument(help="A group, or a name.", show_default=False)],
    targets: Targets,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Take faces out of a group, or from a person: they are never put together again."""
    with opened(gallery) as library:
        faces = chosen_faces(library, targets)
        called = _CALLED.fullmatch(whole)
        if called and called.group(1) == "g":
            rest = [number for number in chosen_faces(library, [whole]) if number not in faces]
            if not rest or not set(faces) <= set(chosen_faces(library, [whole])):
                raise UsageError(f"split: expected some, not all, of the faces of {whole}")
            library.part(faces, rest)
        else:
            wrong = [number for number in faces if library.names.get(number) != whole]
            if wrong:
                raise UsageError(f"f{wrong[0]}: is not confirmed as {whole}; see `embed library faces`")
            library.reject(whole, faces)
        tell(
            f"{count(len(faces), 'face')} taken out of {printable(whole)}", "split", whole=whole, faces=faces
        )


def undo(
    steps: Annotated[int, typer.Option(min=1, help="How many steps.")] = 1,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Take the last decision back; again, the one before it."""
    with opened(gallery) as library:
        for _ in range(steps):
            done = library.undo()
            if done is None:
                tell("nothing is left to undo", "nothing")
                return
            tell(printable(f"undone: {done}"), "undone", what=done)


def history(
    as_json: AsJson = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """List the decisions that can be undone, the last one first."""
    with opened(gallery) as library:
        steps = [
            {"step": step.number, "at": step.content.get("at"), "what": library.describe(step)}
            for step in reversed(library.reviewed.open)
        ]
    if as_json:
        print(json.dumps({"steps": steps}))
        return
    for step in steps:
        print(printable(f"{step['at'] or ''} {step['what']}".strip()))


def faces(
    state: Annotated[
        str | None,
        typer.Option(
            help="unseen, probably-ignored, confirmed, ignored or not-a-face.", show_default="all of them"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of one person.", show_default=False)] = None,
    as_json: AsJson = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """List faces and what was decided about them."""
    from enroll.library.review import State

    states = get_args(State)
    if state is not None and state not in states:
        raise UsageError(f"--state: expected {', '.join(states)}, got {state!r}")
    with opened(gallery) as library:
        people = library.people()
        listed = [
            {
                "face": number,
                "photo": str(library.path(face)),
                "box": list(face.box),
                "state": library.state(number),
                "like": library.probably_ignored().get(number),
                "name": library.names.get(number),
                "source": library.reviewed.sources.get(number),
                "not": sorted(people[p] for p in library.reviewed.refused.get(number, ()) if p in people),
                "poor": library.quality_problem(face),
                "keep_until": None if face.expires is None else face.expires.isoformat(),
                **film_facts(face),
            }
            for number, face in library.faces.items()
            if state in (None, library.state(number)) and name in (None, library.names.get(number))
        ]
    if as_json:
        print(json.dumps({"faces": listed}))
        return
    for one in listed:
        print(printable(f"f{one['face']} {one['name'] or one['state']} {one['photo']}"))


def forget(
    everything: Annotated[
        bool, typer.Option("--everything", help="Needed: erase all that is known of the library.")
    ] = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Erase all that is known of the photo library; enrolled people stay."""
    if not everything:
        raise UsageError("forget: expected --everything, which erases all photos, faces and decisions")
    with opened(gallery) as library:
        photos, known = library.rows.erase_all()
    line = f"erased {count(photos, 'photo')} and {count(known, 'face')}"
    tell(line, "erased library", photos=photos, faces=known)
