"""Find the people of a film for a photo library, and the times when they are in sight.

Nobody is named here: a library suggests names later. The limits are those of `embed identify film.mp4`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from embedder._internal.runtime import map_in_order
from embedder._internal.wording import count
from embedder.errors import FilmError
from enroll.config import FilmConfig
from enroll.decision import Decision, decide
from enroll.library.appearances import Appearance, Appearances
from enroll.library.film_people import FilmPerson, Interval, people_of
from enroll.library.video import Film, Frame

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from embedder.extractor import Extractor
    from embedder.faces.crop import Box, Crop

MOST = 1000  # people of a film that are kept: a crowd on a square, at two frames a second
LIVE = 6.0  # seconds that the film of a live photo has at most; phones take about 3
_EARLIEST = 1971  # cameras whose clock was never set write 1904 or 1970


@dataclass(frozen=True, eq=False)
class FilmFace:
    """Holds a person of a film, as their best frame shows them.

    Attributes:
        box: x, y, width and height in pixels of the upright frame.
        vector: (dim,) float32 of unit length, the mean of their best frames.
        quality: of the best frame, by name; empty if the picture is the face.
        seconds: time of that frame.
        intervals: first and last second of each time in sight.
    """

    box: Box
    vector: NDArray[np.float32]
    quality: dict[str, float]
    seconds: float
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, eq=False)
class FilmFaces:
    """Holds the people of a film.

    Attributes:
        size: width and height of the upright frames, in pixels.
        seconds: how much of it was examined.
        taken: when, ISO 8601 without a time zone; None if the film does not say.
        faces: by the first time they are seen.
        notes: what of the film could not be read, one sentence each.
        lost: whether its file vanished meanwhile, so that it has to be scanned again.
        live: whether it is as short as the film of a live photo; then it was not examined.
    """

    size: tuple[int, int]
    seconds: float
    taken: str | None
    faces: tuple[FilmFace, ...] = ()
    notes: tuple[str, ...] = ()
    lost: bool = False
    live: bool = False


def look_through(
    path: Path,
    extractor: Extractor,
    near: float | None,
    config: FilmConfig | None = None,
    beside_photo: bool = False,
    heard: Callable[[float], object] = lambda seconds: None,
) -> FilmFaces:
    """Find the people of a film; of a broken one, those of the part that can be read.

    Args:
        path: of the film.
        extractor: finds and embeds faces.
        near: distance up to which faces are one person's; None follows them by their places alone.
        config: frames a second, and limits.
        beside_photo: whether a photo of the same name is beside it; then a short film is not examined.
        heard: called with the seconds that were examined.

    Raises:
        FilmError: it cannot be read.
    """
    config = config or FilmConfig()
    reader = Film(path, config)
    with closing(reader.frames()) as frames:
        first = next(frames, None)  # opens it, so that its length is known
        if first is None:
            raise FilmError(path, f"has no frame that can be looked at: {'; '.join(reader.notes)}")
        height, width = first.pixels.shape[:2]
        if beside_photo and 0 < reader.stated <= LIVE:
            return FilmFaces((width, height), 0.0, film_taken(reader.metadata), live=True)
        people, many = _followed(chain([first], frames), extractor, near, config, heard)
    notes = tuple(reader.notes)
    if many or len(people) > MOST:
        notes += (f"only the {count(MOST, 'person', ',')} who are seen best are kept",)
    people.sort(key=_usefulness, reverse=True)
    faces = [_face(person, config.gap, (width, height)) for person in people[:MOST]]
    return FilmFaces(
        (width, height),
        reader.seconds,
        film_taken(reader.metadata),
        tuple(sorted(faces, key=lambda face: (face.intervals, face.box))),
        notes,
        reader.lost,
    )


def _followed(
    frames: Iterable[Frame],
    extractor: Extractor,
    near: float | None,
    config: FilmConfig,
    heard: Callable[[float], object],
) -> tuple[list[FilmPerson], bool]:
    """Follow the faces of frames.

    Returns:
        The people, and whether some were left out because there are too many.
    """
    appearances = Appearances(_no_names, near, config.gap, keep_crops=False)
    over: list[Appearance] = []
    many = False

    def look(frame: Frame) -> tuple[Frame, list[Crop], NDArray[np.float32]]:
        crops = extractor.crops(frame.pixels)
        return frame, crops, extractor.embed([crop.pixels for crop in crops])

    for frame, crops, vectors in map_in_order(look, frames):
        appearances.add(frame, crops, vectors)
        over += appearances.take_ended()
        if len(over) > 2 * MOST:
            over = sorted(over, key=_usefulness, reverse=True)[:MOST]
            many = True
        heard(frame.seconds)
    return people_of([*over, *appearances.take_all()], near), many


def film_taken(metadata: dict[str, str]) -> str | None:
    """Return when a film was taken, ISO 8601 without a time zone, in local time if known.

    Phones write local time; others write UTC, which is converted to the time of this machine.

    Example:
        >>> film_taken({"com.apple.quicktime.creationdate": "2024-05-01T12:00:00+0200"})
        '2024-05-01T12:00:00'
    """
    for key, is_local in (("com.apple.quicktime.creationdate", True), ("creation_time", False)):
        try:
            moment = datetime.fromisoformat(metadata.get(key, ""))
            if moment.year < _EARLIEST:
                continue
            if moment.tzinfo is not None and not is_local:
                moment = moment.astimezone()
            return moment.replace(tzinfo=None).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _no_names(vectors: NDArray[np.float32]) -> Sequence[Decision]:
    return [decide((), 0.0)] * len(vectors)


def _usefulness(one: Appearance | FilmPerson) -> tuple[bool, int, float]:
    return bool(one.evidence.good), one.evidence.frames, one.best[0][0]


def _face(person: FilmPerson, gap: float, size: tuple[int, int]) -> FilmFace:
    best = person.best[0][1]
    return FilmFace(
        best.box or (0, 0, *size),
        person.evidence.mean(),
        vars(best.quality) if best.quality else {},
        round(best.seconds, 3),
        tuple((round(start, 3), round(end, 3)) for start, end in person.intervals(gap)),
    )
