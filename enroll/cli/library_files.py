"""Run `embed library`: sort photos into folders, write names into files, read names of other programs."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from embedder._internal.wording import count
from embedder.config import DetectorConfig
from embedder.errors import UsageError
from enroll.cli.library import AsJson, Confirmed, Threshold, opened, show_failures, threshold_of
from enroll.cli.options import (
    AS_FOUND,
    DEFAULT_GALLERY,
    UNUSABLE_IMAGES,
    GalleryFile,
    Model,
    load_extractor,
)
from enroll.cli.output import note, tell
from enroll.cli.terminal import TerminalProgress, printable, safe

if TYPE_CHECKING:
    from embedder.extractor import Extractor
    from enroll.library.organize import Mode, Move, Plan, Sorted
    from enroll.library.people import Library
    from enroll.store.library import SeenFace, SeenPhoto

_LIST = "list"
_SEVERAL = ("each", "main", "together")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]


def sort(
    target: Annotated[
        Path | None, typer.Argument(help="The folder to sort into.", show_default=False)
    ] = None,
    mode: Annotated[str, typer.Option(help="copy, hardlink, symlink, move or list.")] = "copy",
    several: Annotated[
        str,
        typer.Option(help="Photos of several people: in each folder, the main person's, or together."),
    ] = "each",
    with_unknown: Annotated[
        bool, typer.Option("--unknown", help="Also photos of unknown people alone.")
    ] = False,
    without_face: Annotated[bool, typer.Option("--no-face", help="Also photos without a face.")] = False,
    model: Model = AS_FOUND,
    gallery: GalleryFile = DEFAULT_GALLERY,
    threshold: Threshold = None,
    confirmed: Confirmed = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    undo: Annotated[
        Path | None, typer.Option(help="A manifest: move its files back.", show_default=False)
    ] = None,
    watch: Annotated[
        list[Path] | None,
        typer.Option(help="Folders to scan, and to watch: new photos are sorted too.", show_default=False),
    ] = None,
    polling: Annotated[
        bool, typer.Option("--polling", help="Watch a network drive, which sends no events.")
    ] = False,
) -> None:
    """Sort photos into a folder per person; nothing is ever written over."""
    from enroll.library import organize
    from enroll.library.sorting import earlier_moves, undo_moves

    if undo is not None:
        done, rejected = undo_moves(undo)
        tell(f"moved {count(done, 'file')} back", "moved back", files=done)
        show_failures(rejected)
        if rejected:
            raise typer.Exit(UNUSABLE_IMAGES)
        return
    if mode not in (*organize.MODES, _LIST):
        raise UsageError(f"--mode: expected {', '.join(organize.MODES)} or {_LIST}, got {mode!r}")
    if several not in _SEVERAL:
        raise UsageError(f"--several: expected one of {', '.join(_SEVERAL)}, got {several!r}")
    if target is None and mode != _LIST:
        raise UsageError("sort: expected a folder to sort into, got none")
    extractor = load_extractor(model, False, DetectorConfig.min_face)

    def once() -> bool:
        with opened(gallery) as library:
            limit = None if confirmed else threshold_of(library, extractor, threshold)
            if mode == "move" and target is not None and not dry_run:
                _record_moves(library, earlier_moves(target))
            photos = _sorted(library, limit, several, with_unknown, without_face)
            if mode == _LIST or target is None:
                _print_list(photos, as_json)
                return True
            return _sort_once(library, photos, target, cast("Mode", mode), dry_run, as_json)

    if watch:
        _watch(watch, target, gallery, extractor, polling, once)
        return
    if not once():
        raise typer.Exit(UNUSABLE_IMAGES)


def _sorted(
    library: Library, threshold: float | None, several: str, with_unknown: bool, without_face: bool
) -> list[Sorted]:
    """Assign photos to folders."""
    from enroll.library.find import sightings
    from enroll.library.organize import NO_FACE, SEVERAL, UNKNOWN, Sorted, folder_names

    people: dict[int, list[tuple[float, str]]] = {}
    for one in sightings(library, threshold):
        face = library.faces[one.face]
        people.setdefault(face.photo, []).append((-_prominence(face), one.name or ""))
    with_faces = {
        face.photo for face in library.faces.values() if library.reviewed.state(face.number) != "not-a-face"
    }
    folders = folder_names(name for found in people.values() for _, name in found)
    listed = []
    for number, photo in library.photos.items():
        if photo.there is None or photo.problem or photo.live:  # which goes along with its photo
            continue
        names = list(dict.fromkeys(name for _, name in sorted(people.get(number, []))))
        if len(names) > 1 and several == "together":
            where = [SEVERAL]
        else:
            where = [folders[name] for name in (names[:1] if several == "main" else names)]
        if not names and number in with_faces and with_unknown:
            where = [UNKNOWN]
        elif not names and number not in with_faces and without_face:
            where = [NO_FACE]
        if where:
            listed.append(Sorted(library.path(photo), tuple(where)))
    return listed


def _prominence(face: SeenFace) -> float:
    """Return the share of a photo that a face covers; of a film, how long it is in sight."""
    if face.seconds is not None:
        return sum(end - start for start, end in face.intervals)
    return face.box[2] * face.box[3]


def _print_list(photos: list[Sorted], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"photos": [{"photo": str(e.photo), "folders": list(e.folders)} for e in photos]}))
        return
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["folder", "photo"])
    for entry in photos:
        for folder in entry.folders:
            table.writerow([printable(folder), printable(str(entry.photo))])


def _sort_once(
    library: Library, photos: list[Sorted], target: Path, mode: Mode, dry_run: bool, as_json: bool
) -> bool:
    """Plan and sort once, and return whether everything was done."""
    from enroll.library.organize import check_target, plan_sorting
    from enroll.library.sorting import sort_photos

    check_target(target, (entry.photo for entry in photos))
    films = {library.path(photo).absolute() for photo in library.photos.values() if _stands_alone(photo)}
    plan = plan_sorting(photos, target, mode, films)
    if dry_run:
        _show_plan(plan, mode, as_json)
        show_failures(plan.rejected)
        return not plan.rejected
    with TerminalProgress().bar("Sorting", len(plan.moves), "files") as advance:
        done, rejected, manifest = sort_photos(plan, target, mode, advance)
    there = sum(move.there for move in plan.moves) if mode != "move" else 0
    already = f", {there} already there" if there else ""
    undo = None if manifest is None else str(manifest)
    facts = {"folder": str(target), "mode": mode, "files": done, "there": there, "manifest": undo}
    line = f"{safe(target)}: {count(done, 'file')} sorted ({mode}){already}"
    if undo is not None:
        _record_moves(library, plan.moves)
        line += f"\nto take it back: embed library sort --undo {printable(undo)}"
    if as_json:
        print(json.dumps({"done": "sorted", **facts}))
    else:
        tell(line, "sorted")
    show_failures([*plan.rejected, *rejected])
    return not (plan.rejected or rejected)


def _stands_alone(photo: SeenPhoto) -> bool:
    return photo.is_film and not photo.live and not photo.problem


def _record_moves(library: Library, moves: list[Move]) -> None:
    """Record the new paths of photos in the library."""
    from enroll.gallery.places import home_of
    from enroll.library.sorting import moved_photos

    moved = moved_photos(library.photos.values(), moves, home_of(library.store))
    if moved:
        library.rows.write(photos=moved)
        library.read()


def _show_plan(plan: Plan, mode: str, as_json: bool) -> None:
    if as_json:
        moves = [
            {"source": str(m.source), "target": str(m.target), "bytes": m.size, "there": m.there}
            for m in plan.moves
        ]
        print(json.dumps({"mode": mode, "files": moves, "bytes": plan.size}))
        return
    for move in plan.moves:
        there = " (already there)" if move.there else ""
        print(printable(f"{mode} {move.source} -> {move.target}{there}"))
    print(f"{count(len(plan.open), 'file')}, {plan.size / 2**20:.1f} MiB; nothing was changed")


def _watch(
    folders: list[Path],
    target: Path | None,
    gallery: str,
    extractor: Extractor,
    polling: bool,
    sort_now: object,
) -> None:
    """Scan and sort, and repeat that for new photos, until Ctrl-C."""
    from enroll.gallery.places import home_of
    from enroll.library.people import library_of
    from enroll.library.scan import Scanner
    from enroll.library.watch import watch_folders
    from enroll.store import open_store

    assert callable(sort_now)

    def look(places: list[Path]) -> None:
        with open_store(gallery, create=True) as store:
            store.bind(extractor.fingerprint, extractor.dim)
            scanner = Scanner(library_of(store), extractor, home_of(store), 90)
            for place in places:
                if place.exists():
                    show_failures(scanner.scan(place).rejected)
        sort_now()

    look(folders)
    note("watching; Ctrl-C ends it")
    for ready in watch_folders(folders, [target] if target else [], polling):
        look(ready or folders)


def tag(
    embed: Annotated[
        bool, typer.Option("--embed", help="Write into JPEGs themselves; other photos get a sidecar.")
    ] = False,
    dry_run: DryRun = False,
    backup: Annotated[
        bool,
        typer.Option(
            "--backup/--no-backup", help="Keep a JPEG as it was before the first time, as NAME_original."
        ),
    ] = True,
    keep_times: Annotated[bool, typer.Option("--keep-times", help="Leave the times of files.")] = False,
    as_json: AsJson = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Write confirmed names into XMP: face regions and persons, in sidecars or in JPEGs."""
    from enroll.library.tagging import plan_tags, write_tags

    with opened(gallery) as library:
        plan = plan_tags(library, embed)
        rejected = list(plan.rejected)
        if as_json:
            files = [
                {"photo": str(e.photo), "file": str(e.file), "new": e.before is None, "changes": e.changes}
                for e in plan.files
            ]
            print(json.dumps({"files": files, "written": not dry_run}))
        elif dry_run:
            for entry in plan.files:
                print(printable(f"{entry.file}{' (new)' if entry.before is None else ''}"))
                for line in entry.changes:
                    print(printable(f"  {line}"))
        if not dry_run:
            done, failed = write_tags(plan, library, backup, keep_times)
            rejected += failed
    if not as_json:
        if dry_run:
            print(f"{count(len(plan.files), 'file')} would change; nothing was written")
        else:
            tell(f"{count(done, 'file')} written", "tagged")
    show_failures(rejected)
    if rejected:
        raise typer.Exit(UNUSABLE_IMAGES)


