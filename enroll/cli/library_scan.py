"""Run `embed library scan`: find every face of photos and films once."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder._internal.wording import count
from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.library import show_failures
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    DEFAULT_MAX_PIXELS,
    FILMS,
    UNUSABLE_IMAGES,
    AnyRotation,
    Cluster,
    Fps,
    GalleryFile,
    MaxPixels,
    MaxTime,
    MinFace,
    Model,
    SendPhotos,
    load_extractor,
    looking_elsewhere,
)
from enroll.cli.output import note, tell
from enroll.cli.terminal import TerminalProgress, safe
from enroll.config import FilmConfig

if TYPE_CHECKING:
    from enroll.library.scanned import Scanned


KeepUnknown = Annotated[
    str,
    typer.Option(
        help="Days for which faces are kept that nobody names, such as 90d, or forever; "
        "`embed gallery purge` erases them then."
    ),
]


def days_of(text: str) -> int | None:
    """Parse the days of an option such as 90d; None for ever.

    Raises:
        UsageError: it is something else.
    """
    if text.strip().lower() == "forever":
        return None
    found = re.fullmatch(r"(\d{1,5})\s*d?", text.strip().lower())
    if not found:
        raise UsageError(f"--keep-unknown: expected days, such as 90d, or forever, got {text!r}")
    return int(found.group(1))


def scan(
    folders: Annotated[list[Path], typer.Argument(help="Folders, photos or films.", show_default=False)],
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    keep_unknown: KeepUnknown = "90d",
    again: Annotated[bool, typer.Option("--again", help="Look also at what is known.")] = False,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    films: Annotated[
        bool, typer.Option("--films/--no-films", help="Look through films, too.", rich_help_panel=FILMS)
    ] = True,
    fps: Fps = FilmConfig.fps,
    max_duration: Annotated[
        float, typer.Option(help="Seconds of a film that are looked at.", rich_help_panel=FILMS)
    ] = FilmConfig.max_duration,
    max_time: MaxTime = FilmConfig.max_time,
    cluster: Cluster = None,
    send_photos: SendPhotos = False,
) -> None:
    """Find every face of a photo library once; a second scan looks only at what is new or changed."""
    from enroll.gallery.places import home_of
    from enroll.library.people import library_of
    from enroll.library.scan import Scanner
    from enroll.store import open_store

    days = days_of(keep_unknown)
    film_config = FilmConfig(fps=fps, max_duration=max_duration, max_time=max_time)
    missing = [folder for folder in folders if not folder.exists()]
    if missing:
        raise UsageError(f"{missing[0]}: expected a folder of photos, there is none; is its disk connected?")
    extractor = load_extractor(model, any_rotation, min_face)
    failed = False
    with (
        open_store(gallery, create=True) as store,
        looking_elsewhere(cluster, send_photos, extractor, folders) as elsewhere,
    ):
        store.bind(extractor.fingerprint, extractor.dim)
        library = library_of(store)
        looked_through = film_config if films else None
        scanner = Scanner(library, extractor, home_of(store), days, films=looked_through, elsewhere=elsewhere)
        for folder in folders:
            done = scanner.scan(folder, again, TerminalProgress())
            _show_scanned(folder, done)
            failed = failed or bool(done.rejected)
        waiting, today = len(library.faces()) - len(library.names()), date.today()
        if waiting and days is not None:
            until = today + timedelta(days)
            line = f"faces that nobody names are kept until {until} (--keep-unknown)"
            tell(f"{line}; then `embed gallery purge`", "kept", faces=waiting, until=str(until))
        if expired := library.expired(today):
            line = f"{count(expired, 'face')} past their last day: `embed gallery purge` erases them"
            tell(line, "expired", faces=expired)
    if failed:
        raise typer.Exit(UNUSABLE_IMAGES)


def _show_scanned(folder: Path, done: Scanned) -> None:
    known = [
        f"{done.unchanged} known" if done.unchanged else "",
        f"{done.moved} moved or copied" if done.moved else "",
        f"{done.forgotten} erased before, left alone" if done.forgotten else "",
        f"{done.gone} not there any more" if done.gone else "",
    ]
    films = f" and {count(done.films, 'film')}" if done.films else ""
    notes = ", ".join(filter(None, known))
    counted = ("photos", "films", "looked", "unchanged", "moved", "forgotten", "gone", "faces")
    tell(
        f"{safe(folder)}: {count(done.photos, 'photo')}{films}, {done.looked} looked at"
        f"{f', {notes}' if notes else ''}; {count(done.faces, 'new face')}",
        "scanned",
        folder=str(folder),
        **{name: getattr(done, name) for name in counted},
    )
    if done.others:
        others = ", ".join(f"{number} {kind}" for kind, number in sorted(done.others.items()))
        note(f"passed over: {others}")
    show_failures(done.rejected)
