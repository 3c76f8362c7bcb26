"""Scan the directories of a TIFF before it is decoded, and recognize raw files of cameras."""

from __future__ import annotations

import struct

from embedder.images.exif import Directory, read_directory
from embedder.images.header import MEBIBYTE, BrokenError, Header

_KIND, _WIDTH, _HEIGHT, _BITS, _COLOURS, _ORIENTATION = 254, 256, 257, 258, 262, 274
_SAMPLES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _PROFILE = 277, 278, 322, 323, 34675
_PARTS, _DNG = 330, 50706
_SENSOR = frozenset({32803, 34892})  # photometric interpretations: colour filter array, linear raw
_MOST_TABLES = 200
_MOST_TAGS = 20_000
_MOST_TILE = 16_000_000  # pixels of a tile, besides four times those of the picture
RAW_ADVICE = "develop it and save it as JPEG or TIFF"

# Offset and magic bytes of raw files of cameras that are no TIFF, or differ slightly from one.
RAW = (
    (0, b"IIRO", "an Olympus ORF"),
    (0, b"IIRS", "an Olympus ORF"),
    (0, b"MMOR", "an Olympus ORF"),
    (0, b"IIU\0", "a Panasonic RW2"),
    (0, b"FUJIFILMCCD-RAW", "a Fujifilm RAF"),
    (0, b"FOVb", "a Sigma X3F"),
    (0, b"\0MRM", "a Minolta MRW"),
    (4, b"ftypcrx ", "a Canon CR3"),
    (8, b"CR\x02", "a Canon CR2"),
)


def raw_kind(data: bytes) -> str | None:
    """Return the kind of a camera's raw file by its first bytes, with advice; else None."""
    for place, magic, name in RAW:
        if data[place : place + len(magic)] == magic and (place != 8 or data[:4] == b"II*\0"):
            return f"{name}, a raw file of a camera, which is not read; {RAW_ADVICE}"
    return None


def scan_tiff(data: bytes) -> Header:
    """Scan the first page of a TIFF.

    Raises:
        BrokenError: the file is no TIFF, a raw file of a camera, or has too many or too large tags.
    """
    tables = _tables(data)
    if not tables:
        raise BrokenError("its table of tags is missing or cut short")
    first = tables[0]
    _refuse_raw(data, tables)
    if sum(table.entries for table in tables) > _MOST_TAGS or first.size > max(2 * len(data), MEBIBYTE):
        raise BrokenError("has more tags, or larger ones, than any picture needs")

    def value(tag: int, default: int) -> int:
        return first.values.get(tag, (default,))[0]

    width, height = value(_WIDTH, 0), value(_HEIGHT, 0)
    tile = value(_TILE_WIDTH, 0) * value(_TILE_HEIGHT, 0)
    if tile > 4 * width * height + _MOST_TILE:
        raise BrokenError("its tiles are far larger than the picture")
    sample = max(1, value(_SAMPLES, 1)) * max(1, -(-max(first.values.get(_BITS, (1,))) // 8))
    part = tile or width * min(height, value(_ROWS, height))
    pages = [table for table in tables if not table.values.get(_KIND, (0,))[0] & 5]  # 1: smaller, 4: a mask
    note = f"has {len(pages)} pages, only the first is read"
    return Header(
        kind="TIFF",
        width=width,
        height=height,
        data=data,
        per_pixel=8.0,
        fixed=part * sample,
        orientation=value(_ORIENTATION, 1),
        notes=(note,) if len(pages) > 1 else (),
    )


def _tables(data: bytes) -> list[Directory]:
    """Read the directory of each page, up to a repeated or a broken one."""
    order = "<" if data[:2] == b"II" else ">"
    tables: list[Directory] = []
    offsets: set[int] = set()
    try:
        (place,) = struct.unpack_from(order + "I", data, 4)
        while place and place not in offsets and len(tables) < _MOST_TABLES:
            offsets.add(place)
            tables.append(read_directory(data, place))
            place = tables[-1].following
    except struct.error:
        pass
    return tables


def _refuse_raw(data: bytes, tables: list[Directory]) -> None:
    first = tables[0]
    parts = []
    for place in first.values.get(_PARTS, ())[:16]:
        try:
            parts.append(read_directory(data, place))
        except struct.error:
            continue
    colours = {table.values.get(_COLOURS, (0,))[0] for table in [*tables, *parts]}
    preview = first.values.get(_KIND, (0,))[0] & 1 and (parts or len(tables) > 1)
    if _DNG in first.values or colours & _SENSOR:
        raise BrokenError(f"a raw file of a camera, which is not read; {RAW_ADVICE}")
    if preview:
        raise BrokenError(f"its first picture is a small preview, as in raw files of cameras; {RAW_ADVICE}")
