"""Run `embed library`: group unknown faces, suggest names, find people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedder._internal.wording import count
from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    Force,
    GalleryFile,
    Model,
    Report,
    load_extractor,
    model_files,
)
from enroll.cli.output import note
from enroll.cli.reports import check_place, gallery_name, save
from enroll.cli.terminal import printable, show_rejected

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from embedder.folders import Rejected
    from enroll.embedding import PhotoSample
    from enroll.library.find import Sighting
    from enroll.library.grouping import Group
    from enroll.library.people import Library
    from enroll.store.library import SeenFace

_PACKAGE = re.compile(r"a package is missing; install it: (?P<command>[^,]+)")
_SHOWN = 8  # faces of a group that are listed

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Largest distance at which a name is given.", show_default="the gallery's, else the model's"
    ),
]
Confirmed = Annotated[
    bool,
    typer.Option("--confirmed", help="Only what someone has confirmed, not what the model says by itself."),
]


def show_failures(rejected: Sequence[Rejected]) -> None:
    """List what could not be used; files that need a missing package are one line per package."""
    waiting: dict[str, int] = {}
    others = []
    for entry in rejected:
        if found := _PACKAGE.search(entry.reason):
            waiting[found["command"]] = waiting.get(found["command"], 0) + 1
        else:
            others.append(entry)
    for command, files in waiting.items():
        print(f"{count(files, 'file')} not read for want of a package: {command}", file=sys.stderr)
    show_rejected(others)


@contextmanager
def opened(gallery: str) -> Iterator[Library]:
    """Open the library of a gallery."""
    from enroll.library.people import Library
    from enroll.store import open_store

    with open_store(gallery) as store:
        library = Library(store)
        if library.stale:
            print(
                f"{count(library.stale, 'face')} of another model: `embed library scan` looks again",
                file=sys.stderr,
            )
        yield library


def threshold_of(library: Library, extractor: Extractor, threshold: float | None) -> float:
    """Return the largest distance at which a name is given, as for `embed identify`."""
    from enroll.gallery.gallery import Gallery
    from enroll.identify import Identifier

    return Identifier(extractor, Gallery(library.store, extractor), threshold).threshold


def group_threshold(extractor: Extractor, threshold: float | None) -> float:
    """Return the mean distance up to which unknown faces are one group.

    Raises:
        UsageError: it is not known of the model and not given, or is no distance.
    """
    from enroll.library.grouping import usual_threshold

    if threshold is not None:
        if not 0 < threshold <= 2:
            raise UsageError(f"--threshold: expected a distance above 0, at most 2, got {threshold}")
        return threshold
    known = usual_threshold(extractor.manifest.strangers)
    if known is None:
        raise UsageError("nothing is known of the model's distances between strangers; give --threshold")
    return known


def groups(
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    as_json: AsJson = False,
    again: Annotated[
        bool, typer.Option("--again", help="Group everything again; else groups stay and grow.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Largest mean distance in a group.", show_default="from the model"),
    ] = None,
    alone: Annotated[bool, typer.Option("--alone", help="List also faces that are alone.")] = False,
    probably_ignored: Annotated[
        bool,
        typer.Option("--probably-ignored", help="List also faces that are left out: like ones you ignored."),
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG to write that shows the groups.", show_default=False)
    ] = None,
    report: Report = None,
    force: Force = False,
) -> None:
    """Group the faces that have no name, so that one name can be given to many at once."""
    from embedder._internal.outputs import Inputs
    from enroll.store import gallery_files

    inputs = Inputs(model_files(model), gallery_files(gallery))
    check_place(report, inputs, force)
    extractor = load_extractor(model, False, DetectorConfig.min_face)
    limit = group_threshold(extractor, threshold)
    with opened(gallery) as library:
        found = library.group(limit, again, _naming_threshold(library, extractor))
        left_out = library.probably_ignored()
        if report is not None:
            page = _groups_page(found, library, gallery, alone, len(left_out))
            save(report, page, inputs, force)
        if sheet is not None:
            _write_sheet(sheet, found, library, extractor, force)
        if as_json:
            facts: dict[str, Any] = {"groups": [_group_json(library, group) for group in found]}
            facts["probably_ignored"] = len(left_out)
            if probably_ignored:
                listed = [{**_face_json(library, one), "like": like} for one, like in left_out.items()]
                facts["probably_ignored_faces"] = listed
            print(json.dumps(facts))
            return
        several = [group for group in found if len(group.faces) > 1]
        for group in found if alone else several:
            print(f"g{group.id}: {count(len(group.faces), 'face')}")
            for number in group.faces[:_SHOWN]:
                print(f"  {_face_line(library, number)}")
            if len(group.faces) > _SHOWN:
                print(f"  and {len(group.faces) - _SHOWN} more")
        singles = len(found) - len(several)
        if probably_ignored and left_out:
            print(f"probably ignored: {count(len(left_out), 'face')}")
            for number, like in left_out.items():
                print(f"  {_face_line(library, number)} like f{like}")
        print(f"{count(len(several), 'group')}, {count(singles, 'face')} alone")
        if left_out:
            print(
                f"{count(len(left_out), 'face')} left out, like people you ignored: --probably-ignored lists "
                "them, `embed library unknown f1` takes one back"
            )


def _naming_threshold(library: Library, extractor: Extractor) -> float | None:
    """Return the distance at which a name is given, None if it is not needed or unknown of the model."""
    if not library.reviewed.ignored:
        return None
    try:
        return threshold_of(library, extractor, None)
    except UsageError:
        return None


def _groups_page(found: Sequence[Group], library: Library, gallery: str, alone: bool, left_out: int) -> str:
    from enroll.library.face_pictures import face_picture
    from enroll.report.groups_page import FaceGroup, groups_page

    def describe(number: int) -> str:
        face = library.faces[number]
        poor = library.quality_problem(face)
        return f"{library.path(face).name}{times_of(face)}{f' (poor: {poor})' if poor else ''}"

    return groups_page(
        [FaceGroup(group.id, group.faces) for group in found],
        describe,
        partial(face_picture, library),
        None if gallery == DEFAULT_GALLERY else gallery,
        alone,
        left_out,
        f"Unknown faces of {gallery_name(gallery)}",
    )


def _group_json(library: Library, group: Group) -> dict[str, Any]:
    return {"id": group.id, "faces": [_face_json(library, number) for number in group.faces]}


def _face_json(library: Library, number: int) -> dict[str, Any]:
    face = library.faces[number]
    return {"photo": str(library.path(face)), "box": list(face.box), "face": number, **film_facts(face)}


def film_facts(face: SeenFace | Sighting) -> dict[str, Any]:
    """Convert the times of a face in a film to a dict for JSON; empty for one of a photo."""
    if face.seconds is None:
        return {}
    return {"seconds": face.seconds, "intervals": [list(interval) for interval in face.intervals]}


def times_of(face: SeenFace | Sighting) -> str:
    """Format the times of a face in a film, to be shown behind a path; "" for one of a photo."""
    if face.seconds is None:
        return ""
    from enroll.report.film import clock

    intervals = ", ".join(f"{clock(start)}-{clock(end)}" for start, end in face.intervals)
    return f" at {clock(face.seconds)} ({intervals})"


def _face_line(library: Library, number: int) -> str:
    face = library.faces[number]
    box = "{2}x{3}+{0}+{1}".format(*face.box)
    poor = library.quality_problem(face)
    where = f"{library.path(face)}{times_of(face)}"
    return printable(f"f{number} {where} {box}{f' (poor: {poor})' if poor else ''}")


def _write_sheet(
    sheet: Path, found: Sequence[Group], library: Library, extractor: Extractor, force: bool
) -> None:
    from embedder._internal.outputs import Inputs
    from embedder.contact_sheet import Tile, save_preview
    from enroll.embedding import PhotoSample

    def tile(group: Group, number: int) -> Tile:
        face = library.faces[number]
        sample = sample_of(library, face, extractor)
        crop = sample.crop if isinstance(sample, PhotoSample) else None
        return Tile(f"g{group.id}", crop, f"f{number}", None if crop is not None else "cannot be read")

    tiles = [
        tile(group, number) for group in found if len(group.faces) > 1 for number in group.faces[:_SHOWN]
    ]
    save_preview(sheet, tiles, Inputs([], [library.store.location]), force)


def sample_of(library: Library, face: SeenFace, extractor: Extractor) -> PhotoSample | Rejected:
    """Read the picture of a face, from its photo or its frame of a film."""
    from embedder.errors import FilmError
    from embedder.folders import Rejected
    from enroll.embedding import read_sample, take_sample
    from enroll.library.film_still import frame_at

    path = library.path(face)
    if face.seconds is None:
        return read_sample(path, extractor, force=True, box=face.box)
    try:
        pixels = frame_at(path, face.seconds)
    except FilmError as error:
        return Rejected(path, error.reason)
    return take_sample(path, pixels, extractor, force=True, box=face.box)


def suggestions(
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    threshold: Threshold = None,
    name: Annotated[str | None, typer.Option(help="Of one person only.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Suggest names for unknown faces and say why, the most doubtful first."""
    from enroll.library.find import suggestions as suggest_names

    extractor = load_extractor(model, False, DetectorConfig.min_face)
    with opened(gallery) as library:
        found = suggest_names(library, threshold_of(library, extractor, threshold))
        ordered = sorted(found.items(), key=lambda entry: (entry[1].name, -entry[1].distance, entry[0]))
        ordered = [(number, one) for number, one in ordered if name in (None, one.name)]
        nearest = library.store.photos([one.template for _, one in ordered])
        if as_json:
            listed = [
                {
                    "face": number,
                    "photo": str(library.path(library.faces[number])),
                    "box": list(library.faces[number].box),
                    "name": one.name,
                    "distance": round(one.distance, 4),
                    "threshold": round(one.threshold, 4),
                    "second": None if one.second is None else round(one.second, 4),
                    "nearest": photo,
                    **film_facts(library.faces[number]),
                }
                for (number, one), photo in zip(ordered, nearest, strict=True)
            ]
            print(json.dumps({"suggestions": listed}))
            return
        for (number, one), photo in zip(ordered, nearest, strict=True):
            print(
                f"{printable(one.name)}? {_face_line(library, number)}: distance {one.distance:.2f}, at most "
                f"{one.threshold:.2f}, to {printable(photo)}"
            )
        print(f"{count(len(ordered), 'suggestion')}; `embed library confirm NAME f1 f2 …` or `reject`")


