"""`embed gallery export`, `import`, `merge` and `re-embed`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder._internal.wording import count
from embedder.errors import UsageError
from enroll.cli.options import AS_FOUND, DEFAULT_GALLERY, UNUSABLE_IMAGES, Force, GalleryFile, Model
from enroll.cli.output import note, tell
from enroll.cli.streams import is_closed, output_was_lost
from enroll.cli.terminal import TerminalProgress, printable, safe, show_notes, sizes

if TYPE_CHECKING:
    from enroll.gallery.transfer import GallerySnapshot, Plan


_STREAM = "-"


class SameName(StrEnum):
    """Lists what to do with people whose name is in both galleries."""

    REFUSE = "refuse"
    JOIN = "join"
    SKIP = "skip"


def export_gallery(
    file: Annotated[str, typer.Argument(help="File to write, - for standard output.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
    force: Force = False,
) -> None:
    """Write all that a gallery holds into one file, in an open format."""
    from embedder._internal.outputs import Inputs, check_output, write_output
    from enroll.gallery.jsonl import importable_lines
    from enroll.gallery.transfer import read_content
    from enroll.store import gallery_files, open_store, without_password

    if file == _STREAM and is_closed():
        raise UsageError("export -: expected someone to read it, but standard output is closed; name a file")
    path, inputs = None if file == _STREAM else Path(file), Inputs(galleries=gallery_files(gallery))
    if path is not None:
        check_output(path, inputs, force)
    with open_store(gallery) as store:
        content, changed = read_content(store)
    lines = importable_lines(content, without_password(gallery))
    if path is not None:
        write_output(path, lines, inputs, force, private=True)
    else:
        try:
            sys.stdout.buffer.writelines(lines)
            sys.stdout.buffer.flush()
            if output_was_lost():
                raise UsageError("export -: not all of it was read, so what was read is no whole export")
        except OSError as error:
            raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
    if path is None:
        note(f"exported {sizes(content)}")
    else:
        tell(f"exported {sizes(content)}", "exported", **_size_facts(content))
    if changed is not None:
        note("The calibration is of before people came or went, so it was left out")
    print(
        "The export is as sensitive as the photos: whoever has it can find these people in other pictures. "
        "It is not encrypted, and removing someone from the gallery does not remove them from it",
        file=sys.stderr,
    )


def import_gallery(
    file: Annotated[str, typer.Argument(help="An export, - for standard input.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Make a gallery of what `embed gallery export` wrote."""
    from embedder._internal.files import open_file
    from embedder.names import name_notes
    from enroll.gallery.jsonl import from_lines, read_lines
    from enroll.gallery.transfer import put_content
    from enroll.store import open_store

    if file == _STREAM:
        content = from_lines(read_lines(sys.stdin.buffer), "standard input")
    else:
        try:
            with open_file(file) as opened:
                content = from_lines(read_lines(opened), file)
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}; - reads a pipe") from error
    with open_store(gallery, create=True) as store:
        put_content(store, content)
    show_notes(name_notes(person.name for person in content.people))
    tell(f"imported {sizes(content)}", "imported", **_size_facts(content))


