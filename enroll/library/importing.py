"""Import names that other programs gave, such as digiKam, Lightroom or Google Photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from embedder._internal.wording import count
from embedder.errors import ImageError, UsageError
from embedder.folders import Rejected
from enroll.gallery.gallery import checked_name
from enroll.library.matching import overlap
from enroll.library.metadata import FoundName, names_in
from enroll.library.regions import box_of_region

if TYPE_CHECKING:
    from enroll.library.people import Library
    from enroll.store.library import SeenFace, SeenPhoto

_SAME_PLACE = (
    0.3  # intersection over union from which another program's box and ours are one face: theirs are squares
)


@dataclass(frozen=True)
class Unplaced:
    """Holds a name that is not imported.

    Attributes:
        photo: path of the photo.
        name: of the person.
        reason: why it is not imported.
    """

    photo: Path
    name: str
    reason: str


@dataclass
class Imports:
    """Holds names that other programs gave.

    Attributes:
        faces: numbers of the faces of each name.
        known: number of faces that have the same name already.
        unplaced: names that are not imported.
        rejected: files that cannot be read.
    """

    faces: dict[str, list[int]] = field(default_factory=dict)
    known: int = 0
    unplaced: list[Unplaced] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def find_names(
    library: Library, below: Sequence[Path] = (), advance: Callable[[], object] = lambda: None
) -> Imports:
    """Find the names that other programs gave to faces of a library; nothing is changed.

    Args:
        library: photos that were scanned.
        below: folders, or photos, to search; empty: all.
        advance: called after each photo.
    """
    faces: dict[int, list[SeenFace]] = {}
    for face in library.faces.values():
        faces.setdefault(face.photo, []).append(face)
    roots = [folder.absolute() for folder in below]
    found = Imports()
    for number, photo in library.photos.items():
        advance()
        path = library.path(photo)
        if photo.there is None or photo.live:
            continue
        if roots and not any(path.absolute().is_relative_to(root) for root in roots):
            continue
        try:
            names, problems = names_in(path, photo.is_film)
        except ImageError as error:
            found.rejected.append(Rejected(path, error.reason))
            continue
        found.rejected += [Rejected(path, problem) for problem in problems]
        _take(library, path, photo, faces.get(number, []), names, found)
    return found


def _take(
    library: Library,
    path: Path,
    photo: SeenPhoto,
    faces: Sequence[SeenFace],
    names: Sequence[FoundName],
    found: Imports,
) -> None:
    """Assign the names in a photo to its faces."""
    people = library.people()
    taken: set[int] = set()
    for one in names:
        try:
            name = checked_name(one.name)
        except UsageError as error:
            found.unplaced.append(Unplaced(path, one.name, str(error)))
            continue
        face, reason = _face_of(one, photo, [face for face in faces if face.number not in taken], len(names))
        if face is None:
            found.unplaced.append(Unplaced(path, name, reason))
            continue
        refused = {people.get(person) for person in library.reviewed.refused.get(face.number, ())}
        if name in refused:
            found.unplaced.append(Unplaced(path, name, f"f{face.number} was said not to be {name}"))
        elif (has := library.names.get(face.number)) == name:
            taken.add(face.number)
            found.known += 1
        elif has is not None:
            found.unplaced.append(Unplaced(path, name, f"f{face.number} is confirmed as {has}"))
        elif not library.reviewed.is_unknown(face.number):
            state = library.reviewed.state(face.number)
            found.unplaced.append(Unplaced(path, name, f"f{face.number} is marked as {state}"))
        else:
            taken.add(face.number)
            found.faces.setdefault(name, []).append(face.number)


def _face_of(
    one: FoundName, photo: SeenPhoto, faces: Sequence[SeenFace], names: int
) -> tuple[SeenFace | None, str]:
    """Return the face that a name belongs to, or None and why."""
    if one.region is None:
        if len(faces) == 1 and names == 1:
            return faces[0], ""
        return None, f"{one.source.name} does not say which of {count(len(faces), 'face')} it is"
    box = box_of_region(one.region, photo.width, photo.height)
    best = max(faces, key=lambda face: overlap(face.box, box), default=None)
    if best is None or overlap(best.box, box) < _SAME_PLACE:
        cut = "" if one.sure else ", and the photo was cut since"
        return None, f"no face was found where {one.source.name} says{cut}"
    return best, ""
