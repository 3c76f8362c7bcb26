"""Count the tiles that a HEIC decoder decodes: small files can list a tile 65,000 times."""

from __future__ import annotations

from embedder.images.boxes import Place, by_kind, each_box, item_kinds, whole
from embedder.images.header import MOST_BLOCKS

_CODED = frozenset({b"hvc1"})


def tiles(data: bytes) -> list[int] | None:
    """List the numbers of pixels of all coded pictures that are decoded; None if not known.

    These are the picture itself or its tiles, and those of auxiliary pictures such as its opacity (ISO/IEC
    23008-12, 6.4 and 6.6).

    Raises:
        BrokenError: the file is cut short.
    """
    try:
        boxes = by_kind(each_box(data, 0, len(data)))
        if b"moov" in boxes:
            return None
        begin, end = boxes[b"meta"]
        inside = by_kind(each_box(data, begin + 4, end))
        kinds = dict(item_kinds(data, *inside[b"iinf"]))
        at = inside[b"pitm"][0]
        primary = whole(data, at + 4, 2 if not data[at] else 4)
        parts, auxiliary = _references(data, inside.get(b"iref"))
        sizes = _sizes(data, inside[b"iprp"])
        found = []
        for item in (primary, *auxiliary):
            coded = parts.get(item, []) if kinds[item] == b"grid" else [item]
            if not all(kinds[part] in _CODED for part in coded):
                return None
            found += [sizes[part] for part in coded]
    except (IndexError, KeyError, ValueError):
        return None
    return found


def _references(data: bytes, place: Place | None) -> tuple[dict[int, list[int]], list[int]]:
    """Return the parts of derived items by item, and the auxiliary items."""
    parts: dict[int, list[int]] = {}
    auxiliary: list[int] = []
    if place is None:
        return parts, auxiliary
    wide = 2 if not data[place[0]] else 4
    for kind, (at, _) in each_box(data, place[0] + 4, place[1]):
        item, count = whole(data, at, wide), whole(data, at + wide, 2)
        first = at + wide + 2
        if kind == b"dimg":
            if item in parts:
                raise ValueError("the parts of an item twice")
            parts[item] = [whole(data, first + wide * number, wide) for number in range(count)]
        elif kind == b"auxl":
            auxiliary.append(item)
    if sum(map(len, parts.values())) > MOST_BLOCKS:
        raise ValueError("too many parts")
    return parts, auxiliary


def _sizes(data: bytes, place: Place) -> dict[int, int]:
    """Return the number of pixels of each item by its properties; of several, the largest."""
    stated: list[int] = []
    sizes: dict[int, int] = {}
    boxes = list(each_box(data, *place))
    for kind, (at, _) in each_box(data, *by_kind(boxes)[b"ipco"]):
        stated.append(whole(data, at + 4, 4) * whole(data, at + 8, 4) if kind == b"ispe" else 0)
    for kind, (at, _) in boxes:
        if kind != b"ipma":
            continue
        wide, long = 2 if not data[at] else 4, 1 + (data[at + 3] & 1)
        count, at = whole(data, at + 4, 4), at + 8
        for _ in range(min(count, MOST_BLOCKS)):
            item, properties, at = whole(data, at, wide), data[at + wide], at + wide + 1
            for _ in range(properties):
                index = whole(data, at, long) & (0x7F if long == 1 else 0x7FFF)
                sizes[item] = max(sizes.get(item, 0), stated[index - 1] if index else 0)
                at += long
    return {item: size for item, size in sizes.items() if size}
