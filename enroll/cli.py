"""The `embed` command: all commands of both packages, their output and their exit codes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedder.cli import (
    DEFAULT_MODEL,
    UNUSABLE_IMAGES,
    AnyRotation,
    MinFace,
    Model,
    Preview,
    TerminalProgress,
    data,
    export,
    printable,
    quantize,
    show_crowded,
    show_missing_letters,
    show_rejected,
    train,
)
from embedder.config import DetectorConfig, EvaluationConfig, IdentifyConfig
from embedder.errors import UsageError
from embedder.wording import count
from enroll.ending_cli import end_well
from enroll.gallery_cli import DEFAULT_GALLERY, GalleryFile, gallery_app
from enroll.info_cli import info
from enroll.key_cli import before_any_command, key_commands
from enroll.life_cli import life_commands
from enroll.people_cli import Consent, ConsentDate, Expires, given_terms, people_commands
from enroll.transfer_cli import transfer_commands

if TYPE_CHECKING:
    from embedder.extractor import Extractor

SOMEONE_UNKNOWN = 5
_BOTH_WAYS = "name another file, or --force replaces it, and takes faces that are too poor, too"
_EXPLAINED = 5  # enrolled photos listed per face by --explain

DetectorName = Annotated[str | None, typer.Option(help="blazeface.", show_default="the model's")]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: loading rich for it takes as long as all else
    context_settings={"max_content_width": 110},
    help="Train a face-style embedding, enroll people, identify them: a name, or unknown.",
)
app.callback()(before_any_command)
app.command()(train)


@app.command()
def enroll(
    photos: Annotated[
        list[Path] | None, typer.Argument(help="PEOPLE_FOLDER, or photos of --name.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Whose photos these are.")] = None,
    model: Model = DEFAULT_MODEL,
    gallery: GalleryFile = DEFAULT_GALLERY,
    strangers: Annotated[
        Path | None,
        typer.Option(
            help="STRANGERS/<person>/<photos> of people who are not to be named: calibrate counts them.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enroll also faces that are too poor, and replace a preview that is there."
        ),
    ] = False,
    detector: DetectorName = None,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    preview: Preview = None,
    consent: Consent = None,
    consent_date: ConsentDate = None,
    expires: Expires = None,
) -> None:
    """Put people into the gallery, also people the model has never seen."""
    terms = given_terms(consent, consent_date, expires)
    if strangers is not None:
        if photos or name is not None or terms is not None:
            raise UsageError("enroll: expected people to enroll or --strangers, got both")
        _keep_strangers(strangers, gallery, _load(model, detector, any_rotation, min_face))
        return
    photos = photos or []
    from embedder.folders import Rejected, scan_folder
    from embedder.outputs import Inputs
    from embedder.preview import Tile, check_preview, refused_tiles, save_preview
    from embedder.quiet import aloud
    from enroll.gallery import Gallery, checked_name
    from enroll.store import gallery_files

    inputs = Inputs([*photos, model], gallery_files(gallery))
    if preview is not None:
        check_preview(preview, inputs, force, _BOTH_WAYS)
    scanned: list[Rejected] = []
    rejected: list[Rejected] = []
    crowded: dict[Path, int] = {}
    tiles: list[Tile] = []
    people: dict[str, list[Path]] = {}
    if name is not None:
        people[checked_name(name)] = photos
    elif len(photos) == 1 and photos[0].is_dir():
        folder = scan_folder(photos[0])
        scanned = list(folder.rejected)
        for sample in folder.samples:
            people.setdefault(sample.identity, []).append(sample.path)
    else:
        missing = "".join(f"; there is no {path}" for path in photos if not path.exists())
        raise UsageError(
            "enroll: expected a folder of people, or --name with photos, got "
            f"{', '.join(map(str, photos))}{missing}"
        )

    extractor = _load(model, detector, any_rotation, min_face)
    bar = TerminalProgress().bar("Enrolling", sum(map(len, people.values())), "photos")
    with Gallery.open(gallery, extractor) as opened, bar as advance:
        for result in opened.enroll_many(people, force, terms, preview is not None, advance):
            rejected += result.rejected
            crowded |= result.crowded
            if preview is not None:
                tiles += result.tiles()
            if result.added or result.already:
                known = f", {result.already} already there" if result.already else ""
                with aloud():
                    who = printable(result.identity)
                    print(f"enrolled {who} ({count(result.added, 'photo')}{known})", flush=True)
    if preview is not None:
        shown = tiles + refused_tiles(scanned, photos[0])
        save_preview(preview, shown, inputs, force, _BOTH_WAYS)
        show_missing_letters(people)
        print(f"Wrote {printable(str(preview))}", file=sys.stderr)
    show_crowded(crowded)
    show_rejected(scanned + rejected)
    if scanned or rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def _keep_strangers(folder: Path, gallery: str, extractor: Extractor) -> None:
    from embedder.folders import scan_folder
    from enroll.embedded import embed_folder
    from enroll.gallery import Gallery

    with Gallery.open(gallery, extractor) as opened:
        embedded = embed_folder(scan_folder(folder), extractor, force=True, progress=TerminalProgress())
        added = opened.keep_strangers(embedded)
    print(f"kept {count(added, 'photo')} of strangers; `embed calibrate` counts them")
    rejected = embedded.not_found()
    show_rejected(rejected)
    if rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


@app.command()
def identify(
    photos: Annotated[
        list[Path], typer.Argument(help="Photos to answer, or folders of them.", show_default=False)
    ],
    model: Model = DEFAULT_MODEL,
    gallery: GalleryFile = DEFAULT_GALLERY,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Largest distance at which a name is given.", show_default="the gallery's, else the model's"
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="How much farther the second person must be; else: ambiguous.")
    ] = IdentifyConfig.margin,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per photo, one per line.")] = False,
    fail_on_unknown: Annotated[
        bool, typer.Option("--fail-on-unknown", help=f"Exit with {SOMEONE_UNKNOWN} if someone is unknown.")
    ] = False,
    all_faces: Annotated[
        bool,
        typer.Option("--all-faces/--one-face", help="Answer every face, or the largest, most central one."),
    ] = True,
    detector: DetectorName = None,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Folder for copies of the photos with boxes and names.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace copies that are there.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say per face what speaks for and against the answer.")
    ] = False,
    index: Annotated[
        str, typer.Option(help="How people are found: exact, or approximate for millions of photos.")
    ] = "exact",
) -> None:
    """Say who is in a photo: a name, or unknown and why."""
    from embedder.folders import pictures_at
    from embedder.outputs import Inputs
    from embedder.quiet import aloud
    from enroll.gallery import Gallery
    from enroll.identify import Identifier
    from enroll.report import text
    from enroll.report.annotate import annotated_name, check_annotated, save_annotated
    from enroll.report.json_lines import to_json
    from enroll.samples import enrolled_chip
    from enroll.store import gallery_files

    photos = [photo for place in photos for photo in pictures_at(place)]
    inputs = Inputs([*photos, model], gallery_files(gallery))
    if annotate is not None:
        check_annotated(annotate, photos, inputs, force)
    extractor = _load(model, detector, any_rotation, min_face)
    unread = unknown = 0
    drawn: set[str] = set()
    copied: set[str] = set()  # a photo that is given twice has one copy
    with Gallery.open(gallery, extractor, create=False, index=index) as opened:
        config = IdentifyConfig(
            margin=margin,
            all_faces=all_faces,
            neighbours=_EXPLAINED if explain else 0,
            keep_pictures=annotate is not None,
        )
        identifier = Identifier(extractor, opened, threshold, config)
        basis = identifier.basis
        chip_of = partial(enrolled_chip, extractor)
        with TerminalProgress().bar("Identifying", len(photos), "photos") as advance:
            for answer in identifier.identify_many(photos):
                lines = text.explain(answer, basis) if explain else text.to_lines(answer)
                with aloud():
                    for line in [to_json(answer, basis)] if as_json else map(printable, lines):
                        print(line, flush=True)
                if annotate is not None and answer.picture is not None:
                    own = chip_of if explain else None
                    name = annotated_name(answer.photo)
                    again = force or name in copied
                    save_annotated(annotate, answer.photo, answer.picture, answer, own, inputs, again)
                    copied.add(name)
                    drawn.update(face.decision.identity or "" for face in answer.faces)
                unread += answer.error is not None
                unknown += any(face.decision.identity is None for face in answer.faces)
                advance()
    show_missing_letters(drawn)
    if not as_json and not explain:
        print(printable(basis.in_words()), file=sys.stderr)
    if basis.warning:
        print(f"The promise is in doubt: {basis.warning}", file=sys.stderr)
    if unread:
        raise typer.Exit(UNUSABLE_IMAGES)
    if unknown and fail_on_unknown:
        raise typer.Exit(SOMEONE_UNKNOWN)


@app.command("calibrate")
def calibrate_gallery(
    fpir: Annotated[float, typer.Option(help="Share of strangers that may be named.")] = 0.01,
    strangers: Annotated[
        Path | None,
        typer.Option(help="STRANGERS/<person>/<photos> of people who are not enrolled.", show_default=False),
    ] = None,
    model: Model = DEFAULT_MODEL,
    gallery: GalleryFile = DEFAULT_GALLERY,
    detector: DetectorName = None,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
) -> None:
    """Find the threshold that names at most so many strangers in this gallery, and keep it."""
    from embedder.folders import scan_folder
    from enroll.embedded import embed_folder
    from enroll.gallery import Gallery
    from enroll.promise import describe

    if not 0 < fpir < 1:
        raise UsageError(f"--fpir: expected a share above 0 and below 1, got {fpir}")
    extractor = _load(model, detector, any_rotation, min_face)
    with Gallery.open(gallery, extractor, create=False) as opened:
        others = (
            embed_folder(scan_folder(strangers), extractor, force=True, progress=TerminalProgress())
            if strangers
            else None
        )
        calibration = opened.calibrate(fpir, others)
    print(f"threshold {calibration.promise.distance:.3f}: {describe(calibration)}")
    rejected = others.not_found() if others else []
    show_rejected(rejected)
    if rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


@app.command("evaluate")
def evaluate_folder(
    folder: Annotated[Path, typer.Argument(help="FOLDER/<person>/<photos>", show_default=False)],
    model: Model = DEFAULT_MODEL,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two model folders, on the same splits.", show_default=False),
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
    report: Annotated[
        Path | None, typer.Option(help="Write a page with plots and pictures, one file.", show_default=False)
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enroll also faces that are too poor, and replace a report that is there."
        ),
    ] = False,
    detector: DetectorName = None,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
) -> None:
    """Measure on your own photos how often people are named, and strangers too."""
    from embedder.folders import scan_folder
    from embedder.outputs import Inputs
    from enroll.embedded import embed_folder
    from enroll.evaluation import evaluate
    from enroll.report.evaluation import compared, measured, pairs_measured

    config = EvaluationConfig(splits, known, enrolled, seed)
    if (compare is not None) + (pairs is not None) + (report is not None) > 1:
        raise UsageError("evaluate: expected one of --compare, --pairs and --report, got more")
    models = compare or (model,)
    inputs = Inputs([folder, *models, *([pairs] if pairs else [])])
    if report is not None:
        from enroll.report.html import check_report

        check_report(report, inputs, force, _BOTH_WAYS)
    progress = TerminalProgress()
    extractors = [_load(path, detector, any_rotation, min_face) for path in models]
    if pairs is not None:
        from enroll.lfw import verify_pairs

        outcome = pairs_measured(verify_pairs(folder, pairs, extractors[0], progress))
    else:
        scanned = scan_folder(folder)
        embedded = [embed_folder(scanned, extractor, force, progress) for extractor in extractors]
        evaluations = [evaluate(photos, config) for photos in embedded]
        if compare is not None:
            outcome = compared(evaluations[0], evaluations[1], [str(path) for path in compare])
        else:
            outcome = measured(evaluations[0])
    for line in [outcome.to_json()] if as_json else map(printable, outcome.lines):
        print(line)
    if report is not None:
        from enroll.report.html import save_report

        save_report(report, evaluations[0], outcome, extractors[0], inputs, force, _BOTH_WAYS)
        print(f"Wrote {printable(str(report))}", file=sys.stderr)
    show_rejected(outcome.rejected)
    if outcome.rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def _load(model: Path, detector: str | None, any_rotation: bool, min_face: int) -> Extractor:
    from embedder.bundle import load_manifest
    from embedder.extractor import Extractor

    name = detector or load_manifest(model).detector
    return Extractor.load(model, finding=DetectorConfig(name, min_face, any_rotation))


def main() -> None:
    """Run the command line."""
    end_well(app)


app.command()(info)
app.command()(data)
app.command()(export)
app.command()(quantize)
for commands in (people_commands, key_commands, transfer_commands, life_commands):
    gallery_app.add_typer(commands)
app.add_typer(gallery_app, name="gallery")

if __name__ == "__main__":
    main()
