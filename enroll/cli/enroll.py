"""`embed enroll`."""

from __future__ import annotations

from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder._internal.wording import count, shell_words
from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    DEFAULT_MAX_PIXELS,
    UNUSABLE_IMAGES,
    AnyRotation,
    Cluster,
    Consent,
    ConsentDate,
    Expires,
    GalleryFile,
    LowQuality,
    MaxPixels,
    MinFace,
    Model,
    Preview,
    SendPhotos,
    given_terms,
    load_extractor,
    looking_elsewhere,
    model_files,
)
from enroll.cli.output import note, tell
from enroll.cli.standard_input import read_given
from enroll.cli.terminal import (
    TerminalProgress,
    printable,
    safe,
    show_copies,
    show_crowded,
    show_missing_letters,
    show_notes,
    show_passed,
    show_rejected,
)

if TYPE_CHECKING:
    from embedder.copies import Copy
    from embedder.extractor import Extractor
    from embedder.images import Photo
    from enroll.gallery.enrollment import Replaced


def enroll(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(help="PEOPLE_FOLDER, or photos of --name; - is standard input.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Whose photos these are.")] = None,
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    strangers: Annotated[
        Path | None,
        typer.Option(
            help="STRANGERS/<person>/<photos> of people who are not to be named: calibrate counts them.",
            show_default=False,
        ),
    ] = None,
    accept_low_quality: LowQuality = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a preview that is there.")] = False,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    preview: Preview = None,
    consent: Consent = None,
    consent_date: ConsentDate = None,
    expires: Expires = None,
    cluster: Cluster = None,
    send_photos: SendPhotos = False,
) -> None:
    """Put people into the gallery, also people the model has never seen."""
    terms = given_terms(consent, consent_date, expires)
    if strangers is not None:
        if photos or name is not None or terms is not None:
            raise UsageError("enroll: expected people to enroll or --strangers, got both")
        if cluster is not None or send_photos:
            raise UsageError("--strangers: looked at on this machine alone; leave --cluster out")
        _keep_strangers(strangers, gallery, load_extractor(model, any_rotation, min_face))
        return
    photos = photos or []
    from embedder._internal.outputs import Inputs
    from embedder._internal.runtime import unmuted
    from embedder.contact_sheet import Tile, check_preview, refused_tiles, save_preview
    from embedder.folders import Rejected, scan_folder
    from embedder.names import name_notes
    from enroll.gallery.gallery import Gallery, checked_name
    from enroll.store import gallery_files

    inputs = Inputs([*photos, *model_files(model)], gallery_files(gallery))
    if preview is not None:
        check_preview(preview, inputs, force)
    scanned: list[Rejected] = []
    rejected: list[Rejected] = []
    crowded: dict[Path, int] = {}
    tiles: list[Tile] = []
    people: dict[str, list[Photo]] = {}
    passed: tuple[Path, ...] = ()
    copies: list[Copy] = []
    notes: list[str] = []
    forced = 0
    if name is not None:
        people[checked_name(name)] = read_given(photos)
    elif len(photos) == 1 and photos[0].is_dir():
        folder = scan_folder(photos[0])
        scanned, passed = list(folder.rejected), folder.passed
        for sample in folder.samples:
            people.setdefault(sample.identity, []).append(sample.path)
    else:
        missing = "".join(f"; there is no {path}" for path in photos if not path.exists())
        raise UsageError(
            "enroll: expected a folder of people, or --name with photos, got "
            f"{', '.join(map(str, photos))}{missing}"
        )

    extractor = load_extractor(model, any_rotation, min_face)
    bar = TerminalProgress().bar("Enrolling", sum(map(len, people.values())), "photos")
    given = chain.from_iterable(people.values())
    with (
        Gallery.open(gallery, extractor) as opened,
        looking_elsewhere(cluster, send_photos, extractor, given) as elsewhere,
        bar as advance,
    ):
        notes += name_notes(people, (known for known, _ in opened.identities()))
        for result in opened.enroll_many(
            people, accept_low_quality, terms, preview is not None, advance, elsewhere
        ):
            rejected += result.rejected
            crowded |= result.crowded
            copies += result.copies
            forced += sum(sample.forced for sample in result.samples)
            notes += map(partial(_replaced, gallery, result.identity), result.replaced)
            if preview is not None:
                tiles += result.tiles()
            if result.added or result.already:
                known = f", {result.already} already there" if result.already else ""
                with unmuted():
                    who = printable(result.identity)
                    tell(
                        f"enrolled {who} ({count(result.added, 'photo')}{known})",
                        "enrolled",
                        person=result.identity,
                        photos=result.added,
                        already=result.already,
                    )
    if preview is not None:
        shown = tiles + refused_tiles(scanned, photos[0])
        save_preview(preview, shown, inputs, force)
        show_missing_letters(people)
        note(f"Wrote {safe(preview)}")
    if forced:
        notes.append(
            f"{count(forced, 'photo')} taken by --accept-low-quality though too poor: strangers are nearer "
            "to each other in such photos, so with few people more of them can be named than `embed "
            "identify` says; better photos help, or `embed calibrate --strangers DIR` with such photos of "
            "others"
        )
    show_passed(passed)
    show_notes(notes)
    show_crowded(crowded)
    show_copies(copies)
    show_rejected(scanned + rejected)
    if scanned or rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def _replaced(gallery: str, name: str, photo: Replaced) -> str:
    """Describe a photo that is another picture than the one enrolled, and how to drop that one."""
    from enroll.store import without_password

    where = [] if gallery == DEFAULT_GALLERY else ["--gallery", without_password(gallery)]
    drop = shell_words("embed", "gallery", "remove-photo", *where, operands=(name, photo.digest.hex()[:16]))
    return (
        f"{photo.path}: has changed since it was enrolled; the former one is still a template of {name!r}: "
        f"`{drop}`"
    )


def _keep_strangers(folder: Path, gallery: str, extractor: Extractor) -> None:
    from embedder.folders import scan_folder
    from enroll.folder_embedding import embed_folder
    from enroll.gallery.gallery import Gallery

    with Gallery.open(gallery, extractor) as opened:
        embedded = embed_folder(scan_folder(folder), extractor, force=True, progress=TerminalProgress())
        added = opened.keep_strangers(embedded)
    line = f"kept {count(added, 'photo')} of strangers; `embed calibrate` counts them"
    tell(line, "kept strangers", photos=added)
    rejected = embedded.not_found()
    show_passed(embedded.passed)
    show_copies(embedded.copies)
    show_rejected(rejected)
    if rejected:
        raise typer.Exit(UNUSABLE_IMAGES)