def merge_gallery(
    other: Annotated[str, typer.Argument(help="The gallery whose people are added.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
    same_name: Annotated[
        SameName,
        typer.Option(help="People whose name is in both: one person (join), or left out (skip)."),
    ] = SameName.REFUSE,
) -> None:
    """Add the people of another gallery to this one; the other one stays as it is."""
    from embedder.names import name_notes
    from enroll.gallery.places import home_of, rebased
    from enroll.gallery.transfer import merge, plan_merge, read_content
    from enroll.store import open_store, without_password

    # One key for both: that of the one which is encrypted, or of both.
    with open_store(gallery, plain_too=True) as store:
        with open_store(other, plain_too=True) as opened:
            content, _ = read_content(opened)
            content = rebased(content, home_of(opened), home_of(store))
            if getattr(opened, "encrypted", False) and not getattr(store, "encrypted", False):
                print(
                    f"{safe(store.location)}: is not encrypted, so the people of "
                    f"{printable(without_password(other))} can be read there without a key",
                    file=sys.stderr,
                )
        plan = plan_merge(store, content, same_name.value)
        _show_plan(plan, same_name)
        if plan.refused(same_name.value):
            raise UsageError(
                f"{without_password(other)}: not merged, nothing was changed; decide about the conflicts "
                "above"
            )
        known = [name for name, _ in store.identities()]
        added = merge(store, content, plan)
    show_notes(name_notes((person.name for person in plan.people), known))
    line = f"merged {count(len(plan.people), 'person')}, {count(added, 'new photo')}"
    tell(line, "merged", people=len(plan.people), photos=added)


def _size_facts(content: GallerySnapshot) -> dict[str, int]:
    return {
        "people": len(content.people),
        "photos": content.templates,
        "strangers": len(content.strangers),
    }


def _show_plan(plan: Plan, same_name: SameName) -> None:
    outcome = {
        SameName.REFUSE: "--same-name join adds {new}, skip adds none",
        SameName.JOIN: "adding {new}",
        SameName.SKIP: "left as it is here",
    }[same_name]
    for name in plan.names:
        new = count(name.there - name.same, "photo")
        terms = "; the terms of here stay" if name.terms_differ and same_name != SameName.SKIP else ""
        print(
            f"{printable(name.name)}: {count(name.here, 'photo')} here, {name.there} there, {name.same} the "
            f"same: {outcome.format(new=new)}{terms}",
            file=sys.stderr,
        )
    for photo in plan.photos:
        print(
            f"{printable(photo.photo)}: {printable(photo.here)} here, {printable(photo.there)} there; rename "
            "one of them, or drop the photo where it is wrong",
            file=sys.stderr,
        )


def re_embed(
    photos: Annotated[
        Path | None,
        typer.Argument(help="Folder to look in for photos that were moved.", show_default=False),
    ] = None,
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    to: Annotated[
        str | None, typer.Option(help="Gallery to make instead of replacing this one.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Go on without people who lose all photos.")] = False,
) -> None:
    """Rebuild a gallery from its photos with another model; names and terms stay."""
    from embedder.extractor import Extractor
    from enroll.gallery.places import home_of, rebased
    from enroll.gallery.reembed import reembed, replace_all
    from enroll.gallery.transfer import put_content, read_content
    from enroll.library.film_still import frame_at
    from enroll.store import gallery_exists, open_store, without_password

    if to is not None and gallery_exists(to):
        with open_store(to, create=True) as made:  # one that a full disk left empty will do
            if made.identities() or len(made.strangers().ids):
                raise UsageError(f"--to {without_password(to)}: is already there; give a new one")
    progress = TerminalProgress()
    extractor = Extractor.load(model, progress=progress)
    with open_store(gallery) as store:
        since = store.changes()
        content, _ = read_content(store)
        had_calibration = store.calibration() is not None
        home = home_of(store)
        remade = reembed(content, extractor, photos, progress, home, frame_at)
        for lost in remade.lost:
            print(f"{printable(lost.person)}: {printable(lost.photo)}: {lost.reason}", file=sys.stderr)
        if remade.gone and not force:
            raise UsageError(
                f"{store.location}: not changed, since no photo would be left of {', '.join(remade.gone)}; "
                "give the folder their photos are in now, or --force to go on without them"
            )
        if to is None:
            replace_all(store, remade.content, since)
    if to is not None:
        with open_store(to, create=True) as made:
            put_content(made, rebased(remade.content, home, home_of(made)))
    line = f"re-embedded {sizes(remade.content)}, in {printable(without_password(to or gallery))}"
    tell(line, "embedded again", **_size_facts(remade.content), lost=len(remade.lost))
    if had_calibration:
        note("The calibration was of the other model; run `embed calibrate`")
    if remade.lost:
        raise typer.Exit(UNUSABLE_IMAGES)
