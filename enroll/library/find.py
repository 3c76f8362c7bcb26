"""Find every photo and film of a person, by date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from enroll.library.film_people import at_once
from enroll.library.suggest import Suggestion, current_templates, refused_names, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.library.film_people import Interval
    from enroll.library.people import Library
    from enroll.store.library import SeenFace


@dataclass(frozen=True)
class Sighting:
    """Holds a person in a photo or film.

    Attributes:
        name: of the person; None for someone who is known by a photo alone.
        photo: its path.
        date: when it was taken, ISO 8601; of a photo without a date, when its file was last changed.
        face: number of the face.
        box: x, y, width and height in pixels of the upright photo, or of the frame.
        state: confirmed by a user, or suggested by the model.
        distance: to the nearest template, or to the face that was asked for; None if it was confirmed.
        seconds: of a film, the time of the frame that shows the person best; None for a photo.
        intervals: of a film, first and last second of each time in sight.
    """

    name: str | None
    photo: Path
    date: str
    face: int
    box: tuple[int, int, int, int]
    state: Literal["confirmed", "suggested"]
    distance: float | None
    seconds: float | None = None
    intervals: tuple[Interval, ...] = ()


def suggestions(library: Library, threshold: float, margin: float = 0.0) -> dict[int, Suggestion]:
    """Suggest names for the unknown faces of a library.

    Names that were refused are not suggested, nor people who have expired.

    Args:
        library: the photos.
        threshold: largest distance at which a name is suggested.
        margin: how much farther the second person must be.

    Returns:
        A suggestion by the number of the face.
    """
    faces = library.unknown()
    templates = current_templates(library.store, date.today())
    if not faces or not len(templates.ids):
        return {}
    refused = refused_names(faces, library.reviewed, library.people())
    taken: dict[int, set[str]] = {}
    in_films: dict[int, list[tuple[SeenFace, str]]] = {}
    for number, name in library.names.items():
        if (known := library.faces.get(number)) is None:
            continue
        if known.intervals:
            in_films.setdefault(known.photo, []).append((known, name))
        else:
            taken.setdefault(known.photo, set()).add(name)
    for row, face in enumerate(faces):
        others = in_films.get(face.photo, ())
        refused[row] |= {name for other, name in others if at_once(face.intervals, other.intervals)}
    found = suggest(
        np.stack([face.vector for face in faces]),
        [face.photo for face in faces],
        templates,
        threshold,
        margin,
        refused,
        taken,
        [face.intervals for face in faces],
    )
    return {face.number: one for face, one in zip(faces, found, strict=True) if one is not None}


def sightings(
    library: Library,
    threshold: float | None,
    margin: float = 0.0,
    name: str | None = None,
    suggested: Mapping[int, Suggestion] | None = None,
) -> list[Sighting]:
    """List the people in photos, by date.

    Args:
        library: the photos.
        threshold: for names that nobody has confirmed; None leaves them out.
        margin: how much farther the second person must be.
        name: of one person; None: everyone.
        suggested: names for unknown faces, if they are known already.
    """
    found = [
        _sighting(library, library.faces[number], whose, "confirmed", None)
        for number, whose in library.names.items()
        if number in library.faces and name in (None, whose)
    ]
    if threshold is not None:
        if suggested is None:
            suggested = suggestions(library, threshold, margin)
        found += [
            _sighting(library, library.faces[number], one.name, "suggested", one.distance)
            for number, one in suggested.items()
            if name in (None, one.name)
        ]
    return _by_date([one for one in found if library.photos[library.faces[one.face].photo].there])


def similar(library: Library, vector: NDArray[np.float32], threshold: float) -> list[Sighting]:
    """List the photos with a face within a distance of another one, by date.

    Args:
        library: the photos.
        vector: (dim,) float32 of unit length.
        threshold: the distance.
    """
    faces = [
        face
        for face in library.faces.values()
        if library.photos[face.photo].there and library.reviewed.state(face.number) != "not-a-face"
    ]
    if not faces:
        return []
    away = np.stack([face.vector for face in faces]).astype(np.float64) - vector
    distances = np.sqrt((away**2).sum(axis=1))
    return _by_date(
        [
            _sighting(
                library,
                face,
                library.names.get(face.number),
                "confirmed" if face.number in library.names else "suggested",
                float(distance),
            )
            for face, distance in zip(faces, distances, strict=True)
            if distance <= threshold
        ]
    )


def _sighting(
    library: Library,
    face: SeenFace,
    name: str | None,
    state: Literal["confirmed", "suggested"],
    distance: float | None,
) -> Sighting:
    photo = library.photos[face.photo]
    where, when = library.path(photo), library.when(photo)
    moment = (face.seconds, face.intervals)
    return Sighting(name, where, when, face.number, face.box, state, distance, *moment)


def _by_date(found: list[Sighting]) -> list[Sighting]:
    return sorted(found, key=lambda one: (one.date, str(one.photo), one.intervals, one.face))
