"""Define what a gallery keeps of a photo library: photos, faces and decisions.

A film is kept as a photo is, with one face for each person who is followed through it.

Faces of people nobody has named are personal data as well: each has a day on which it is erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PhotoFile:
    """Holds a file of a photo.

    Attributes:
        path: as `enroll.gallery.places.stored_path` writes it.
        size: bytes.
        modified: nanoseconds since 1970.
        there: False if a scan did not find it any more.
    """

    path: str
    size: int
    modified: int
    there: bool = True


@dataclass(frozen=True)
class SeenPhoto:
    """Holds a photo or a film that was scanned, whatever its path is now.

    Attributes:
        digest: SHA-256 of the file, 32 bytes.
        files: its files; copies are one photo.
        width: of the upright picture, or frames, that were searched, in pixels.
        height: likewise.
        taken: when, ISO 8601 without a time zone, as the camera wrote it; None if unknown.
        problem: why it could not be searched for faces, or None.
        model: fingerprint of the model that was used.
        number: of the photo; 0 until it is stored.
        seconds: how much of a film was examined; None for a photo.
        live: whether it is the film of a live photo, which represents it; it has no faces then.
    """

    digest: bytes
    files: tuple[PhotoFile, ...]
    width: int
    height: int
    taken: str | None
    problem: str | None
    model: str
    number: int = 0
    seconds: float | None = None
    live: bool = False

    @property
    def is_film(self) -> bool:
        """Whether it is a film."""
        return self.seconds is not None

    @property
    def there(self) -> str | None:
        """The path of a file that exists, None if the last scan found none."""
        return next((file.path for file in self.files if file.there), None)


@dataclass(frozen=True, eq=False)
class SeenFace:
    """Holds a face in a photo, or a person in a film as their best frame shows them.

    Attributes:
        photo: number of the photo.
        box: x, y, width and height in pixels of the upright picture that was searched.
        vector: (dim,) float32 of unit length.
        quality: as `embedder.faces.quality.Quality` measures it, by name; empty if the picture is the face.
        expires: the last day on which it is kept while nobody has named it; None: for ever.
        model: fingerprint of the model of the vector.
        number: of the face, which never changes; 0 until it is stored.
        key: SHA-256 that identifies the face among templates; it never changes either.
        seconds: of a film, the time of the frame that box and quality are of; None for a photo.
        intervals: of a film, first and last second of each time in sight; the vector is of all of them.
    """

    photo: int
    box: tuple[int, int, int, int]
    vector: NDArray[np.float32] = field(repr=False)
    quality: Mapping[str, float]
    expires: date | None
    model: str
    number: int = 0
    key: bytes = b""
    seconds: float | None = None
    intervals: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Step:
    """Holds a decision of a user about faces, as `enroll.library.review` reads it.

    Attributes:
        number: of the step, rising.
        person: id of the person whose key encrypts it, since it holds a name; 0 if it holds none.
        content: the decision; JSON.
    """

    number: int
    person: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Changes:
    """Holds what changed in a library since the last read; unchanged parts are None.

    Attributes:
        state: current state, to be given the next time.
        grown: of photo, face and step, those to which rows were only added, and of which only these are
            given.
        model: fingerprint of the gallery's model, "" without one.
        photos: by number.
        faces: by number.
        steps: oldest first.
        names: id of the person of each face that has one.
        groups: see `LibraryStore.groups`.
        people: names of everyone who is enrolled, by id.
    """

    state: Mapping[str, tuple[int, ...]]
    grown: frozenset[str]
    model: str
    photos: list[SeenPhoto] | None = None
    faces: list[SeenFace] | None = None
    steps: list[Step] | None = None
    names: dict[int, int] | None = None
    groups: dict[int, int] | None = None
    people: dict[int, str] | None = None


class LibraryStore(Protocol):
    """Defines the part of a gallery about a photo library; every change is atomic and durable."""

    def state(self) -> dict[str, tuple[int, ...]]:
        """Return the state that `changes` compares; it differs for each table that changed."""

    def changes(self, since: Mapping[str, tuple[int, ...]] | None = None) -> Changes:
        """Read what changed since a state, consistently; None reads everything."""

    def photos(self) -> list[SeenPhoto]:
        """List all photos, by number."""

    def faces(self) -> list[SeenFace]:
        """List all faces, by number."""

    def forgotten(self, digest: bytes) -> bool:
        """Return whether a photo was scanned and all of its faces were erased since."""

    def write(
        self,
        new: Sequence[tuple[SeenPhoto, Sequence[SeenFace]]] = (),
        photos: Sequence[SeenPhoto] = (),
        faces: Sequence[SeenFace] = (),
        gone: Sequence[int] = (),
    ) -> list[int]:
        """Write the results of a scan, in one transaction.

        Args:
            new: photos with their faces.
            photos: replace those with their numbers.
            faces: likewise; one without a number is new.
            gone: numbers of faces to erase; those with a name or a decision stay.

        Returns:
            The numbers of the new photos.
        """

    def names(self) -> dict[int, tuple[int, str]]:
        """Return id and name of the person of each face that has one."""

    def steps(self) -> list[Step]:
        """List all decisions, oldest first."""

    def decide(self, content: Mapping[str, Any], faces: Sequence[SeenFace] = ()) -> int:
        """Write a decision, and return its number.

        Args:
            content: JSON without names.
            faces: new faces that it is about, too, which get their numbers first.
        """

    def set_names(self, names: Mapping[int, int | None]) -> None:
        """Write the ids of the people of faces, None for no one; other faces are unchanged."""

    def people(self) -> dict[int, str]:
        """Return the names of everyone who is enrolled, by id."""

    def template_names(self) -> dict[int, str]:
        """Return the name of the person of each template, by the template's id."""

    def groups(self) -> dict[int, int]:
        """Return the number of the group of each face that is in one.

        A negative number is no group: minus the number of the ignored face that a face is most like.
        """

    def set_groups(self, groups: Mapping[int, int]) -> None:
        """Replace all groups."""

    def move_groups(self, groups: Mapping[int, int | None]) -> None:
        """Write the groups of faces, None for none; other faces are unchanged."""

    def person(self, name: str) -> int | None:
        """Return the id of an enrolled person, None if there is none."""

    def expired(self, today: date) -> int:
        """Count the faces without a name that are past their last day."""

    def purge(self, today: date) -> int:
        """Erase faces without a name whose last day is before `today`, and return how many."""

    def erase_all(self) -> tuple[int, int]:
        """Erase the whole library, and return the number of photos and of faces."""
