"""Report who comes into the sight of a camera and who has left it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from enroll.library.appearances import Appearance
from enroll.library.film import FilmIdentifier
from enroll.library.video import Frame
from enroll.sightings import PersonSeen

_DOUBT = 2  # times the good frames that a name takes, after which a person is reported as unknown


@dataclass(frozen=True, eq=False)
class CameraEvent:
    """Holds one event: someone was recognized, or has left.

    Attributes:
        kind: `seen`: a name, or that the person is unknown, is decided; `left`: out of sight, with the
            answer from all frames.
        moment: when.
        person: the answer.
    """

    kind: Literal["seen", "left"]
    moment: datetime
    person: PersonSeen


class Watch:
    """Follows the people before a camera; its memory does not grow with time."""

    def __init__(self, identifier: FilmIdentifier) -> None:
        """Start with no one in sight."""
        self._identifier = identifier
        self._appearances = identifier.follow()
        self._said: dict[int, str | None] = {}  # by the id of an open appearance

    def events(self, frames: Iterable[Frame]) -> Iterator[CameraEvent]:
        """Yield events as they happen; at the end of the frames, those in sight leave."""
        for frame in frames:
            self._appearances.add(*self._identifier.look(frame))
            yield from self._left(self._appearances.take_ended())
            for appearance in self._appearances.open():
                if (person := self._news(appearance)) is not None:
                    yield CameraEvent("seen", _now(), person)
        yield from self.close()

    def close(self) -> Iterator[CameraEvent]:
        """End all appearances, and yield those events."""
        yield from self._left(self._appearances.take_all())

    def _news(self, appearance: Appearance) -> PersonSeen | None:
        evidence = appearance.evidence
        agree = self._identifier.config.agree
        key = id(appearance)
        if evidence.good < agree or self._said.get(key) is not None:
            return None
        (person,) = self._identifier.people([appearance])
        if person.identity is None and (key in self._said or evidence.good < _DOUBT * agree):
            return None
        self._said[key] = person.identity
        return person

    def _left(self, ended: list[Appearance]) -> Iterator[CameraEvent]:
        for appearance in ended:
            self._said.pop(id(appearance), None)
            for person in self._identifier.people([appearance]):
                yield CameraEvent("left", _now(), person)


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
