"""Read the true size of the pictures in an AVIF file, which its header may misstate.

The AV1 pictures of a file, one or its tiles, are read. A picture in the reduced form that all encoders use
for photos has its size in its sequence header (AV1 bitstream specification, 5.5.1), and cannot be larger. The
size of other pictures is not known without decoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from embedder._internal.wording import count
from embedder.images.boxes import by_kind, each_box, item_kinds, whole
from embedder.images.header import MOST_BLOCKS, BrokenError

_MOST_ITEMS = 10_000


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Read the largest width and height of all AV1 pictures of a file; None if not known.

    Raises:
        BrokenError: the file is cut short, or has more parts than are read.
    """
    try:
        boxes = by_kind(each_box(data, 0, len(data)))
        if b"moov" in boxes or b"meta" not in boxes:
            return None
        sizes = [_reduced_size(item) for item in _items(data, *boxes[b"meta"])]
    except (IndexError, KeyError, ValueError):
        return None
    if not sizes or None in sizes:
        return None
    known = [size for size in sizes if size]
    return max(width for width, _ in known), max(height for _, height in known)


def _items(data: bytes, begin: int, end: int) -> list[bytes]:
    """Return the content of every AV1 item (ISO/IEC 14496-12, 8.11.3 and 8.11.6)."""
    inside = by_kind(each_box(data, begin + 4, end))
    pictures = {number for number, kind in item_kinds(data, *inside[b"iinf"]) if kind == b"av01"}
    held = inside.get(b"idat", (0, 0))
    found, size = [], 0
    for number, method, extents in _locations(data, *inside.get(b"iloc", (0, 0))):
        if number in pictures:
            if method > 1:
                raise ValueError("an item that is made of others")
            shift = held[0] if method else 0
            found.append(b"".join(data[shift + at : shift + at + length] for at, length in extents))
            size += len(found[-1])
            if size > 2 * len(data):
                raise ValueError("items that share their bytes")
    if len(found) != len(pictures):
        raise ValueError("an item without a place")
    return found


def _locations(data: bytes, place: int, end: int) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    version, sizes = data[place], whole(data, place + 4, 2)
    offset, length, base, index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    wide = 4 if version == 2 else 2
    items, place = whole(data, place + 6, wide), place + 6 + wide
    if version > 2:
        raise ValueError("places of another kind")
    if items > _MOST_ITEMS:
        raise BrokenError(f"has {count(items, 'picture', ',')}, at most {_MOST_ITEMS:,} are read")
    for _ in range(items):
        number, place = whole(data, place, wide), place + wide
        method = 0
        if version:
            method, place = whole(data, place, 2) & 15, place + 2
        start, parts = whole(data, place + 2, base), whole(data, place + 2 + base, 2)
        place += 4 + base
        extents = []
        for _ in range(min(parts, MOST_BLOCKS)):
            place += index if version else 0
            at, size = whole(data, place, offset), whole(data, place + offset, length)
            extents.append((start + at, size or len(data)))
            place += offset + length
            if place > end:
                raise ValueError("an item beyond the end")
        yield number, method, extents


def _reduced_size(item: bytes) -> tuple[int, int] | None:
    """Return the size of a picture with one sequence header, in the reduced form; else None."""
    place, size = 0, None
    for _ in range(MOST_BLOCKS):
        if place >= len(item):
            return size
        head = item[place]
        place += 1 + (head >> 2 & 1)
        length = len(item) - place
        if head & 2:
            length = shift = 0
            while True:
                length |= (item[place] & 127) << shift
                place, shift, more = place + 1, shift + 7, item[place] >> 7
                if not more:
                    break
                if shift > 56:
                    return None
        if head >> 3 & 15 == 1:
            bits = int.from_bytes(item[place : place + 8])  # of 64
            profile_still_reduced, wide, high = bits >> 59, (bits >> 50 & 15) + 1, (bits >> 46 & 15) + 1
            if profile_still_reduced & 3 != 3 or size is not None or wide + high > 46:
                return None
            size = (bits >> 46 - wide & (1 << wide) - 1) + 1, (bits >> 46 - wide - high & (1 << high) - 1) + 1
        place += length
    return None