def find(
    whom: Annotated[str, typer.Argument(help="A name, or a photo of someone.", show_default=False)],
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    threshold: Threshold = None,
    confirmed: Confirmed = False,
    as_json: AsJson = False,
) -> None:
    """List every photo and film of a person, by date."""
    from enroll.gallery.gallery import checked_name
    from enroll.library.find import sightings, similar

    extractor = load_extractor(model, False, DetectorConfig.min_face)
    with opened(gallery) as library:
        limit = None if confirmed else threshold_of(library, extractor, threshold)
        people = {name for name, _ in library.store.identities()}
        if whom not in people and Path(whom).is_file():
            vector = vector_of(Path(whom), extractor)
            found = similar(library, vector, threshold_of(library, extractor, threshold))
        elif (name := checked_name(whom)) in people:
            found = sightings(library, limit, name=name)
        else:
            raise UsageError(
                f"{whom}: expected the name of someone who is enrolled, or a photo; see `embed gallery list`"
            )
        if as_json:
            print(json.dumps({"whom": whom, "photos": [_sighting_json(one) for one in found]}))
            return
        for one in found:
            sure = "" if one.state == "confirmed" else f" (distance {one.distance:.2f})"
            print(f"{one.date} {printable(str(one.photo))}{times_of(one)}{sure}")
        films = len({one.photo for one in found if one.seconds is not None})
        photos = count(len({one.photo for one in found}) - films, "photo")
        note(f"{photos}, {count(films, 'film')}" if films else photos)


def vector_of(photo: Path, extractor: Extractor) -> Any:
    """Return the vector of the main face of a photo, (dim,) float32.

    Raises:
        ImageError: it cannot be read.
        UsageError: there is no face in it.
    """
    from embedder.errors import ImageError
    from embedder.folders import Rejected
    from enroll.embedding import embed_samples, read_sample

    (sample,) = embed_samples([read_sample(photo, extractor, force=True)], extractor)
    if isinstance(sample, Rejected):
        raise ImageError(photo, sample.reason)
    if sample.vector is None:
        raise UsageError(f"{photo}: {sample.problem}")
    return sample.vector


def _sighting_json(one: Sighting) -> dict[str, Any]:
    return {
        "photo": str(one.photo),
        "date": one.date,
        "name": one.name,
        "box": list(one.box),
        "face": one.face,
        "state": one.state,
        "distance": None if one.distance is None else round(one.distance, 4),
        **film_facts(one),
    }
