"""Which of any number of photos a contact sheet shows, in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from embedder.images import resize_to_square
from embedder.wording import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 100  # pixels of a chip on the sheet
PER_LINE = 10
MAX_LINES = 100  # 13,000 pixels and more: a longer sheet is too much to look through, and for many viewers
# Chips of 30 kB: a line of photos with a problem and a line of others, for as many people with a problem as a
# sheet has lines, for as many others, and for the one whose photos are coming.
MAX_KEPT = 2 * PER_LINE * (2 * MAX_LINES + 1)


@dataclass(frozen=True, eq=False)
class Tile:
    """One photo on a contact sheet.

    Attributes:
        identity: whose photo.
        chip: (side, side, 3) uint8, or None: the photo cannot be used.
        caption: such as the file's name.
        problem: what is wrong in a few words, or None.
    """

    identity: str
    chip: NDArray[np.uint8] | None
    caption: str = ""
    problem: str | None = None


@dataclass
class Person:
    """The photos of one person: those that are kept, and how many there were."""

    identity: str
    keeps: bool
    photos: int = 0
    problems: int = 0
    good: list[tuple[int, Tile]] = field(default_factory=list)
    bad: list[tuple[int, Tile]] = field(default_factory=list)

    def lines(self) -> int:
        """Count the lines that all kept tiles fill."""
        return math.ceil((len(self.good) + len(self.bad)) / PER_LINE)

    def first(self, lines: int) -> Row:
        """Give what fits in some lines, in its order; photos with a problem before others if not all fit."""
        kept = sorted((self.bad + self.good)[: lines * PER_LINE], key=lambda entry: entry[0])
        return Row(self.identity, tuple(tile for _, tile in kept), self.photos, self.problems)


@dataclass(frozen=True)
class Row:
    """What a sheet shows of a person, and how many photos, and photos with a problem, there are in all."""

    identity: str
    tiles: tuple[Tile, ...]
    photos: int
    problems: int


class Selection:
    """Takes tiles one by one and keeps those that a sheet may show."""

    def __init__(self) -> None:
        """Begin with none."""
        self._people: dict[str, Person] = {}
        self._each = MAX_LINES * PER_LINE  # photos kept of a person, and as many with a problem
        self._kept = 0
        self._last: Person | None = None
        self._troubled = 0

    def add(self, tile: Tile) -> None:
        """Count a tile, and keep it, small, if it may be shown."""
        person = self._people.get(tile.identity)
        if person is None:
            person = Person(tile.identity, keeps=len(self._people) < MAX_LINES)
            self._people[tile.identity] = person
        if person is not self._last:
            self._let_go()
            self._last = person
        if tile.problem is not None and not person.problems:
            person.keeps = person.keeps or self._troubled < MAX_LINES
            self._troubled += 1
        person.photos += 1
        person.problems += tile.problem is not None
        kept = person.good if tile.problem is None else person.bad
        if len(kept) < self._each:
            chip = None if tile.chip is None else resize_to_square(tile.chip, SIDE).copy()
            kept.append((person.photos, replace(tile, chip=chip)))
            self._kept += 1
            if self._kept > MAX_KEPT:
                self._keep_fewer()

    def rows(self) -> list[Row]:
        """Choose the rows of the sheet; people with a problem come first if not all people fit."""
        people = list(self._people.values())
        if len(people) > MAX_LINES:
            people = sorted((person for person in people if person.keeps), key=lambda each: not each.problems)
            people = people[:MAX_LINES]
        most = MAX_LINES
        while sum(min(most, person.lines()) for person in people) > MAX_LINES:
            most -= 1
        return [person.first(most) for person in people]

    def not_shown(self, rows: list[Row]) -> str:
        """Say how many people are not among the rows, or nothing."""
        people = len(self._people) - len(rows)
        if not people:
            return ""
        photos = sum(person.photos for person in self._people.values()) - sum(row.photos for row in rows)
        problems = sum(person.problems for person in self._people.values()) - sum(
            row.problems for row in rows
        )
        return (
            f"not shown: {count(people, 'more person', ',')} with {count(photos, 'photo', ',')}, "
            f"{problems:,} of them with a problem"
        )

    def _let_go(self) -> None:
        """Drop what was kept of the last person in case a problem came."""
        if self._last is not None and not self._last.keeps:
            self._kept -= len(self._last.good) + len(self._last.bad)
            self._last.good.clear()
            self._last.bad.clear()

    def _keep_fewer(self) -> None:
        self._each = max(PER_LINE, self._each // 2)
        for person in self._people.values():
            del person.good[self._each :], person.bad[self._each :]
        self._kept = sum(len(person.good) + len(person.bad) for person in self._people.values())