def import_names(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that were scanned.", show_default="all of the library"),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    gallery: GalleryFile = DEFAULT_GALLERY,
) -> None:
    """Enroll from the names that digiKam, Lightroom, Picasa or Google Photos gave to faces."""
    from enroll.library.importing import find_names
    from enroll.library.review import IMPORTED

    with opened(gallery) as library:
        if not library.photos:
            raise UsageError(f"{safe(gallery)}: no photos are known; `embed library scan FOLDER` first")
        with TerminalProgress().bar("Reading names", len(library.photos), "photos") as advance:
            found = find_names(library, folders or (), advance)
        if not dry_run:
            for name, faces in sorted(found.faces.items()):
                library.confirm(name, faces, source=IMPORTED)
    if as_json:
        unplaced = [{"photo": str(u.photo), "name": u.name, "reason": u.reason} for u in found.unplaced]
        print(json.dumps({"names": found.faces, "known": found.known, "unplaced": unplaced}))
    else:
        for name, faces in sorted(found.faces.items()):
            print(f"{printable(name)}: {count(len(faces), 'face')}")
        for one in found.unplaced:
            print(printable(f"not taken: {one.name} in {one.photo}: {one.reason}"))
        total = sum(map(len, found.faces.values()))
        said = "would be named" if dry_run else "named"
        print(f"{count(total, 'face')} {said}, {found.known} had their name already")
    show_failures(found.rejected)
    if found.rejected:
        raise typer.Exit(UNUSABLE_IMAGES)
