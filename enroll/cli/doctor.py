"""`embed gallery verify`, `doctor`, `drop` and `re-embed`: the life of a gallery."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from embedder._internal.wording import count
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    UNUSABLE_IMAGES,
    Force,
    GalleryFile,
    Model,
    Report,
    model_files,
)
from enroll.cli.output import answer
from enroll.cli.reports import check_place, gallery_name, save, template_faces
from enroll.cli.terminal import TerminalProgress, printable, safe


def verify(
    gallery: GalleryFile = DEFAULT_GALLERY,
    photos: Annotated[
        bool, typer.Option("--photos", help="Check also that the photos' files are still the same.")
    ] = False,
) -> None:
    """Read and check everything that a gallery holds."""
    from enroll.gallery.photos import MISSING, OriginalPhotos
    from enroll.gallery.places import home_of
    from enroll.store import open_store

    with open_store(gallery) as store:
        store.verify()
        people, strangers = store.identities(), len(store.strangers().ids)
        total = sum(templates for _, templates in people)
        line = (
            f"{safe(store.location)}: OK; {count(len(people), 'person')}, {count(total, 'photo')}, "
            f"{strangers} of strangers: every checksum and every vector was read and is right"
        )
        facts = {"people": len(people), "photos": total, "strangers": strangers}
        answer({"gallery": safe(store.location), **facts}, line)
        if not photos:
            return
        files, missing, changed = OriginalPhotos(home=home_of(store)), 0, []
        with TerminalProgress().bar("Checking", len(people)) as advance:
            for name, _ in people:
                for template in store.stored(name):
                    outcome = files.read(template)
                    missing += outcome == MISSING
                    if isinstance(outcome, str) and outcome != MISSING:
                        changed.append(f"{name}: {template.photo}: {outcome}")
                advance()
    same = total - missing - len(changed)
    line = f"photos' files: {same} the same, {len(changed)} changed or unreadable, {missing} gone"
    answer({"files": {"same": same, "changed": changed, "gone": missing}}, line)
    for line in changed:
        print(f"  {printable(line)}", file=sys.stderr)
    if changed:
        raise typer.Exit(UNUSABLE_IMAGES)


def doctor(
    gallery: GalleryFile = DEFAULT_GALLERY,
    photos: Annotated[
        bool,
        typer.Option("--photos", help="Look at the photos, too, for poor ones; takes the gallery's model."),
    ] = False,
    model: Model = AS_FOUND,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    report: Report = None,
    force: Force = False,
) -> None:
    """Find wrong photos, double names, people who are easily confused, and the FPIR to expect."""
    from embedder._internal.outputs import Inputs
    from embedder.config import BUILT_IN
    from embedder.extractor import Extractor
    from enroll.gallery.doctor import examine_gallery
    from enroll.gallery.photos import find_poor
    from enroll.report.doctor import DoctorReport
    from enroll.store import check_model, gallery_files, open_store, without_password

    inputs = Inputs(model_files(model), gallery_files(gallery))
    check_place(report, inputs, force)
    progress = TerminalProgress()
    with open_store(gallery) as store:
        poor = None
        if photos or report is not None:
            extractor = Extractor.load(model, progress=progress)
        if photos:
            check_model(store, extractor.fingerprint, extractor.dim)
            poor = find_poor(store, extractor, progress)
        shown = None if gallery == DEFAULT_GALLERY else without_password(gallery)
        words = DoctorReport(store, examine_gallery(store, progress, (model, BUILT_IN)), poor, shown)
        if report is not None:
            from enroll.report.doctor_page import doctor_page

            faces = template_faces(store, extractor)
            save(
                report,
                doctor_page(words, faces.crop, f"Examination of {gallery_name(gallery)}"),
                inputs,
                force,
            )
    for line in [words.to_json()] if as_json else map(printable, words.lines()):
        print(line)
