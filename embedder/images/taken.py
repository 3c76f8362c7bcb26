"""Read the date of a photo from its EXIF."""

from __future__ import annotations

import re
import struct
from datetime import datetime

_EXIF = re.compile(rb"(?:Exif\0\0|eXIf|EXIF.{4})(?=II\*\0|MM\0\*)", re.DOTALL)
_TAKEN, _CHANGED, _MORE = 0x9003, 0x0132, 0x8769  # DateTimeOriginal, DateTime, offset of the EXIF directory
_SEARCHED = 16 * 2**20  # bytes of a file that are searched for EXIF
_ENTRIES = 1000  # largest number of tags of a directory


def date_taken(data: bytes) -> str | None:
    """Read the date and time of a photo, by the clock of its camera.

    Args:
        data: content of a file of any format with EXIF.

    Returns:
        Date and time in ISO 8601, to the second, without a time zone; None if there is no valid one.

    Example:
        >>> date_taken(b"no picture") is None
        True
    """
    if data[:4] in (b"II*\0", b"MM\0*"):
        block = data
    else:
        found = _EXIF.search(data[:_SEARCHED])
        if found is None:
            return None
        block = data[found.end() : found.end() + 2**20]
    try:
        order = "<" if block[:2] == b"II" else ">"
        first = _entries(block, order, struct.unpack_from(order + "I", block, 4)[0])
        more = _entries(block, order, struct.unpack(order + "I", first[_MORE])[0]) if _MORE in first else {}
        text = _text(block, order, more.get(_TAKEN) or first.get(_TAKEN)) or _text(
            block, order, first.get(_CHANGED)
        )
    except struct.error:
        return None
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").isoformat() if text else None
    except ValueError:
        return None


def _entries(block: bytes, order: str, start: int) -> dict[int, bytes]:
    """Return the four value bytes of the tags of a directory, by tag."""
    (count,) = struct.unpack_from(order + "H", block, start)
    entries = {}
    for place in range(start + 2, start + 2 + 12 * min(count, _ENTRIES), 12):
        (tag,) = struct.unpack_from(order + "H", block, place)
        entries[tag] = struct.unpack_from("4s", block, place + 8)[0]
    return entries


def _text(block: bytes, order: str, value: bytes | None) -> str:
    if value is None:
        return ""
    (where,) = struct.unpack(order + "I", value)
    return block[where : where + 19].decode("ascii", "replace")
