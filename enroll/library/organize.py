"""Plan how to sort photos into a folder per person; `enroll.library.sorting` does it.

No file is ever overwritten. A copied file gets its name when it is complete. A moved one is noted in a
manifest before, gets its new name before it loses the old one, and can be moved back.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from embedder._internal.files import open_file
from embedder.errors import UsageError
from embedder.folders import Rejected
from enroll.library.files import companions

Mode = Literal["copy", "hardlink", "symlink", "move"]
MODES = ("copy", "hardlink", "symlink", "move")
UNKNOWN, NO_FACE, SEVERAL = "_unknown", "_no face", "_several"

_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}
_BARRED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_LONGEST = 200  # bytes of a folder's name; file systems take 255
_PART = 1 << 20  # bytes


@dataclass(frozen=True)
class Sorted:
    """Holds a photo to be sorted.

    Attributes:
        photo: its path.
        folders: names of the folders it is to be in.
    """

    photo: Path
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Move:
    """Holds a file and its target.

    Attributes:
        source, target: paths.
        size: bytes.
        there: whether the same content is at the target already.
    """

    source: Path
    target: Path
    size: int
    there: bool = False


@dataclass
class Plan:
    """Holds what sorting would do.

    Attributes:
        moves: one entry per file, sidecars and films of live photos too.
        rejected: files that cannot be sorted, and why.
    """

    moves: list[Move] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def open(self) -> list[Move]:
        """List the moves that are still to be done."""
        return [move for move in self.moves if not move.there]

    @property
    def size(self) -> int:
        """The number of bytes of the files that are still to be sorted."""
        return sum(move.size for move in self.open)


def folder_name(name: str) -> str:
    """Return the folder name of a person, valid on every common file system.

    Example:
        >>> folder_name("Ada/Lovelace. "), folder_name("CON")
        ('Ada_Lovelace', '_CON')
    """
    cleaned = _BARRED.sub("_", unicodedata.normalize("NFC", name)).strip().rstrip(". ")
    while len(cleaned.encode()) > _LONGEST:
        cleaned = cleaned[:-1].rstrip(". ")
    if cleaned.partition(".")[0].casefold() in _RESERVED or cleaned.startswith((".", "_")):
        cleaned = f"_{cleaned}"
    return cleaned or "_"


def folder_names(names: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each person, different also where case makes no difference.

    Example:
        >>> folder_names(["Ada", "ada"])
        {'Ada': 'Ada', 'ada': 'ada (2)'}
    """
    taken: set[str] = {UNKNOWN.casefold(), NO_FACE.casefold(), SEVERAL.casefold()}
    found = {}
    for name in sorted(set(names)):
        base = folder = folder_name(name)
        number = 2
        while folder.casefold() in taken:
            folder, number = f"{base} ({number})", number + 1
        taken.add(folder.casefold())
        found[name] = folder
    return found


def check_target(target: Path, photos: Iterable[Path]) -> None:
    """Check that the target is not among the photos, where a scan would find the copies.

    Args:
        target: the folder.
        photos: paths.

    Raises:
        UsageError: it does, or is no folder.
    """
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: expected a folder to sort into, got a file")
    real = Path(os.path.realpath(target))
    for folder in {Path(os.path.realpath(photo.parent)) for photo in photos}:
        if real == folder or real.is_relative_to(folder):
            raise UsageError(f"{target}: lies in {folder}, where photos are; name a folder outside of it")


def plan_sorting(photos: Sequence[Sorted], target: Path, mode: Mode, films: Collection[Path] = ()) -> Plan:
    """Plan the target of each file; nothing is changed.

    Args:
        photos: with their folders; with `move` only the first folder counts.
        target: the folder of the folders.
        mode: one of `MODES`.
        films: absolute paths of those that are sorted by the people in them, not with a photo.
    """
    plan = Plan()
    taken: dict[Path, Path] = {}
    for entry in photos:
        folders = entry.folders[:1] if mode == "move" else entry.folders
        for folder in folders:
            try:
                _plan_photo(entry.photo, target / folder, taken, plan, mode, films)
            except OSError as error:
                plan.rejected.append(Rejected(entry.photo, f"cannot be read: {error.strerror}"))
                break
    return plan


def _plan_photo(
    photo: Path, folder: Path, taken: dict[Path, Path], plan: Plan, mode: Mode, films: Collection[Path]
) -> None:
    along = [file for file in companions(photo) if file.absolute() not in films]
    files = [*along, photo]  # the photo last: as long as it is there, its companions are searched for
    sizes = [file.stat().st_size for file in files]
    number = 0
    while True:
        targets = [folder / _numbered(file.name, photo.stem, number) for file in files]
        states = [_state(file, place, taken, mode) for file, place in zip(files, targets, strict=True)]
        if "other" not in states:
            break
        number += 1
    for file, place, size, state in zip(files, targets, sizes, states, strict=True):
        if _key(place) in taken:
            continue  # a sidecar of two photos
        taken[_key(place)] = file
        plan.moves.append(Move(file, place, size, state == "same"))


def _numbered(name: str, stem: str, number: int) -> str:
    """Return the name of a file whose photo gets a number, which its companions get, too."""
    if not number:
        return name
    rest = name[len(stem) :] if name.lower().startswith(stem.lower()) else name
    return f"{stem}-{number}{rest}"


def _key(place: Path) -> Path:
    return place.parent / unicodedata.normalize("NFC", place.name).casefold()


def _state(file: Path, place: Path, taken: dict[Path, Path], mode: Mode) -> Literal["free", "same", "other"]:
    """Return what is at the target of a file."""
    if (first := taken.get(_key(place))) is not None:
        return "same" if first == file or same_content(first, file) else "other"
    if not os.path.lexists(place):
        return "free"
    if mode == "symlink" and place.is_symlink():
        return "same" if os.path.realpath(place) == os.path.realpath(file) else "other"
    return "same" if same_content(place, file) else "other"


def same_content(one: Path, other: Path) -> bool:
    """Return whether two files hold the same bytes; False if one cannot be read."""
    try:
        if one.samefile(other):
            return True
        return one.stat().st_size == other.stat().st_size and digest(one) == digest(other)
    except OSError:
        return False


def digest(path: Path, seconds: float | None = None) -> bytes:
    """Compute the SHA-256 of a file.

    Args:
        path: of it.
        seconds: time limit for reading it; None: none.

    Raises:
        OSError: it cannot be read, or not in that time.
    """
    summed = hashlib.sha256()
    end = None if seconds is None else time.monotonic() + seconds
    with open_file(path) as file:
        while part := file.read(_PART):
            summed.update(part)
            if end is not None and time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, f"not read in {seconds:g} seconds", str(path))
    return summed.digest()


def is_same_entry(one: Path, other: Path) -> bool:
    """Return whether two paths are one directory entry: deleting one would lose the file."""
    try:
        if not one.samefile(other):
            return False
        alike = one.name.casefold() == other.name.casefold() and one.parent.samefile(other.parent)
        return alike or one.stat().st_nlink < 2
    except OSError:
        return False
