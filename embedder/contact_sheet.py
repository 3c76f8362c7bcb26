"""Write a PNG sheet of face crops, person by person, with the problems of photos.

Memory is bounded: of many photos the sheet shows a selection, with those that have a problem first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from embedder._internal.fonts import installed_fonts
from embedder._internal.outputs import Inputs, check_output, write_output
from embedder._internal.text import Colour, layout_line, shorten, wrap, write
from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.faces.crop import in_short
from embedder.folders import Rejected
from embedder.images import resize_to_square
from embedder.names import normal_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SIDE = 100  # pixels of a crop on the sheet
PER_LINE = 10
MAX_LINES = 100  # 13,000 pixels and more: many picture viewers cannot show a longer sheet
# Crops of 30 kB each: for 100 people with a problem, 100 others and the person being added, a line of photos
# with a problem and a line of others.
MAX_KEPT = 2 * PER_LINE * (2 * MAX_LINES + 1)

_GAP = 10  # pixels around everything
_NAMES = 190  # pixels: width of the column with the names
_LETTERS, _SMALL = 18, 14  # font sizes of names and of captions, in pixels
_LINE = 18  # pixels from a line of a caption to the next
_BORDER = 4  # pixels: frame around a crop with a problem
_REASON_LINES = 3

_PAPER, _INK, _GREY, _GRID = (255, 255, 255), (0, 0, 0), (95, 95, 95), (215, 215, 215)
_WARNING, _EMPTY = (240, 160, 0), (235, 235, 235)


@dataclass(frozen=True, eq=False)
class Tile:
    """Holds a photo of a contact sheet.

    Attributes:
        identity: name of the person.
        crop: (side, side, 3) uint8 RGB; None for a photo that cannot be used.
        caption: text below the crop, such as the file's name.
        problem: problem of the photo in a few words; None if there is none.
    """

    identity: str
    crop: NDArray[np.uint8] | None
    caption: str = ""
    problem: str | None = None


@dataclass
class SheetRow:
    """Collects the photos of a person: their number, and the tiles that are kept.

    Attributes:
        identity: name of the person.
        keeps: whether tiles stay once photos of another person follow.
        photos: number of photos added.
        problems: number of photos with a problem.
        good: kept tiles without a problem, each with the number of the photo.
        bad: kept tiles with a problem, each with the number of the photo.
    """

    identity: str
    keeps: bool
    photos: int = 0
    problems: int = 0
    good: list[tuple[int, Tile]] = field(default_factory=list)
    bad: list[tuple[int, Tile]] = field(default_factory=list)

    def lines(self) -> int:
        """Count the lines of a sheet that the kept tiles fill."""
        return math.ceil((len(self.good) + len(self.bad)) / PER_LINE)

    def first(self, lines: int) -> Row:
        """Return the row of tiles that fit into some lines, those with a problem preferred."""
        kept = sorted((self.bad + self.good)[: lines * PER_LINE], key=lambda entry: entry[0])
        return Row(self.identity, tuple(tile for _, tile in kept), self.photos, self.problems)


@dataclass(frozen=True)
class Row:
    """Holds the tiles of a person on a sheet, and the numbers of all their photos.

    Attributes:
        identity: name of the person.
        tiles: tiles to show, in the order of the photos.
        photos: number of all photos.
        problems: number of all photos with a problem.
    """

    identity: str
    tiles: tuple[Tile, ...]
    photos: int
    problems: int


class Selection:
    """Takes tiles one by one and keeps those that a sheet may show."""

    def __init__(self) -> None:
        """Make a selection without tiles."""
        self._people: dict[str, SheetRow] = {}
        self._each = MAX_LINES * PER_LINE  # photos kept of a person, and as many with a problem
        self._kept = 0
        self._last: SheetRow | None = None
        self._with_problems = 0

    def add(self, tile: Tile) -> None:
        """Count a tile, and keep it with a small crop if it may be shown."""
        person = self._people.get(tile.identity)
        if person is None:
            person = SheetRow(tile.identity, keeps=len(self._people) < MAX_LINES)
            self._people[tile.identity] = person
        if person is not self._last:
            self._let_go()
            self._last = person
        if tile.problem is not None and not person.problems:
            person.keeps = person.keeps or self._with_problems < MAX_LINES
            self._with_problems += 1
        person.photos += 1
        person.problems += tile.problem is not None
        kept = person.good if tile.problem is None else person.bad
        if len(kept) < self._each:
            crop = None if tile.crop is None else resize_to_square(tile.crop, SIDE).copy()
            kept.append((person.photos, replace(tile, crop=crop)))
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
        """Return a line on the people who are not among the rows; "" if all are."""
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
        """Drop the tiles of the last person, kept until now in case of a photo with a problem."""
        if self._last is not None and not self._last.keeps:
            self._kept -= len(self._last.good) + len(self._last.bad)
            self._last.good.clear()
            self._last.bad.clear()

    def _keep_fewer(self) -> None:
        self._each = max(PER_LINE, self._each // 2)
        for person in self._people.values():
            del person.good[self._each :], person.bad[self._each :]
        self._kept = sum(len(person.good) + len(person.bad) for person in self._people.values())


def contact_sheet(tiles: Iterable[Tile]) -> Image.Image:
    """Draw a contact sheet: a row for each person, with as many lines as the photos need.

    A sheet has at most 100 lines of 10 photos: with more people or photos, those with a problem are shown
    first, and the sheet states the number of those not shown. At most 4020 small crops are in memory, so
    `tiles` can be a generator of any length.

    Args:
        tiles: tiles in any order; people appear in the order of their first tile.

    Returns:
        An RGB picture.

    Raises:
        UsageError: `EMBED_FONT` names no font.
    """
    selection = Selection()
    for tile in tiles:
        selection.add(tile)
    rows = selection.rows()
    drawn = [_draw_row(row) for row in rows]
    if note := selection.not_shown(rows) if rows else "no photos":
        drawn.append(_draw_note(note))
    sheet = Image.new("RGB", (drawn[0].width, sum(strip.height for strip in drawn)), _PAPER)
    top = 0
    for strip in drawn:
        sheet.paste(strip, (0, top))
        top += strip.height
    return sheet


def check_preview(path: str | Path, inputs: Inputs | None = None, force: bool = False) -> None:
    """Check the path of a contact sheet, before the photos are read.

    Args:
        path: path of the PNG file.
        inputs: files that must not be replaced; see `outputs.check_output`.
        force: whether another existing file is replaced.

    Raises:
        UsageError: the name does not end in .png, its folder does not exist, the file must not be replaced,
            or `EMBED_FONT` names no font.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: a preview is a PNG file; expected a name that ends in .png")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: expected a file in a folder that exists; there is no {path.parent}")
    check_output(path, inputs, force)
    installed_fonts()


