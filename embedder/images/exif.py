"""Read the one thing of EXIF and XMP that pixels need: which side is up.

Pillow reads every tag, and a few kilobytes can say that each is megabytes long.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_ORIENTATION = 0x0112
_WHOLE = {1: "B", 3: "H", 4: "I"}  # kinds of whole numbers, and how they are packed
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)([1-8])')


@dataclass(frozen=True)
class Directory:
    """One table of a TIFF.

    Attributes:
        values: of tags that are whole numbers, at most 64 of each.
        following: where the next table begins; 0 if there is none.
        entries: how many tags there are.
        size: bytes that all tags together say to have.
    """

    values: dict[int, tuple[int, ...]]
    following: int
    entries: int
    size: int


def read_directory(data: bytes, start: int) -> Directory:
    """Read a table of tags.

    Raises:
        struct.error: it is not there, or cut short.
    """
    order = "<" if data[:2] == b"II" else ">"
    (count,) = struct.unpack_from(order + "H", data, start)
    values: dict[int, tuple[int, ...]] = {}
    size = 0
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length, where = struct.unpack_from(order + "HHII", data, entry)
        held = length * _SIZES.get(kind, 1)
        size += held
        if kind in _WHOLE and length:
            place = entry + 8 if held <= 4 else where
            number = min(length, 64)
            if place + number * _SIZES[kind] <= len(data):
                values[tag] = struct.unpack_from(f"{order}{number}{_WHOLE[kind]}", data, place)
    end = start + 2 + 12 * count
    following = struct.unpack_from(order + "I", data, end)[0] if end + 4 <= len(data) else 0
    return Directory(values, following, count, size)


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Give the orientation that EXIF, else XMP, says; 1, upright, if neither does or what it says is broken.

    Args:
        exif: a TIFF, with or without `Exif` before it.
        xmp: a text.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:4] in (b"II*\0", b"MM\0*"):
        try:
            (start,) = struct.unpack_from("<I" if exif[:2] == b"II" else ">I", exif, 4)
            found = read_directory(exif, start).values.get(_ORIENTATION)
        except struct.error:  # broken metadata; the pixels are fine
            found = None
        if found:
            return found[0]
    said = _XMP.search(xmp[: 2**20])
    return int(said.group(1)) if said else 1
