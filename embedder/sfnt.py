"""The table of letters of a TrueType or OpenType file (.ttf, .otf, .ttc), which Pillow gives no access to.

Read from the file's directory and the one table `cmap`: a few kilobytes, however large the font. The numbers
are big-endian; field names and offsets are those of the OpenType specification.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KINDS = (b"\0\1\0\0", b"OTTO", b"true")
_OUTLINES = {b"glyf", b"CFF ", b"CFF2"}
_PICTURES = {b"CBDT", b"sbix"}  # letters as pictures, of sizes of their own: emoji in colour
# (platform, encoding) of tables that are in Unicode, best first.
_UNICODE = ((3, 10), (0, 6), (0, 4), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0))
_MOST_FACES = 64  # of a collection
_MOST_BYTES = 8 * 2**20  # of a cmap; the largest known have one


class Letters(Protocol):
    """Which letters a font has."""

    def __contains__(self, letter: str) -> bool:
        """Tell whether the font has a glyph for this one character."""


def read_letters(file: BinaryIO) -> dict[int, Letters]:
    """Read which letters the fonts of a file have.

    Args:
        file: at its beginning.

    Returns:
        The letters of each font by its index in the file. Fonts without outlines are left out, since they
        have only certain sizes, and so are those whose table is of another kind than the two usual ones.

    Raises:
        ValueError: not a font file, or broken.
        OSError: it cannot be read.
    """
    try:
        head = file.read(12)
        starts = [0]
        if head[:4] == b"ttcf":
            count = min(struct.unpack(">L", head[8:12])[0], _MOST_FACES)
            starts = list(struct.unpack(f">{count}L", file.read(4 * count)))
        elif head[:4] not in _KINDS:
            raise ValueError("it is of another kind")
        found = {index: _letters_at(file, start) for index, start in enumerate(starts)}
    except struct.error as error:
        raise ValueError("it is broken") from error
    return {index: letters for index, letters in found.items() if letters is not None}


def _letters_at(file: BinaryIO, start: int) -> Letters | None:
    file.seek(start)
    (count,) = struct.unpack(">4xH6x", file.read(12))
    entries = struct.iter_unpack(">4s4xLL", file.read(16 * count))
    tables = {tag: (offset, length) for tag, offset, length in entries}
    if b"cmap" not in tables or not tables.keys() & _OUTLINES or tables.keys() & _PICTURES:
        return None
    size = file.seek(0, os.SEEK_END)
    if any(offset + length > size for offset, length in tables.values()):
        raise ValueError("it is cut off")  # FreeType would draw nothing, without a word
    offset, length = tables[b"cmap"]
    file.seek(offset)
    return _cmap(file.read(min(length, _MOST_BYTES)))


def _cmap(data: bytes) -> Letters | None:
    (count,) = struct.unpack_from(">H", data, 2)
    entries = struct.iter_unpack(">HHL", data[4 : 4 + 8 * count])
    offsets = {(platform, encoding): offset for platform, encoding, offset in entries}
    for key in _UNICODE:
        if key in offsets:
            table = data[offsets[key] :]
            (kind,) = struct.unpack_from(">H", table)
            if kind == 12:
                return _Groups.read(table)
            if kind == 4:
                return _Segments.read(table)
    return None


@dataclass(frozen=True)
class _Groups:
    """Format 12: characters in a row, of all of Unicode; (n, 3) uint32: first, last, glyph of the first."""

    groups: NDArray[np.uint32]

    @classmethod
    def read(cls, table: bytes) -> _Groups:
        (count,) = struct.unpack_from(">L", table, 12)
        numbers = np.frombuffer(table, ">u4", count * 3, 16)
        return cls(numbers.reshape(-1, 3).astype(np.uint32))

    def __contains__(self, letter: str) -> bool:
        code = ord(letter)
        row = int(np.searchsorted(self.groups[:, 1], code))
        if row == len(self.groups):
            return False
        first, _, glyph = self.groups[row].tolist()
        return bool(first <= code and glyph + code - first)


@dataclass(frozen=True)
class _Segments:
    """Format 4: segments of the first 65,536 characters; all arrays uint16.

    Attributes:
        ends: (n,) last character of each segment.
        starts: (n,) first character.
        deltas: (n,) added to a character, or to its glyph in `words`.
        offsets: (n,) in bytes from this field to the first character's glyph, or 0: no such list.
        words: what follows `deltas`: the offsets themselves, then the lists of glyphs.
    """

    ends: NDArray[np.uint16]
    starts: NDArray[np.uint16]
    deltas: NDArray[np.uint16]
    offsets: NDArray[np.uint16]
    words: NDArray[np.uint16]

    @classmethod
    def read(cls, table: bytes) -> _Segments:
        count = struct.unpack_from(">H", table, 6)[0] // 2
        words = np.frombuffer(table, ">u2", len(table) // 2).astype(np.uint16)
        ends, starts, deltas, offsets = (
            words[first : first + count] for first in (7, 8 + count, 8 + 2 * count, 8 + 3 * count)
        )
        if len(offsets) < count:
            raise ValueError("it is broken")
        return cls(ends, starts, deltas, offsets, words[8 + 3 * count :])

    def __contains__(self, letter: str) -> bool:
        code = ord(letter)
        row = int(np.searchsorted(self.ends, code))
        if row == len(self.ends) or self.starts[row] > code:
            return False
        glyph = code
        if offset := int(self.offsets[row]):
            place = row + offset // 2 + code - int(self.starts[row])
            if place >= len(self.words) or not self.words[place]:
                return False
            glyph = int(self.words[place])
        return bool((glyph + int(self.deltas[row])) % 65536)
