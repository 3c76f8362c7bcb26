"""List the files of a photo library, and find those that belong together."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from embedder.folders import LITTER, SIDECARS, Rejected
from enroll.library.film_kinds import SUFFIXES as FILMS

PHOTOS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif", ".hif", ".bmp", ".gif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
RAWS = frozenset(
    {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2", ".raf", ".rw2", ".orf", ".pef", ".srw", ".x3f"}
    | {".mrw", ".raw", ".rwl", ".iiq", ".3fr", ".erf", ".kdc"}
)
OTHER_KINDS = "files of other kinds"
_SETTLED = 2_000_000_000  # ns after its last change from which the list of a folder is cached
_UNFINISHED = (".tmp", ".part", ".crdownload", ".download", ".partial")


@dataclass
class Listing:
    """Holds what is in a folder.

    Attributes:
        photos: files that may be photos, with size and time of change, in their order.
        films: files that may be films, likewise.
        rejected: folders and files that cannot be read.
        others: number of files of other kinds, by kind.
    """

    photos: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    films: list[tuple[Path, os.stat_result]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def may_be_looked_at(path: Path) -> bool:
    """Return whether a file may be a photo or a film by its name.

    Sidecars, hidden and unfinished files are none.
    """
    return _other(path) is None


def has_still(film: Path) -> bool:
    """Return whether a photo of the same name is beside a film, as for a live photo."""
    return any(
        path.stem.lower() == film.stem.lower() and path.suffix.lower() in PHOTOS for path in beside(film)
    )


def _other(path: Path) -> str | None:
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.startswith(".") or name in LITTER or name.endswith(("~", *_UNFINISHED)):
        return "hidden or unfinished files"
    if suffix in SIDECARS or suffix == ".ini":
        return "sidecars"
    return None if suffix in PHOTOS | RAWS | FILMS else OTHER_KINDS


def list_photos(place: Path) -> Listing:
    """List the photos and films in a folder and its subfolders.

    Links that lead out of it are not followed.

    Args:
        place: the folder, or a single file.

    Returns:
        All of it: what cannot be read is listed with the reason, and the rest goes on.
    """
    found = Listing()
    root = os.path.realpath(place)
    if not place.is_dir():
        _take(place, found, root=None)
        return found
    seen: set[tuple[int, int]] = set()
    waiting = [place]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            found.rejected.append(Rejected(folder, f"a folder that cannot be read: {error.strerror}"))
            continue
        deeper = []
        for entry in entries:
            path = Path(entry.path)
            if _is_folder(entry):
                if entry.name.startswith(".") or entry.name.lower() in LITTER:
                    found.others["hidden or unfinished files"] += 1
                elif entry.is_symlink() and not _inside(path, root):
                    found.rejected.append(Rejected(path, "a link that leads out of the folder; not followed"))
                else:
                    deeper.append(path)
            else:
                _take(path, found, root)
        waiting += reversed(deeper)
    return found


def _take(path: Path, found: Listing, root: str | None) -> None:
    if (other := _other(path)) is not None:
        found.others[other] += 1
        return
    try:
        if root is not None and path.is_symlink() and not _inside(path, root):
            found.rejected.append(Rejected(path, "a link that leads out of the folder; not followed"))
            return
        listed = found.films if path.suffix.lower() in FILMS else found.photos
        listed.append((path, path.stat()))
    except OSError as error:
        found.rejected.append(Rejected(path, f"cannot be read: {error.strerror}"))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _inside(path: Path, root: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(root)


@lru_cache(maxsize=8)
def _listed(folder: Path, _: int) -> tuple[list[str], list[Path]]:
    """List a folder, which may hold thousands of photos, and cache it while it is unchanged."""
    found = sorted((entry.name.lower(), Path(entry.path)) for entry in os.scandir(folder))
    return [name for name, _ in found], [path for _, path in found]


def beside(photo: Path) -> list[Path]:
    """List the files beside a photo whose names begin like its own."""
    try:
        modified = photo.parent.stat().st_mtime_ns
        # The clock of a file system may stand for milliseconds: a change in its last moment would not show.
        settled = abs(time.time_ns() - modified) > _SETTLED
        names, paths = (_listed if settled else _listed.__wrapped__)(photo.parent, modified)
    except OSError:
        return []
    stem = photo.stem.lower()
    start = bisect_left(names, stem)
    end = start
    while end < len(names) and names[end].startswith(stem):
        end += 1
    return [path for path in paths[start:end] if path.name != photo.name]


def companions(photo: Path) -> Iterator[Path]:
    """Yield the files that belong to a photo: sidecars, a live photo's film, raw beside JPEG.

    Args:
        photo: the photo; to a film only sidecars belong.
    """
    stem, name = photo.stem.lower(), photo.name.lower()
    kinds = SIDECARS if photo.suffix.lower() in FILMS else SIDECARS | FILMS | RAWS
    for other in beside(photo):
        own, suffix = other.name.lower(), other.suffix.lower()
        same = other.stem.lower() == stem and suffix in kinds
        # x.jpg.xmp, x.jpg.json, x.jpg.supplemental-metadata.json
        behind = own.startswith(f"{name}.") and suffix in SIDECARS
        if (same or behind) and own != name and other.is_file():
            yield other
