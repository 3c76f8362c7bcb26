"""`embed gallery verify`, `doctor`, `drop` and `re-embed`: the life of a gallery."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from embedder.cli import DEFAULT_MODEL, UNUSABLE_IMAGES, Model, TerminalProgress, printable
from embedder.errors import UsageError
from embedder.wording import count
from enroll.gallery_cli import DEFAULT_GALLERY, GalleryFile
from enroll.transfer_cli import sizes

life_commands = typer.Typer()


@life_commands.command()
def verify(
    gallery: GalleryFile = DEFAULT_GALLERY,
    photos: Annotated[
        bool, typer.Option("--photos", help="Check also that the photos' files are still the same.")
    ] = False,
) -> None:
    """Read and check everything that a gallery holds."""
    from enroll.photo_files import MISSING, PhotoFiles
    from enroll.store import open_store

    with open_store(gallery) as store:
        store.verify()
        people, strangers = store.identities(), len(store.strangers().ids)
        total = sum(templates for _, templates in people)
        print(
            f"{printable(store.location)}: OK; {count(len(people), 'person')}, {count(total, 'photo')}, "
            f"{strangers} of strangers: every checksum and every vector was read and is right"
        )
        if not photos:
            return
        files, missing, changed = PhotoFiles(), 0, []
        with TerminalProgress().bar("Checking", len(people)) as advance:
            for name, _ in people:
                for template in store.stored(name):
                    outcome = files.read(template)
                    missing += outcome == MISSING
                    if isinstance(outcome, str) and outcome != MISSING:
                        changed.append(f"{name}: {template.photo}: {outcome}")
                advance()
    same = total - missing - len(changed)
    print(f"photos' files: {same} the same, {len(changed)} changed or unreadable, {missing} gone")
    for line in changed:
        print(f"  {printable(line)}", file=sys.stderr)
    if changed:
        raise typer.Exit(UNUSABLE_IMAGES)


@life_commands.command("re-embed")
def re_embed(
    photos: Annotated[
        Path | None,
        typer.Argument(help="Folder to look in for photos that were moved.", show_default=False),
    ] = None,
    model: Model = DEFAULT_MODEL,
    gallery: GalleryFile = DEFAULT_GALLERY,
    to: Annotated[
        str | None, typer.Option(help="Gallery to make instead of replacing this one.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Go on without people who lose all photos.")] = False,
) -> None:
    """Make a gallery anew from its photos with another model; names and terms stay."""
    from embedder.extractor import Extractor
    from enroll.exchange.anew import embed_anew, put_anew
    from enroll.exchange.content import put_content, read_content
    from enroll.store import gallery_exists, open_store, without_password

    if to is not None and gallery_exists(to):
        with open_store(to, create=True) as made:  # one that a full disk left empty will do
            if made.identities() or len(made.strangers().ids):
                raise UsageError(f"--to {without_password(to)}: is already there; give a new one")
    extractor = Extractor.load(model)
    with open_store(gallery) as store:
        since = store.changes()
        content, _ = read_content(store)
        had_calibration = store.calibration() is not None
        remade = embed_anew(content, extractor, photos, TerminalProgress())
        for lost in remade.lost:
            print(f"{printable(lost.person)}: {printable(lost.photo)}: {lost.reason}", file=sys.stderr)
        if remade.gone and not force:
            raise UsageError(
                f"{store.location}: not changed, since no photo would be left of {', '.join(remade.gone)}; "
                "give the folder their photos are in now, or --force to go on without them"
            )
        if to is None:
            put_anew(store, remade.content, since)
    if to is not None:
        with open_store(to, create=True) as made:
            put_content(made, remade.content)
    print(f"embedded anew {sizes(remade.content)}, in {printable(without_password(to or gallery))}")
    if had_calibration:
        print("The calibration was of the other model; run `embed calibrate`", file=sys.stderr)
    if remade.lost:
        raise typer.Exit(UNUSABLE_IMAGES)


@life_commands.command()
def doctor(
    gallery: GalleryFile = DEFAULT_GALLERY,
    photos: Annotated[
        bool,
        typer.Option("--photos", help="Look at the photos, too, for poor ones; takes the gallery's model."),
    ] = False,
    model: Model = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Find wrong photos, double names, people who are easily confused, and the FPIR to expect."""
    from embedder.extractor import Extractor
    from enroll.doctor.examine import examine
    from enroll.doctor.poor import find_poor
    from enroll.doctor.words import Words
    from enroll.store import check_model, open_store, without_password

    progress = TerminalProgress()
    with open_store(gallery) as store:
        poor = None
        if photos:
            extractor = Extractor.load(model)
            check_model(store, extractor.fingerprint, extractor.dim)
            poor = find_poor(store, extractor, progress)
        shown = None if gallery == DEFAULT_GALLERY else without_password(gallery)
        words = Words(store, examine(store, progress), poor, shown)
    for line in [words.to_json()] if as_json else map(printable, words.lines()):
        print(line)


@life_commands.command()
def drop(
    name: str,
    photo: Annotated[
        str, typer.Argument(help="Its path as it was enrolled, or the beginning of its SHA-256.")
    ],
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Erase one photo of a person; without another one, the person too."""
    from enroll.doctor.handles import chosen
    from enroll.gallery import checked_name
    from enroll.store import open_store

    with open_store(gallery) as store:
        name = checked_name(name)
        stored = store.stored(name)
        template = chosen(name, stored, photo)
        store.drop([template.id])
    gone = "; no photo is left, so the person was removed" if len(stored) == 1 else ""
    print(f"dropped {printable(template.photo)} of {printable(name)}{gone}")
