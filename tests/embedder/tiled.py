"""Write HEIC and AVIF files whose picture is made of tiles, which Pillow's writers do not."""

from __future__ import annotations

import struct

from embedder.images.boxes import by_kind, each_box, item_kinds


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def coded(data: bytes, kind: bytes) -> tuple[bytes, bytes, bytes]:
    """Give the coded picture of a file of one, the box that configures its decoder, and its brands."""
    top = by_kind(each_box(data, 0, len(data)))
    begin, end = top[b"meta"]
    inside = by_kind(each_box(data, begin + 4, end))
    assert kind in dict(item_kinds(data, *inside[b"iinf"])).values()
    properties = by_kind(each_box(data, *inside[b"iprp"]))
    wanted = {b"hvc1": b"hvcC", b"av01": b"av1C"}[kind]
    at, stop = by_kind(each_box(data, *properties[b"ipco"]))[wanted]
    first, last = top[b"mdat"]
    return data[first:last], box(wanted, data[at:stop]), data[: top[b"ftyp"][1]]


def tiled(
    data: bytes,
    kind: bytes,
    tile: tuple[int, int],
    grid: tuple[int, int],
    size: tuple[int, int],
    shared: bool = True,
) -> bytes:
    """Make a file of tiles of a file of one picture.

    Args:
        data: the file.
        kind: of its picture: hvc1 or av01.
        tile: its width and height.
        grid: columns and rows.
        size: width and height that the file says to have.
        shared: all tiles are one item; else each is one, of the same bytes.
    """
    picture, settings, brands = coded(data, kind)
    count = grid[0] * grid[1]
    items = 1 if shared else count
    layout = bytes((0, 1, grid[1] - 1, grid[0] - 1)) + struct.pack(">II", *size)  # sizes of 32 bits
    kinds = [b"grid", *[kind] * items]
    entries = [
        full(b"infe", 2, 0, struct.pack(">HH", number, 0), what, b"\0")
        for number, what in enumerate(kinds, 1)
    ]
    to = (2,) * count if shared else tuple(range(2, count + 2))
    references = box(b"dimg", struct.pack(f">HH{count}H", 1, count, *to))
    properties = box(
        b"ipco",
        full(b"ispe", 0, 0, struct.pack(">II", *tile)),
        settings,
        full(b"ispe", 0, 0, struct.pack(">II", *size)),
        full(b"pixi", 0, 0, b"\3\10\10\10"),
    )
    owned = struct.pack(">HBBB", 1, 2, 3, 4)
    owned += b"".join(struct.pack(">HBBBB", number + 2, 3, 1, 0x82, 4) for number in range(items))

    def meta(at: int) -> bytes:
        places = [(1, at, len(layout))]
        places += [(number + 2, at + len(layout), len(picture)) for number in range(items)]
        located = b"".join(struct.pack(">HHHII", number, 0, 1, *place) for number, *place in places)
        return full(
            b"meta",
            0,
            0,
            full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", 1)),
            full(b"iloc", 0, 0, b"\x44\0", struct.pack(">H", len(places)), located),
            full(b"iinf", 0, 0, struct.pack(">H", len(entries)), *entries),
            full(b"iref", 0, 0, references),
            box(b"iprp", properties, full(b"ipma", 0, 0, struct.pack(">I", items + 1), owned)),
        )

    before = brands + meta(0)
    return brands + meta(len(before) + 8) + box(b"mdat", layout, picture)
