"""What a gallery keeps of a photo library: photos that were looked at, the faces in them, what was decided.

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
    """A file that holds a photo.

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
    """A photo or a film that was looked at, wherever its file lies by now.

    Attributes:
        digest: SHA-256 of the file.
        files: where it lies; copies are one photo.
        width: of the upright picture, or frames, that were searched, in pixels.
        height: likewise.
        taken: when, ISO 8601 without a time zone, as the camera wrote it; None if unknown.
        problem: why no face could be looked for, or None.
        model: fingerprint of the model that looked.
        number: of the photo; 0 until it is stored.
        seconds: how much of a film was looked at; None of a photo.
        live: whether it is the film of a live photo, which stands for it; it has no faces then.
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
        """Whether it is a film, and no photo."""
        return self.seconds is not None

    @property
    def there(self) -> str | None:
        """Where the photo lies, None if no scan finds it any more."""
        return next((file.path for file in self.files if file.there), None)


@dataclass(frozen=True, eq=False)
class SeenFace:
    """A face in a photo, or a person in a film as their best frame shows them.

    Attributes:
        photo: number of the photo.
        box: x, y, width and height in pixels of the upright picture that was searched.
        vector: (dim,) float32 of unit length.
        quality: as `embedder.faces.quality.Quality` measures it, by name; empty if the picture is the face.
        expires: the last day on which it is kept while nobody has named it; None is for ever.
        model: fingerprint of the model of the vector.
        number: of the face, which never changes; 0 until it is stored.
        key: SHA-256 that stands for the face among templates; it never changes either.
        seconds: of a film, the time of the frame that box and quality are of; None of a photo.
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
    """A decision of a person about faces, as `enroll.library.review` reads it.

    Attributes:
        number: of the step, rising.
        person: whose key protects it, since it holds a name; 0 if it holds none.
        content: what was decided; JSON.
    """

    number: int
    person: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Changes:
    """What changed in a library since it was read last; None is what did not.

    Attributes:
        state: of now, to be given the next time.
        grown: of photo, face and step those to which rows were only added: what is given are the new ones.
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
    """The part of a gallery that is about a photo library; every change is whole and durable."""

    def state(self) -> dict[str, tuple[int, ...]]:
        """What `changes` compares: it differs for each table that changed."""

    def changes(self, since: Mapping[str, tuple[int, ...]] | None = None) -> Changes:
        """Read what changed since a state, all of it as it is at one moment; None reads everything."""

    def photos(self) -> list[SeenPhoto]:
        """All photos, by number."""

    def faces(self) -> list[SeenFace]:
        """All faces, by number."""

    def forgotten(self, digest: bytes) -> bool:
        """Return whether a photo was looked at and all that it showed was erased since."""

    def write(
        self,
        new: Sequence[tuple[SeenPhoto, Sequence[SeenFace]]] = (),
        photos: Sequence[SeenPhoto] = (),
        faces: Sequence[SeenFace] = (),
        gone: Sequence[int] = (),
    ) -> list[int]:
        """Write what a scan found, in one transaction; gives the numbers of the new photos.

        Args:
            new: photos with their faces.
            photos: take the place of those with their numbers.
            faces: likewise; one without a number is new.
            gone: numbers of faces to erase.
        """

    def names(self) -> dict[int, tuple[int, str]]:
        """Id and name of the person of each face that has one."""

    def steps(self) -> list[Step]:
        """All decisions, oldest first."""

    def decide(self, content: Mapping[str, Any], faces: Sequence[SeenFace] = ()) -> int:
        """Write a decision; gives its number.

        Args:
            content: JSON without names.
            faces: new faces that it is about, too, which get their numbers first.
        """

    def set_names(self, names: Mapping[int, int | None]) -> None:
        """Write the ids of the people of faces, None for no one; other faces stay."""

    def people(self) -> dict[int, str]:
        """Names of everyone who is enrolled, by id."""

    def template_names(self) -> dict[int, str]:
        """Name of the person of each template of someone who is enrolled, by the template's id."""

    def groups(self) -> dict[int, int]:
        """Number of the group of each face that is in one.

        Below 0 it is no group: minus the number of the ignored face that a face is like most probably.
        """

    def set_groups(self, groups: Mapping[int, int]) -> None:
        """Replace the groups."""

    def move_groups(self, groups: Mapping[int, int | None]) -> None:
        """Write the groups of faces, None for none; other faces stay."""

    def person(self, name: str) -> int | None:
        """Id of an enrolled person, None if there is none."""

    def expired(self, today: date) -> int:
        """How many faces that nobody has named are past their last day."""

    def purge(self, today: date) -> int:
        """Erase the faces that nobody has named and whose last day is before `today`; gives how many."""

    def erase_all(self) -> tuple[int, int]:
        """Erase all that is known of the library; gives how many photos and faces that was."""
