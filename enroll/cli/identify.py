"""`embed identify`."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    DEFAULT_MAX_PIXELS,
    FILMS,
    UNUSABLE_IMAGES,
    AnyRotation,
    Fps,
    GalleryFile,
    Margin,
    MaxPixels,
    MaxTime,
    MinFace,
    Model,
    Threshold,
    load_extractor,
    model_files,
)
from enroll.cli.output import note
from enroll.cli.standard_input import DASH, read_given
from enroll.cli.streams import output_was_lost
from enroll.cli.terminal import TerminalProgress, printable, show_missing_letters, show_passed
from enroll.config import FilmConfig, IdentifyConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from enroll.identify import Identifier, PhotoResult
    from enroll.library.film import FilmIdentifier
    from enroll.sightings import FilmAnswer

SOMEONE_UNKNOWN = 5

_UsageFault: Any = typer.BadParameter.__base__  # shown with how the command is used
_EXPLAINED = 5  # enrolled photos listed per face by --explain


def identify(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Photos and films to answer, folders of them, or - for standard input.", show_default=False
        ),
    ] = None,
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    threshold: Threshold = None,
    margin: Margin = IdentifyConfig.margin,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per photo, one per line.")] = False,
    fail_on_unknown: Annotated[
        bool, typer.Option("--fail-on-unknown", help=f"Exit with {SOMEONE_UNKNOWN} if someone is unknown.")
    ] = False,
    all_faces: Annotated[
        bool,
        typer.Option("--all-faces/--one-face", help="Answer every face, or the largest, most central one."),
    ] = True,
    any_rotation: AnyRotation = False,
    min_face: MinFace = DetectorConfig.min_face,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    annotate: Annotated[
        Path | None,
        typer.Option(
            help="Folder for copies of photos with boxes and names, and a sheet of a film's best frames.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace copies that are there.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say per face what speaks for and against the answer.")
    ] = False,
    index: Annotated[
        str, typer.Option(help="How people are found: exact, or approximate for millions of photos.")
    ] = "exact",
    camera: Annotated[
        str | None,
        typer.Option(
            help="Watch a camera until Ctrl-C: its number, or rtsp://…, http://….",
            show_default=False,
            rich_help_panel=FILMS,
        ),
    ] = None,
    fps: Fps = FilmConfig.fps,
    agree: Annotated[
        int, typer.Option(help="Good frames that must agree on a name.", rich_help_panel=FILMS)
    ] = FilmConfig.agree,
    max_duration: Annotated[
        float | None,
        typer.Option(
            help="Seconds of a film, or of a camera, that are looked at.",
            show_default=f"{FilmConfig.max_duration:g} of a film, a camera without end",
            rich_help_panel=FILMS,
        ),
    ] = None,
    max_time: MaxTime = FilmConfig.max_time,
) -> None:
    """Say who is in a photo, a film or before a camera: a name, or unknown and why."""
    from embedder._internal.outputs import Inputs
    from embedder._internal.runtime import unmuted
    from embedder.folders import pictures_at
    from enroll.embedding import enrolled_crop
    from enroll.gallery.gallery import Gallery
    from enroll.gallery.places import photo_file
    from enroll.identify import Identifier, PhotoResult
    from enroll.library.film_kinds import is_film
    from enroll.report import answers
    from enroll.report.annotate import annotated_name, check_annotated, save_annotated
    from enroll.report.answers import to_json
    from enroll.store import gallery_files

    if photos is None and camera is None:
        raise _UsageFault("Missing argument 'photos': give photos, films or folders of them, or --camera.")
    if camera is not None and (photos or annotate is not None):
        raise UsageError(f"--camera: expected no {'--annotate' if annotate else 'photos'} beside it")
    film_config = FilmConfig(
        fps=fps, agree=agree, max_time=max_time, max_duration=max_duration or FilmConfig.max_duration
    )
    passed: list[Path] = []
    photos = [
        photo
        for place in photos or ()
        for photo in ([place] if place == DASH else pictures_at(place, passed))
    ]
    films = {photo for photo in photos if photo != DASH and is_film(photo)}
    inputs = Inputs([*photos, *model_files(model)], gallery_files(gallery))
    if annotate is not None:
        check_annotated(annotate, photos, inputs, force)
    extractor = load_extractor(model, any_rotation, min_face)
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

        def crop_of(photo: str) -> NDArray[np.uint8] | None:
            return enrolled_crop(extractor, photo_file(photo, opened.home))

        def film_identifier() -> FilmIdentifier:
            from enroll.library.film import FilmIdentifier

            return FilmIdentifier(extractor, opened, threshold, film_config, config)

        if camera is not None:
            from enroll.cli.films import watch_camera
            from enroll.library.camera import Camera

            source = Camera(camera, film_config)
            for name in watch_camera(film_identifier(), source, max_duration, as_json):
                unknown += name is None
        with TerminalProgress().bar("Identifying", len(photos), "photos") as advance:
            for answer in _answers(photos, films, identifier, film_identifier, annotate is not None):
                if not isinstance(answer, PhotoResult):
                    from enroll.cli.films import save_sheet, show_answer

                    show_answer(answer, basis, as_json, explain)
                    if annotate is not None and answer.people:
                        save_sheet(annotate, answer, inputs, force or answer.film in copied)
                        copied.add(answer.film)
                        drawn.update(person.identity or "" for person in answer.people)
                    unread += answer.error is not None
                    unknown += any(person.identity is None for person in answer.people)
                    advance()
                    continue
                lines = answers.explain(answer, basis) if explain else answers.to_lines(answer)
                with unmuted():
                    for line in [to_json(answer, basis)] if as_json else map(printable, lines):
                        print(line, flush=True)
                if output_was_lost() and annotate is None and not fail_on_unknown:
                    return  # `| head` has enough, and nothing else is to be done
                if annotate is not None and answer.picture is not None:
                    own = crop_of if explain else None
                    name = annotated_name(answer.photo)
                    again = force or name in copied
                    save_annotated(annotate, answer.photo, answer.picture, answer, own, inputs, again)
                    copied.add(name)
                    drawn.update(face.decision.identity or "" for face in answer.faces)
                unread += answer.error is not None
                unknown += any(face.decision.identity is None for face in answer.faces)
                advance()
    show_missing_letters(drawn)
    show_passed(passed)
    if not as_json and not explain:
        note(printable(basis.describe()))
    if basis.warning:
        print(f"The calibration is out of date: {basis.warning}", file=sys.stderr)
    if unread:
        raise typer.Exit(UNUSABLE_IMAGES)
    if unknown and fail_on_unknown:
        raise typer.Exit(SOMEONE_UNKNOWN)


def _answers(
    photos: list[Path],
    films: set[Path],
    identifier: Identifier,
    film_identifier: Callable[[], FilmIdentifier],
    keep_crops: bool,
) -> Iterator[PhotoResult | FilmAnswer]:
    """Yield the answers in the order of the photos and films."""
    if not films:
        yield from identifier.identify_many(read_given(photos))
        return
    answers_films = film_identifier()
    for film, group in groupby(photos, films.__contains__):
        if film:
            alone = TerminalProgress() if len(photos) == 1 else None  # beside other files, they are counted
            yield from (answers_films.identify_or_say(path, keep_crops, alone) for path in group)
        else:
            yield from identifier.identify_many(read_given(list(group)))
