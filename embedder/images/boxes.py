"""Read the boxes that AVIF and HEIC files are made of (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from embedder.images.header import MOST_BLOCKS, BrokenError

Place = tuple[int, int]  # offsets of begin and end in the file
_ONLY_ONE = frozenset({b"meta", b"moov", b"iinf", b"iloc", b"idat", b"iref", b"iprp", b"ipco", b"pitm"})


def each_box(data: bytes, place: int, end: int) -> Iterator[tuple[bytes, Place]]:
    """List kind and content of the boxes between two offsets.

    Raises:
        BrokenError: a box is cut short.
        ValueError: there are too many boxes.
    """
    for _ in range(MOST_BLOCKS):
        if place + 8 > end:
            return
        size, kind, head = whole(data, place, 4), data[place + 4 : place + 8], 8
        if size == 1:
            size, head = whole(data, place + 8, 8), 16
        size = size or end - place
        if size < head or place + size > end:
            raise BrokenError("a part of it is cut short")
        yield kind, (place + head, place + size)
        place += size
    raise ValueError("too many boxes")


def by_kind(boxes: Iterable[tuple[bytes, Place]]) -> dict[bytes, Place]:
    """Return boxes by kind; two of some kinds are refused, as decoders may use either.

    Raises:
        ValueError: there are two boxes of a kind of which a file has one.
    """
    found: dict[bytes, Place] = {}
    for kind, place in boxes:
        if kind in found and kind in _ONLY_ONE:
            raise ValueError("a box twice")
        found[kind] = place
    return found


def whole(data: bytes, place: int, length: int) -> int:
    """Read a big-endian integer of `length` bytes.

    Raises:
        IndexError: the integer is beyond the end.
    """
    if place + length > len(data):
        raise IndexError(place)
    return int.from_bytes(data[place : place + length])


def item_kinds(data: bytes, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """List number and kind of the items of `iinf` (ISO/IEC 14496-12, 8.11.6).

    Raises:
        ValueError: an entry has an old version.
    """
    for kind, (at, _) in each_box(data, begin + (6 if not data[begin] else 8), end):
        version = data[at]
        if kind != b"infe" or version < 2:
            raise ValueError("an entry of another kind")
        wide = 2 if version == 2 else 4
        yield whole(data, at + 4, wide), data[at + 6 + wide : at + 10 + wide]
