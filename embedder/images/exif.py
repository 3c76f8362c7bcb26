"""Read the orientation of a picture from EXIF or XMP.

Pillow's reader is not used: it reads every tag, and a file of kilobytes can state megabytes for each.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_ORIENTATION = 0x0112
_WHOLE = {1: "B", 3: "H", 4: "I"}  # types of unsigned integers, and their formats for struct
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_XMP = re.compile(rb'tiff:Orientation(?:\s*=\s*["\']|>)([1-8])')


@dataclass(frozen=True)
class Directory:
    """Holds a directory of a TIFF, a table of tags.

    Attributes:
        values: values of tags with unsigned integers, at most 64 of each, by tag.
        following: offset of the next directory; 0 if there is none.
        entries: number of tags.
        size: stated size of the values of all tags, in bytes.
    """

    values: dict[int, tuple[int, ...]]
    following: int
    entries: int
    size: int


def read_directory(data: bytes, start: int) -> Directory:
    """Read a directory of a TIFF.

    Args:
        data: content of the TIFF.
        start: offset of the directory.

    Raises:
        struct.error: the directory is beyond the end, or cut short.
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
    """Read the orientation from EXIF, else XMP, 1 to 8; 1 (upright) if there is none.

    Args:
        exif: content of EXIF, a TIFF with or without `Exif` before it.
        xmp: content of XMP, a text.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:4] in (b"II*\0", b"MM\0*"):
        try:
            (start,) = struct.unpack_from("<I" if exif[:2] == b"II" else ">I", exif, 4)
            found = read_directory(exif, start).values.get(_ORIENTATION)
        except struct.error:  # broken metadata do not affect the pixels
            found = None
        if found:
            return found[0]
    match = _XMP.search(xmp[: 2**20])
    return int(match.group(1)) if match else 1
