"""Sort photos by a plan so that no file is lost or half written, and undo it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from embedder._internal.files import (
    TEMPORARY,
    is_abandoned,
    make_folder,
    open_file,
    read_file,
    sync_folder,
    write_atomic,
)
from embedder.errors import UsageError
from embedder.folders import Rejected
from enroll.gallery.places import photo_file, stored_path
from enroll.library.organize import Mode, Move, Plan, is_same_entry, same_content
from enroll.store.library import PhotoFile, SeenPhoto

_PART = 1 << 20  # bytes


def check_space(plan: Plan, target: Path, mode: Mode) -> None:
    """Check that the disk has space for the copies.

    Raises:
        UsageError: it has too little space.
    """
    if mode != "copy":
        return
    place = next(folder for folder in (target, *target.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if plan.size > free:
        raise UsageError(
            f"{target}: {plan.size / 2**20:,.0f} MiB are to be copied, {free / 2**20:,.0f} are free; "
            "make room, or use --mode hardlink"
        )


def sort_photos(
    plan: Plan, target: Path, mode: Mode, advance: Callable[[], object] = lambda: None
) -> tuple[int, list[Rejected], Path | None]:
    """Sort photos by a plan.

    An interrupted run continues when the plan is made and carried out again.

    Args:
        plan: from `plan_sorting`.
        target: as for `plan_sorting`.
        mode: as for `plan_sorting`.
        advance: called after each file.

    Returns:
        Number of files that were sorted, what could not be, and the manifest for `undo_moves`.

    Raises:
        UsageError: the disk has too little space, or nothing can be written there.
    """
    check_space(plan, target, mode)
    moves = plan.open
    if mode == "move":  # the source is deleted if its content is there already
        moves = [move for move in plan.moves if not is_same_entry(move.source, move.target)]
    if not moves:
        return 0, [], None
    try:
        for folder in sorted({move.target.parent for move in moves}):
            make_folder(folder)
            _clear(folder)
        manifest = _Manifest(target) if mode == "move" else None
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    done, rejected = 0, []
    try:
        for move in moves:
            try:
                if manifest is not None:
                    manifest.note(move)
                _place(move, mode)
                done += 1
            except OSError as error:
                rejected.append(Rejected(move.source, _describe(error, mode)))
            advance()
    finally:
        if manifest is not None:
            manifest.close()
    return done, rejected, manifest.path if manifest else None


def _place(move: Move, mode: Mode) -> None:
    """Copy, link or move one file to its target.

    Raises:
        OSError: it cannot be; both places are as they were.
    """
    if mode == "hardlink":
        os.link(move.source, move.target)
    elif mode == "symlink":
        folder = os.path.realpath(move.target.parent)
        move.target.symlink_to(os.path.relpath(os.path.realpath(move.source), folder))
    elif mode == "copy":
        copy_file(move.source, move.target)
    else:
        move_file(move.source, move.target)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its times; the copy gets its name when it is complete.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: it cannot be read or written.
    """

    def parts() -> Iterator[bytes]:
        with open_file(source) as file:
            while part := file.read(_PART):
                yield part

    write_atomic(target, parts(), replace=False)
    with suppress(OSError):  # a file system without times or attributes
        shutil.copystat(source, target)


def move_file(source: Path, target: Path) -> None:
    """Move a file so that it is complete at one of the two places at any moment.

    Raises:
        FileExistsError: another file has that name.
        OSError: it cannot be moved.
    """
    if source.is_symlink():
        raise OSError(errno.EINVAL, "is a link, which would lead nowhere from there", str(source))
    if not os.path.lexists(target):
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without hard links
            copy_file(source, target)
    if is_same_entry(source, target):
        return
    if not same_content(source, target):
        raise FileExistsError(errno.EEXIST, "another file has that name", str(target))
    source.unlink()
    sync_folder(target.parent)


def _clear(folder: Path) -> None:
    """Delete the half-written files of an interrupted run."""
    for entry in os.scandir(folder):
        if TEMPORARY.fullmatch(entry.name):
            with suppress(OSError):
                if is_abandoned(entry.stat(follow_symlinks=False)):
                    Path(entry.path).unlink()


def _describe(error: OSError, mode: Mode) -> str:
    if error.errno == errno.EXDEV:
        return "is on another file system, where no hard link leads; use --mode copy"
    if error.errno == errno.ENOENT:
        return "is not there any more"
    return f"could not be sorted ({mode}): {error.strerror or error}"


def moved_photos(photos: Iterable[SeenPhoto], moves: Iterable[Move], home: Path | None) -> list[SeenPhoto]:
    """Return the photos of a library that were moved, with their new paths.

    Args:
        photos: all of them.
        moves: that were made, or failed.
        home: the folder that relative paths of the gallery start from.
    """
    places = {}
    for move in moves:
        with suppress(OSError):
            if not move.source.exists():
                places[move.source.absolute()] = move.target, move.target.stat()
    found = []
    for photo in photos:
        files = []
        for file in photo.files:
            place = places.get(photo_file(file.path, home).absolute())
            if place is not None:
                target, status = place
                file = PhotoFile(stored_path(target, home), status.st_size, status.st_mtime_ns)
            files.append(file)
        if tuple(files) != photo.files:
            found.append(replace(photo, files=tuple(files)))
    return found


class _Manifest:
    """Records where files were, before each is moved, as JSON lines."""

    def __init__(self, target: Path) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self.path = target / f"embed-sort-{moment}.jsonl"
        self._file = self.path.open("x", encoding="utf-8", errors="surrogateescape")

    def note(self, move: Move) -> None:
        """Write the old and the new path of a file."""
        entry = {"source": str(move.source.absolute()), "target": str(move.target.absolute())}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def undo_moves(manifest: Path) -> tuple[int, list[Rejected]]:
    """Move files back to where they were, the last one first.

    Args:
        manifest: that `sort_photos` wrote.

    Returns:
        How many files were moved back, and what could not be.

    Raises:
        UsageError: it is no manifest.
    """
    entries = _entries(manifest)
    done, rejected = 0, []
    for source, target in reversed(entries):
        if not os.path.lexists(target):
            if not os.path.lexists(source):
                rejected.append(Rejected(target, "is not there any more"))
            continue
        try:
            make_folder(source.parent)
            move_file(target, source)
            done += 1
        except OSError as error:
            rejected.append(Rejected(target, f"could not be moved back: {error.strerror or error}"))
    return done, rejected


def earlier_moves(target: Path) -> list[Move]:
    """Return the moves in the manifests of a folder, also of runs that were interrupted."""
    found = []
    for manifest in sorted(target.glob("embed-sort-*.jsonl")):
        with suppress(UsageError):
            found += [Move(source, place, 0) for source, place in _entries(manifest)]
    return found


def _entries(manifest: Path) -> list[tuple[Path, Path]]:
    """Read the old and new paths of files.

    Raises:
        UsageError: it is no manifest.
    """
    try:
        lines = read_file(manifest).decode("utf-8", "surrogateescape").splitlines()
        whole = map(json.loads, filter(_whole, lines))
        return [(Path(entry["source"]), Path(entry["target"])) for entry in whole]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{manifest}: expected a manifest of `embed library sort`: {error}") from error


def _whole(line: str) -> bool:
    return line.endswith("}")  # the last one may be cut, by a kill: then its file was not moved
