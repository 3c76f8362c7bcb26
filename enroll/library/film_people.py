"""Join the appearances of a film to people, with all times in which each is in sight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from enroll.library.tracks import join_tracks

if TYPE_CHECKING:
    from enroll.library.appearances import Appearance

Interval = tuple[float, float]  # first and last second


class FilmPerson:
    """Collects the appearances of one person.

    Attributes:
        spans: first and last second of each.
        evidence: collected from all their frames.
        best: the most useful frames, the best first.
    """

    def __init__(self, appearance: Appearance) -> None:
        """Start with one appearance."""
        self._appearance = appearance
        self.spans: list[Interval] = [(appearance.first, appearance.last)]
        self.evidence, self.best = appearance.evidence, appearance.best

    def include(self, other: FilmPerson) -> None:
        """Add the appearances of another one who is the same person."""
        self._appearance.include(other._appearance)
        self.spans += other.spans

    def meets(self, other: FilmPerson) -> bool:
        """Return whether both are in sight at some time."""
        return at_once(self.spans, other.spans)

    def intervals(self, gap: float) -> tuple[Interval, ...]:
        """Return when the person is in sight.

        Times no farther apart than the gap are one interval.

        Args:
            gap: seconds.
        """
        merged: list[Interval] = []
        for start, end in sorted(self.spans):
            if merged and start - merged[-1][1] <= gap:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return tuple(merged)


def at_once(some: Iterable[Interval], others: Sequence[Interval]) -> bool:
    """Return whether two lists of intervals have a time in common.

    Example:
        >>> at_once([(0.0, 2.0)], [(2.0, 3.0)]), at_once([(0.0, 2.0)], [(2.5, 3.0)])
        (True, False)
    """
    return any(first <= last and start <= end for start, last in some for first, end in others)


def people_of(appearances: Sequence[Appearance], near: float | None) -> list[FilmPerson]:
    """Join appearances with near mean vectors, unless both are in sight at once.

    Args:
        appearances: of one film.
        near: distance up to which they are one person's; None joins none.
    """
    if near is None or not appearances:
        return list(map(FilmPerson, appearances))
    vectors = np.stack([appearance.evidence.mean() for appearance in appearances])
    spans = np.array([(appearance.first, appearance.last) for appearance in appearances])
    weights = np.array([float(appearance.evidence.good) for appearance in appearances])
    people: dict[int, FilmPerson] = {}
    for number, appearance in zip(
        join_tracks(vectors, spans, weights, near).tolist(), appearances, strict=True
    ):
        if number in people:
            people[number].include(FilmPerson(appearance))
        else:
            people[number] = FilmPerson(appearance)
    return list(people.values())
