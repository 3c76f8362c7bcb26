"""Check and write output files by one rule, for all commands and functions.

An existing file is replaced only with `force`. Inputs of the same call, and files that cannot be made again
(a gallery, its side files, a key, a part of a model), are never replaced. Files are compared by device and
inode, so that links, hard links and other spellings of a path count as the same file.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from embedder._internal.files import is_other_than_file, open_file, write_atomic
from embedder.errors import UsageError

REPLACE = "name another file, or --force replaces it"

# Files that belong to a database: SQLite's own, and those that `enroll` keeps beside a gallery.
_JOURNALS = ("-journal", "-wal", "-shm")
_SIDES = (*_JOURNALS, ".keys", *(f".keys{end}" for end in _JOURNALS), ".index")
_SQLITE = b"SQLite format 3\0"
_KEY_BYTES, _LONGEST_KEY = 32, 64  # bytes of a gallery's key, and of its file, a line of base64
_MODEL = "manifest.json"

FileId = tuple[int, int]  # device and inode


class Inputs:
    """Holds the files that a call reads, so that it replaces none of them.

    Args:
        paths: paths of files and folders; all files in a folder count, also through links. A missing path
            counts too, such as that of a gallery that the call will make.
        galleries: paths of galleries, whose side files count too.
    """

    def __init__(self, paths: Iterable[str | Path] = (), galleries: Iterable[str | Path] = ()) -> None:
        databases = [Path(gallery) for gallery in galleries]
        sides = [side for path in databases for side in side_files(path)]
        self._paths = [*map(Path, paths), *databases, *sides]

    def holds(self, path: Path) -> bool:
        """Return whether a path leads to one of the files."""
        found = _status(path)
        if found is not None:
            return _id(found) in self._ids
        name, folder = path.name.casefold(), _status(path.parent)
        return folder is not None and (name, _id(folder)) in self._missing

    @cached_property
    def _ids(self) -> frozenset[FileId]:
        return frozenset(_ids(self._paths))

    @cached_property
    def _missing(self) -> frozenset[tuple[str, FileId]]:
        return frozenset(
            (path.name.casefold(), _id(folder))
            for path in self._paths
            if _status(path) is None and (folder := _status(path.parent)) is not None
        )


def check_output(
    path: str | Path, inputs: Inputs | None = None, force: bool = False, advice: str = REPLACE
) -> None:
    """Check the path of an output file, before the work whose result it is for.

    Args:
        path: path of the file.
        inputs: files that the same call reads.
        force: whether an existing file is replaced.
        advice: end of the message on an existing file.

    Raises:
        UsageError: the file exists and `force` is False, or it is an input, a gallery, a side file of one, a
            key, a part of a model, or no regular file.
    """
    path = Path(path)
    try:
        problem = _problem(path, inputs)
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, or an invalid name
        raise UsageError(f"{path}: cannot be written: {error}") from error
    if problem:
        raise UsageError(f"{path}: {problem}; name another file")
    if os.path.lexists(path) and not force:
        raise _exists(path, advice)


def write_output(
    path: str | Path,
    data: bytes | Iterable[bytes],
    inputs: Inputs | None = None,
    force: bool = False,
    advice: str = REPLACE,
    private: bool = False,
) -> None:
    """Write an output file atomically, after the checks of `check_output`.

    A file that was made since the check is not replaced either.

    Args:
        path: path of the file.
        data: content, whole or in parts.
        inputs: files that the same call reads.
        force: whether an existing file is replaced.
        advice: end of the message on an existing file.
        private: whether only the owner may read the file.

    Raises:
        UsageError: the path cannot be used, see `check_output`, or the file cannot be written.
    """
    path = Path(path)
    check_output(path, inputs, force, advice)
    try:
        write_atomic(path, data, replace=force, private=private)
    except FileExistsError as error:
        raise _exists(path, advice) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error


def side_files(database: Path) -> list[Path]:
    """List the paths of side files that a database may have."""
    return [database.parent / f"{database.name}{side}" for side in _SIDES]


def is_side_file(path: Path) -> bool:
    """Return whether a path is a side file of an existing database."""
    return any(
        path.name.endswith(side) and _is_sqlite(path.with_name(path.name.removesuffix(side)))
        for side in _SIDES
        if path.name != side
    )


def _problem(path: Path, inputs: Inputs | None) -> str | None:
    """Return why a path may never be written, even with `force`; None if it may be."""
    if path.is_dir():
        return "expected a file, got a folder"
    if is_other_than_file(path):
        return "expected a file, got a pipe or a device"
    place = Path(os.path.realpath(path))  # `resolve` fails at a circle of links before Python 3.13
    if _is_sqlite(place) or is_side_file(path) or is_side_file(place):
        return "is a gallery or one of its files, which are never replaced"
    if _is_key(place):
        return "is the key of a gallery; one that is replaced is lost"
    if _is_part_of_model(place):
        return "is a part of the model"
    if inputs is not None and inputs.holds(path):
        return "is an input of this command"
    return None


def _exists(path: Path, advice: str) -> UsageError:
    return UsageError(f"{path}: is already there; {advice}")


def _is_sqlite(path: Path) -> bool:
    return _begins(path, len(_SQLITE)) == _SQLITE


def _is_key(path: Path) -> bool:
    try:
        return len(base64.b64decode(_begins(path, _LONGEST_KEY).strip(), validate=True)) == _KEY_BYTES
    except ValueError:
        return False


def _is_part_of_model(place: Path) -> bool:
    """Return whether an existing file is one of a model folder."""
    return (
        place.is_file()
        and (place.parent / _MODEL).is_file()
        and (place.name == _MODEL or place.name.startswith(("extractor", "weights")))
    )


def _begins(path: Path, size: int) -> bytes:
    """Return the first bytes of a file; b"" if it is missing or cannot be read."""
    try:
        with open_file(path) as file:
            return file.read(size)
    except OSError:
        return b""


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _id(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino


def _ids(paths: Iterable[Path]) -> Iterator[FileId]:
    """List device and inode of files, and of all files below folders, through links."""
    waiting, seen = list(paths), set[FileId]()
    while waiting:
        path = waiting.pop()
        found = _status(path)
        if found is None or _id(found) in seen:
            continue
        seen.add(_id(found))
        yield _id(found)
        if stat.S_ISDIR(found.st_mode):
            try:
                waiting += path.iterdir()
            except OSError:
                continue
