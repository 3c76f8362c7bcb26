"""Describe which people's photos a calibration sets aside, why, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedder._internal.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from enroll.near_people import Kind, NearPeople

_SHOWN = 3  # photos of a pair of people that are named


@dataclass(frozen=True)
class NearPhotos:
    """Holds a photo and the nearest one of another person.

    Attributes:
        photo, like: paths of the two.
        distance: between them, 0 to 2.
    """

    photo: str
    like: str
    distance: float


@dataclass(frozen=True)
class SetAside:
    """Holds two people who are nearer to each other than strangers are.

    Attributes:
        first, second: their names.
        kind: `copy`, `photo` or `people`, see `enroll.near_people.NearPeople`.
        photos: of the first, each with the nearest of the second, nearest first.
    """

    first: str
    second: str
    kind: Kind
    photos: tuple[NearPhotos, ...]

    def describe(self) -> str:
        """Return one sentence that says what was found and what to do."""
        nearest = self.photos[0]
        if self.kind == "copy":
            return (
                f"{nearest.photo} ({self.first}) and {nearest.like} ({self.second}) are the same picture "
                f"(distance {nearest.distance:.3f}); `embed gallery remove-photo` it from whom it does not "
                f"show, and if it shows both, from both{self._more()}"
            )
        if self.kind == "photo":
            return (
                f"{nearest.photo}, filed under {self.first}, is like {self.second} ({nearest.like}, distance "
                f"{nearest.distance:.3f}); if it does not show {self.first}, `embed gallery remove-photo` it"
                f"{self._more()}"
            )
        return (
            f"{self.first} and {self.second} are as near as one person ({nearest.photo} and {nearest.like}, "
            f"distance {nearest.distance:.3f}, and {len(self.photos) - 1} more); if they are one, `embed "
            "gallery rename` one of them; if they are two, either may be named for the other"
        )

    def _more(self) -> str:
        if not (others := self.photos[1:]):
            return ""
        named = ", ".join(photo.photo for photo in others[: _SHOWN - 1])
        rest = len(others) - (_SHOWN - 1)
        return f"; so are {named}" + (f" and {count(rest, 'more photo')}" if rest > 0 else "")

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dict for JSON."""
        return {
            "people": [self.first, self.second],
            "kind": self.kind,
            "photos": [
                {"photo": one.photo, "like": one.like, "distance": one.distance} for one in self.photos
            ],
        }


def set_aside(
    near: Sequence[NearPeople], names: Sequence[str], photos: Callable[[Sequence[int]], Sequence[str]]
) -> tuple[SetAside, ...]:
    """Look up names and paths of the people and photos that were found.

    Args:
        near: as rows and indices.
        names: of the people, by index.
        photos: returns the paths of the photos of some rows.
    """
    found = []
    for pair in near:
        firsts = photos([row for row, _, _ in pair.photos])
        seconds = photos([row for _, row, _ in pair.photos])
        listed = zip(firsts, seconds, (distance for _, _, distance in pair.photos), strict=True)
        found.append(
            SetAside(
                names[pair.first],
                names[pair.second],
                pair.kind,
                tuple(NearPhotos(*entry) for entry in listed),
            )
        )
    return tuple(found)
