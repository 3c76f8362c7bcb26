"""`embed gallery export`, `import` and `merge`: galleries into files and into each other."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder.cli import Force, printable
from embedder.errors import UsageError
from embedder.wording import count
from enroll.gallery_cli import DEFAULT_GALLERY, GalleryFile

if TYPE_CHECKING:
    from enroll.exchange.content import Content
    from enroll.exchange.merging import Plan

transfer_commands = typer.Typer()

_STREAM = "-"


class SameName(StrEnum):
    """What to do with people whose name is in both galleries."""

    REFUSE = "refuse"
    JOIN = "join"
    SKIP = "skip"


@transfer_commands.command("export")
def export_gallery(
    file: Annotated[str, typer.Argument(help="File to write, - for standard output.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
    force: Force = False,
) -> None:
    """Write all that a gallery holds into one file, in an open format."""
    from embedder.outputs import Inputs, check_output, write_output
    from enroll.exchange.content import read_content
    from enroll.exchange.parsing import to_importable
    from enroll.store import gallery_files, open_store, without_password

    path, inputs = None if file == _STREAM else Path(file), Inputs(galleries=gallery_files(gallery))
    if path is not None:
        check_output(path, inputs, force)
    with open_store(gallery) as store:
        content, changed = read_content(store)
    data = to_importable(content, without_password(gallery))
    if path is not None:
        write_output(path, data, inputs, force, private=True)
    else:
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"exported {sizes(content)}", file=sys.stderr if path is None else sys.stdout)
    if changed is not None:
        print("The calibration is of before people came or went, so it was left out", file=sys.stderr)
    print(
        "The export is as sensitive as the photos: whoever has it can find these people in other pictures. "
        "It is not encrypted, and removing someone from the gallery does not remove them from it",
        file=sys.stderr,
    )


@transfer_commands.command("import")
def import_gallery(
    file: Annotated[str, typer.Argument(help="An export, - for standard input.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Make a gallery of what `embed gallery export` wrote."""
    from enroll.exchange.content import put_content
    from enroll.exchange.parsing import from_lines, read_lines
    from enroll.store import open_store

    if file == _STREAM:
        content = from_lines(read_lines(sys.stdin.buffer), "standard input")
    else:
        try:
            if Path(file).exists() and not Path(file).is_file():  # a pipe would wait for ever
                raise UsageError(f"{file}: expected a file, got a folder, pipe or device; - reads a pipe")
            with Path(file).open("rb") as opened:
                content = from_lines(read_lines(opened), file)
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    with open_store(gallery, create=True) as store:
        put_content(store, content)
    print(f"imported {sizes(content)}")


@transfer_commands.command("merge")
def merge_gallery(
    other: Annotated[str, typer.Argument(help="The gallery whose people are added.", show_default=False)],
    gallery: GalleryFile = DEFAULT_GALLERY,
    same_name: Annotated[
        SameName,
        typer.Option(help="People whose name is in both: one person (join), or left out (skip)."),
    ] = SameName.REFUSE,
) -> None:
    """Add the people of another gallery to this one; the other one stays as it is."""
    from enroll.exchange.content import read_content
    from enroll.exchange.merging import merge, plan_merge
    from enroll.store import open_store, without_password

    # One key for both: that of the one which is encrypted, or of both.
    with open_store(gallery, plain_too=True) as store:
        with open_store(other, plain_too=True) as opened:
            content, _ = read_content(opened)
            if getattr(opened, "encrypted", False) and not getattr(store, "encrypted", False):
                print(
                    f"{printable(store.location)}: is not encrypted, so the people of {printable(other)} "
                    "can be read there without a key",
                    file=sys.stderr,
                )
        plan = plan_merge(store, content, same_name.value)
        _show_plan(plan, same_name)
        if plan.refused(same_name.value):
            raise UsageError(
                f"{without_password(other)}: not merged, nothing was changed; decide about the conflicts "
                "above"
            )
        added = merge(store, content, plan)
    print(f"merged {count(len(plan.people), 'person')}, {count(added, 'new photo')}")


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


def sizes(content: Content) -> str:
    """Say how much is in a gallery."""
    strangers = f", {count(len(content.strangers), 'photo')} of strangers" if content.strangers else ""
    return f"{count(len(content.people), 'person')}, {count(content.templates, 'photo')}{strangers}"
