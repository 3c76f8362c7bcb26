"""Write who is in a photo into its metadata: a plan first, then each file completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.files import read_file, write_atomic
from embedder.errors import ImageError
from embedder.folders import Rejected
from embedder.images import read_image_file
from embedder.names import name_problem
from enroll.gallery.places import home_of, photo_file
from enroll.library.jpeg_xmp import embedded_xmp, with_xmp
from enroll.library.metadata import Frame, frame_of_file, sidecars_of
from enroll.library.organize import digest
from enroll.library.regions import TURNED, Region, frame_of, region_of, stored
from enroll.library.xmp import LARGEST, XmpError, read_people
from enroll.library.xmp_writing import Wanted, write_people
from enroll.store.library import PhotoFile

if TYPE_CHECKING:
    from enroll.library.people import Library
    from enroll.store.library import SeenFace, SeenPhoto

_CHANGED = "changed since it was scanned; `embed library scan` first"
_BACKUP = "_original"  # behind the name, as exiftool has it


@dataclass(frozen=True)
class Tagged:
    """Holds a file that would change.

    Attributes:
        photo: path of the photo.
        file: the sidecar, or the photo itself.
        before: the content that was read; None if there is no file.
        after: its new content.
        changes: what is new in it, one line each.
        number: of the photo in the library.
    """

    photo: Path
    file: Path
    before: bytes | None
    after: bytes
    changes: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class TagPlan:
    """Holds what would be written.

    Attributes:
        files: that would change.
        rejected: photos that cannot be written, and why.
    """

    files: tuple[Tagged, ...]
    rejected: tuple[Rejected, ...]


def plan_tags(library: Library, embed: bool = False) -> TagPlan:
    """Plan which files would change: of photos with confirmed names, or with names that were refused.

    Args:
        library: whose confirmed names are written.
        embed: write into JPEGs, too; other pictures get a sidecar in any case.
    """
    faces: dict[int, list[SeenFace]] = {}
    for face in library.faces.values():
        faces.setdefault(face.photo, []).append(face)
    people = library.people()
    files: list[Tagged] = []
    rejected: list[Rejected] = []
    for number, own in faces.items():
        photo = library.photos[number]
        wanted, gone = _wanted(library, photo, own, people)
        if photo.there is None or not (wanted or gone):
            continue
        for file in photo.files:
            if not file.there:
                continue
            path = photo_file(file.path, home_of(library.store))
            try:
                if photo.is_film:
                    files += _film_sidecar(path, photo, wanted, gone)
                else:
                    files += _files(path, photo, wanted, gone, embed)
            except ImageError as error:
                rejected.append(Rejected(path, error.reason))
            except (XmpError, OSError) as error:
                reason = (isinstance(error, OSError) and error.strerror) or str(error)
                rejected.append(Rejected(path, reason))
    return TagPlan(tuple(files), tuple(rejected))


def _wanted(
    library: Library, photo: SeenPhoto, faces: Iterable[SeenFace], people: dict[int, str]
) -> tuple[list[Region], list[Region]]:
    """Return the regions that must be in the metadata, and those that must not, in the upright picture."""
    wanted, gone = [], []
    for face in faces:
        place = region_of(face.box, photo.width, photo.height)
        if name := library.names.get(face.number):
            wanted.append(replace(place, name=name))
        elif face.number in library.reviewed.objects:
            gone.append(place)
        gone += [
            replace(place, name=people[person])
            for person in library.reviewed.refused.get(face.number, ())
            if person in people and people[person] != name
        ]
    return wanted, gone


def _files(
    path: Path, photo: SeenPhoto, wanted: Sequence[Region], gone: Sequence[Region], embed: bool
) -> list[Tagged]:
    """Return the files of one photo that would change.

    Raises:
        ImageError: the photo cannot be read.
        OSError: a sidecar cannot be.
        XmpError: what is there cannot be changed safely.
    """
    for region in wanted:  # a gallery from elsewhere may hold characters that XML cannot
        if problem := name_problem(region.name or ""):
            raise XmpError(problem)
    data = read_image_file(path)
    if hashlib.sha256(data).digest() != photo.digest:
        raise XmpError(_CHANGED)
    frame = frame_of_file(path, data)
    inside = embedded_xmp(data)
    sidecars = sidecars_of(path)
    found = []
    into_photo = embed and data[:2] == b"\xff\xd8"
    if into_photo:
        packet = _written(inside, None, path, frame, photo, wanted, gone)
        if packet != inside and packet is not None:
            changes = _difference(inside, packet)
            found.append(Tagged(path, path, data, with_xmp(data, packet), changes, photo.number))
    if sidecars.read or not into_photo:
        place = sidecars.write
        before = read_file(place, LARGEST) if sidecars.read else None
        after = _written(before, inside, place, frame, photo, wanted, gone)
        if after is not None and after != before:
            found.append(Tagged(path, place, before, after, _difference(before, after), photo.number))
    return found


def _film_sidecar(
    path: Path, film: SeenPhoto, wanted: Sequence[Region], gone: Sequence[Region]
) -> list[Tagged]:
    """Return the sidecar of a film, if it would change: its people, without places, which move.

    Raises:
        OSError: film or sidecar cannot be read.
        XmpError: what is there cannot be changed safely.
    """
    if digest(path) != film.digest:
        raise XmpError(_CHANGED)
    names = list(dict.fromkeys(region.name for region in wanted if region.name))
    absent = [region.name for region in gone if region.name and region.name not in names]
    sidecars = sidecars_of(path)
    before = read_file(sidecars.write, LARGEST) if sidecars.read else None
    if before is None and not names:
        return []
    after = write_people(before, Wanted((), people=names, absent=absent))
    if after == before:
        return []
    return [Tagged(path, sidecars.write, before, after, _difference(before, after), film.number)]


def _written(
    packet: bytes | None,
    base: bytes | None,
    place: Path,
    frame: Frame,
    photo: SeenPhoto,
    wanted: Sequence[Region],
    gone: Sequence[Region],
) -> bytes | None:
    """Return the new packet of a file; None if there is nothing to write."""
    there = packet if packet is not None else base
    if there is None and not wanted:
        return None
    said = read_people(there) if there is not None else None
    kind = frame_of(said.applied if said else None, frame.size, frame.orientation)
    if said and said.regions and kind == "unsure":
        raise XmpError(
            f"{place.name}: its regions are of a picture of another shape; was the photo cut since? "
            "Not touched"
        )
    size = frame.size if all(frame.size) else _turned((photo.width, photo.height), frame.orientation)
    if kind == "displayed":
        size = _turned(size, frame.orientation)
    else:
        wanted = [stored(region, frame.orientation) for region in wanted]
        gone = [stored(region, frame.orientation) for region in gone]
    target = Wanted(wanted, gone, size)
    if packet is None:
        return write_people(None, target, base) if wanted else None
    return write_people(packet, target)


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation in TURNED else size


def _difference(before: bytes | None, after: bytes) -> tuple[str, ...]:
    """List the differences about people between two packets."""
    old = read_people(before) if before is not None else None
    new = read_people(after)
    was, now = ([_line(one) for one in (said.regions if said else ())] for said in (old, new))
    lines = [f"- {line}" for line in was if line not in now] + [
        f"+ {line}" for line in now if line not in was
    ]
    gone = set(old.people if old else ()) - set(new.people)
    fresh = set(new.people) - set(old.people if old else ())
    return (
        *lines,
        *(f"- person in image: {name}" for name in sorted(gone)),
        *(f"+ person in image: {name}" for name in sorted(fresh)),
    )


def _line(region: Region) -> str:
    place = f"{region.x:.3f},{region.y:.3f} {region.w:.3f}x{region.h:.3f}"
    return f"{region.kind} {region.name or '(no name)'} at {place}"


def write_tags(
    plan: TagPlan, library: Library, backup: bool = True, keep_times: bool = False
) -> tuple[int, list[Rejected]]:
    """Write the metadata by a plan.

    Args:
        plan: from `plan_tags`.
        library: gets the new digests of photos that have changed.
        backup: keep the photo as it was before the first change beside it, under its name with _original.
        keep_times: restore the times of the files.

    Returns:
        How many files were written, and what could not be.
    """
    done, rejected = 0, []
    for entry in plan.files:
        try:
            _write(entry, backup, keep_times)
            done += 1
        except OSError as error:
            reason = "is not there any more" if error.errno == errno.ENOENT else error.strerror or str(error)
            rejected.append(Rejected(entry.file, f"could not be written: {reason}"))
            continue
        if entry.file == entry.photo:
            _note(entry, library)
    return done, rejected


def _write(entry: Tagged, backup: bool, keep_times: bool) -> None:
    """Write one file, if it is unchanged since it was read.

    Raises:
        OSError: it is not, or cannot be written; it is as it was.
    """
    file = Path(os.path.realpath(entry.file))  # the target of a link is changed, the link stays
    if entry.before is None:
        write_atomic(file, entry.after, replace=False)
        return
    times = file.stat()
    if read_file(file, max(LARGEST, len(entry.before))) != entry.before:
        raise OSError(errno.EBUSY, "it was changed meanwhile; do it again")
    if backup and entry.file == entry.photo:
        with suppress(FileExistsError):
            write_atomic(file.with_name(f"{file.name}{_BACKUP}"), entry.before, replace=False)
    write_atomic(file, entry.after)
    if keep_times:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def _note(entry: Tagged, library: Library) -> None:
    """Record the digest of the photo's new content in the library."""
    photo = library.photos[entry.number]
    home = home_of(library.store)
    files = []
    for file in photo.files:
        if photo_file(file.path, home) == entry.file:
            status = entry.file.stat()
            file = PhotoFile(file.path, status.st_size, status.st_mtime_ns)
        files.append(file)
    changed = replace(photo, digest=hashlib.sha256(entry.after).digest(), files=tuple(files))
    library.rows.write(photos=[changed])
    library.photos[entry.number] = changed