def save_preview(
    path: str | Path,
    tiles: Iterable[Tile],
    inputs: Inputs | None = None,
    force: bool = False,
) -> None:
    """Write a contact sheet as a PNG file.

    Args:
        path: path of the PNG file.
        tiles: tiles of the sheet; see `contact_sheet`.
        inputs: files that must not be replaced; see `outputs.check_output`.
        force: whether another existing file is replaced.

    Raises:
        UsageError: the path cannot be used, which `check_preview` finds before the first tile is read; or the
            file cannot be written.
    """
    check_preview(path, inputs, force)
    buffer = BytesIO()
    contact_sheet(tiles).save(buffer, "PNG")
    write_output(path, buffer.getvalue(), inputs, force)


def refused_tiles(rejected: Iterable[Rejected], root: Path) -> list[Tile]:
    """Make the tiles of rejected entries of a labelled folder, for the rows of their people.

    Args:
        rejected: rejected entries of the folder.
        root: path of the labelled folder; an entry directly in it gets a row with its own name.
    """
    return [
        Tile(
            normal_name((entry.path if entry.path.parent == root else entry.path.parent).name),
            None,
            entry.path.name,
            in_short(entry.reason),
        )
        for entry in rejected
    ]


def _draw_row(row: Row) -> Image.Image:
    lines = [row.tiles[start : start + PER_LINE] for start in range(0, len(row.tiles), PER_LINE)]
    captions = [[_captions(tile) for tile in line] for line in lines]
    heights = [SIDE + _GAP + _LINE * max(map(len, texts)) for texts in captions]
    heading = _heading(row)
    strip = _blank(2 * _GAP + sum(heights))  # the heading is at most as high as one line of photos
    top = _GAP
    for text, size, colour, step in heading:
        write(strip, layout_line(text, size), _GAP, top, colour)
        top += step
    top = _GAP
    for line, texts, height in zip(lines, captions, heights, strict=True):
        for column, (tile, caption) in enumerate(zip(line, texts, strict=True)):
            _draw_tile(strip, tile, caption, _NAMES + _GAP + column * (SIDE + _GAP), top)
        top += height
    return strip


def _heading(row: Row) -> list[tuple[str, int, Colour, int]]:
    """Return the lines beside the photos: text, font size, colour and step to the next line."""
    hidden = row.photos - len(row.tiles)
    facts = [count(row.photos, "photo", ",")]
    facts += [f"{row.problems:,} with a problem"] if row.problems else []
    facts += [f"{hidden:,} not shown"] if hidden else []
    return [
        *((text, _LETTERS, _INK, 24) for text in wrap(row.identity, _LETTERS, _NAMES - _GAP, 3)),
        *((text, _SMALL, _GREY, _LINE) for text in facts),
    ]


def _draw_tile(
    strip: Image.Image, tile: Tile, captions: list[tuple[str, Colour]], left: int, top: int
) -> None:
    draw = ImageDraw.Draw(strip)
    corners = (left, top, left + SIDE - 1, top + SIDE - 1)
    if tile.crop is None:
        draw.rectangle(corners, _EMPTY)
        draw.line(corners, _GRID, 2)
        draw.line((left, top + SIDE - 1, left + SIDE - 1, top), _GRID, 2)
    else:
        strip.paste(Image.fromarray(tile.crop), (left, top))
    if tile.problem is not None:
        draw.rectangle(corners, outline=_WARNING, width=_BORDER)
        draw.rectangle((left, top, left + 20, top + 22), _WARNING)
        draw.line((left + 10, top + 5, left + 10, top + 13), _INK, 3)  # an exclamation mark
        draw.rectangle((left + 9, top + 16, left + 11, top + 18), _INK)
    for index, (text, colour) in enumerate(captions):
        write(strip, layout_line(text, _SMALL), left, top + SIDE + 4 + index * _LINE, colour)


def _captions(tile: Tile) -> list[tuple[str, Colour]]:
    reason = wrap(tile.problem or "", _SMALL, SIDE, _REASON_LINES)
    return [(shorten(tile.caption, _SMALL, SIDE), _GREY), *((line, _INK) for line in reason)]


def _draw_note(text: str) -> Image.Image:
    strip = _blank(2 * _GAP + 24)
    write(strip, layout_line(text, _LETTERS), _GAP, _GAP, _INK)
    return strip


def _blank(height: int) -> Image.Image:
    strip = Image.new("RGB", (_NAMES + PER_LINE * (SIDE + _GAP) + _GAP, height), _PAPER)
    ImageDraw.Draw(strip).line((0, 0, strip.width, 0), _GRID)
    return strip
