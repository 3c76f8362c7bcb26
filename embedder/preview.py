"""A contact sheet: the faces that will be used, person by person, and what is wrong with which."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from embedder.errors import UsageError
from embedder.faces.crops import in_short
from embedder.folders import Rejected, normal_name
from embedder.lettering import Colour, set_line, shorten, wrap, write
from embedder.outputs import REPLACE, Inputs, check_output, write_output
from embedder.tiles import PER_LINE, SIDE, Row, Selection, Tile
from embedder.wording import count

__all__ = ["Tile", "check_preview", "contact_sheet", "refused_tiles", "save_preview"]

_GAP = 10  # pixels around everything
_NAMES = 190  # wide: the column with the names
_LETTERS, _SMALL = 18, 14  # pixels: of names, and of captions
_LINE = 18  # pixels from caption line to caption line
_BORDER = 4  # around a chip with a problem
_REASON_LINES = 3

_PAPER, _INK, _GREY, _RULE = (255, 255, 255), (0, 0, 0), (95, 95, 95), (215, 215, 215)
_WARNING, _EMPTY = (240, 160, 0), (235, 235, 235)


def contact_sheet(tiles: Iterable[Tile]) -> Image.Image:
    """Draw a contact sheet: a row for each person, of as many lines as the photos need.

    A sheet has at most 100 lines of 10 photos: with more people or photos, those with a problem are shown
    first, and the sheet says how many it does not show. Of any number of tiles a few thousand are kept, and
    those small, so a generator can give them.

    Args:
        tiles: in any order; people appear in the order of their first tile.

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


def check_preview(
    path: str | Path, inputs: Inputs | None = None, force: bool = False, advice: str = REPLACE
) -> None:
    """Refuse a place for a contact sheet before the work that it would show.

    Raises:
        UsageError: the name does not end in .png, its folder does not exist, or the file must not be
            replaced; see `outputs.check_output` for that and for the arguments.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: a preview is a PNG file; expected a name that ends in .png")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: expected a file in a folder that exists; there is no {path.parent}")
    check_output(path, inputs, force, advice)


def save_preview(
    path: str | Path,
    tiles: Iterable[Tile],
    inputs: Inputs | None = None,
    force: bool = False,
    advice: str = REPLACE,
) -> None:
    """Write a contact sheet as a PNG file; arguments as of `outputs.write_output`.

    Raises:
        UsageError: see `check_preview`, before the first tile is taken; or the file cannot be written, or
            `EMBED_FONT` names no font.
    """
    check_preview(path, inputs, force, advice)
    buffer = BytesIO()
    contact_sheet(tiles).save(buffer, "PNG")
    write_output(path, buffer.getvalue(), inputs, force, advice)


def refused_tiles(rejected: Iterable[Rejected], root: Path) -> list[Tile]:
    """Give the tiles of what could not be used of a labelled folder, each with the person it lies with.

    Args:
        rejected: entries of the folder.
        root: the folder; what lies directly in it stands under its own name.
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
        write(strip, set_line(text, size), _GAP, top, colour)
        top += step
    top = _GAP
    for line, texts, height in zip(lines, captions, heights, strict=True):
        for column, (tile, caption) in enumerate(zip(line, texts, strict=True)):
            _draw_tile(strip, tile, caption, _NAMES + _GAP + column * (SIDE + _GAP), top)
        top += height
    return strip


def _heading(row: Row) -> list[tuple[str, int, Colour, int]]:
    """Give the lines beside the photos: text, size, colour and step to the next line."""
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
    if tile.chip is None:
        draw.rectangle(corners, _EMPTY)
        draw.line(corners, _RULE, 2)
        draw.line((left, top + SIDE - 1, left + SIDE - 1, top), _RULE, 2)
    else:
        strip.paste(Image.fromarray(tile.chip), (left, top))
    if tile.problem is not None:
        draw.rectangle(corners, outline=_WARNING, width=_BORDER)
        draw.rectangle((left, top, left + 20, top + 22), _WARNING)
        draw.line((left + 10, top + 5, left + 10, top + 13), _INK, 3)  # an exclamation mark
        draw.rectangle((left + 9, top + 16, left + 11, top + 18), _INK)
    for index, (text, colour) in enumerate(captions):
        write(strip, set_line(text, _SMALL), left, top + SIDE + 4 + index * _LINE, colour)


def _captions(tile: Tile) -> list[tuple[str, Colour]]:
    reason = wrap(tile.problem or "", _SMALL, SIDE, _REASON_LINES)
    return [(shorten(tile.caption, _SMALL, SIDE), _GREY), *((line, _INK) for line in reason)]


def _draw_note(text: str) -> Image.Image:
    strip = _blank(2 * _GAP + 24)
    write(strip, set_line(text, _LETTERS), _GAP, _GAP, _INK)
    return strip


def _blank(height: int) -> Image.Image:
    strip = Image.new("RGB", (_NAMES + PER_LINE * (SIDE + _GAP) + _GAP, height), _PAPER)
    ImageDraw.Draw(strip).line((0, 0, strip.width, 0), _RULE)
    return strip
