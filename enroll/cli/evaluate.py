"""`embed evaluate` and `embed calibrate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    DEFAULT_MAX_PIXELS,
    UNUSABLE_IMAGES,
    AnyRotation,
    Force,
    GalleryFile,
    LowQuality,
    MaxPixels,
    MinFace,
    Model,
    Report,
    load_extractor,
    model_files,
)
from enroll.cli.output import answer, note
from enroll.cli.reports import check_place, crop_of_photo, gallery_name, save
from enroll.cli.terminal import (
    TerminalProgress,
    printable,
    safe,
    show_copies,
    show_notes,
    show_passed,
    show_rejected,
)
from enroll.config import EvaluationConfig
from enroll.scoring import SCORERS

OFFERED = tuple(name for name in SCORERS if name != "cohort")  # which needs strangers of its own


def calibrate_gallery(
    fpir: Annotated[float, typer.Option(help="Share of strangers that may be named.")] = 0.01,
    strangers: Annotated[
        Path | None,
        typer.Option(help="STRANGERS/<person>/<photos> of people who are not enrolled.", show_default=False),
    ] = None,
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    report: Report = None,
    force: Force = False,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
) -> None:
    """Find the threshold that names at most so many strangers in this gallery, and keep it."""
    from embedder._internal.outputs import Inputs
    from embedder._internal.ranges import check_fpir
    from embedder.folders import scan_folder
    from enroll.folder_embedding import embed_folder
    from enroll.gallery.gallery import Gallery
    from enroll.gallery.threshold import contradiction, describe
    from enroll.store import gallery_files, open_store

    check_fpir(fpir, "--fpir")
    inputs = Inputs([*model_files(model), *([strangers] if strangers else [])], gallery_files(gallery))
    check_place(report, inputs, force)
    extractor = load_extractor(model, any_rotation, min_face)
    with open_store(gallery) as store:
        opened = Gallery(store, extractor)
        others = (
            embed_folder(scan_folder(strangers), extractor, force=True, progress=TerminalProgress())
            if strangers
            else None
        )
        record, aside = opened.calibrate_aside(fpir, others)
        if report is not None:
            from enroll.report.calibration_page import calibration_page

            page = calibration_page(
                record,
                opened.comparisons(fpir, others),
                aside,
                crop_of_photo(store, extractor),
                f"Calibration of {gallery_name(gallery)}",
            )
            save(report, page, inputs, force)
    lines = [f"threshold {record.calibration.distance:.3f}: {describe(record)}"]
    lines += [f"  set aside: {printable(entry.describe())}" for entry in aside]
    if (doubt := contradiction(record.calibration)) is not None:
        lines.append(f"  in doubt: {doubt}")
    facts = {
        "threshold": record.calibration.distance,
        "fpir": fpir,
        "described": describe(record),
        "set_aside": [entry.describe() for entry in aside],
        "in_doubt": doubt,
    }
    answer(facts, *lines)
    if others:
        show_passed(others.passed)
        show_copies(others.copies)
    rejected = others.not_found() if others else []
    show_rejected(rejected)
    if rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def evaluate_folder(
    folder: Annotated[Path, typer.Argument(help="FOLDER/<person>/<photos>", show_default=False)],
    model: Model = AS_FOUND,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two models, on the same splits.", show_default=False),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="pairs.txt of the LFW protocol, for a folder that follows it.", show_default=False),
    ] = None,
    splits: Annotated[int, typer.Option(help="Random divisions of the people.")] = EvaluationConfig.splits,
    known: Annotated[float, typer.Option(help="Share of the people to enroll.")] = EvaluationConfig.known,
    enrolled: Annotated[
        int | None, typer.Option(help="Photos to enroll per person.", show_default="half of them")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the splits and the intervals.")] = EvaluationConfig.seed,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    report: Report = None,
    scorer: Annotated[
        str, typer.Option(help=f"How people are compared with a photo: {', '.join(OFFERED)}.")
    ] = OFFERED[0],
    accept_low_quality: LowQuality = False,
    force: Force = False,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
) -> None:
    """Measure on your own photos how often people are named, and strangers too."""
    from embedder._internal.outputs import Inputs
    from embedder.folders import scan_folder
    from embedder.names import name_notes
    from enroll.evaluation.protocol import evaluate_samples
    from enroll.folder_embedding import embed_folder, embed_pair_photos
    from enroll.report.evaluation import summarize, summarize_comparison, summarize_pairs

    config = EvaluationConfig(splits, known, enrolled, seed)
    if (compare is not None) + (pairs is not None) + (report is not None) > 1:
        raise UsageError("evaluate: expected one of --compare, --pairs and --report, got more")
    if scorer not in OFFERED:
        raise UsageError(f"--scorer: expected one of {', '.join(OFFERED)}, got {scorer!r}")
    if scorer != OFFERED[0] and (pairs is not None or report is not None):
        raise UsageError(f"--scorer {scorer}: its scores are no distances; leave out --pairs and --report")
    models = compare or (model,)
    inputs = Inputs([folder, *model_files(*models), *([pairs] if pairs else [])])
    check_place(report, inputs, force)
    progress = TerminalProgress()
    extractors = [load_extractor(path, any_rotation, min_face) for path in models]
    if pairs is not None:
        from enroll.evaluation.lfw import verify_pairs

        embed = partial(embed_pair_photos, folder, pairs, extractors[0], progress)
        outcome = summarize_pairs(verify_pairs(pairs, embed))
    else:
        scanned = scan_folder(folder)
        embedded = [
            embed_folder(scanned, extractor, accept_low_quality, progress) for extractor in extractors
        ]
        evaluations = [evaluate_samples(photos, config, scorer) for photos in embedded]
        if compare is not None:
            outcome = summarize_comparison(evaluations[0], evaluations[1], list(compare))
        else:
            outcome = summarize(evaluations[0])
    if pairs is None:
        show_passed(scanned.passed)
        show_notes(name_notes(scanned.identities))
        show_copies(embedded[0].copies)
    for line in [outcome.to_json()] if as_json else map(printable, outcome.lines):
        print(line)
    if report is not None:
        from enroll.report.evaluation_page import save_report

        save_report(report, evaluations[0], outcome, extractors[0], inputs, force)
        note(f"Wrote {safe(report)}")
    show_rejected(outcome.rejected)
    if outcome.rejected:
        raise typer.Exit(UNUSABLE_IMAGES)
