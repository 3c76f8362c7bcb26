"""Scan PNG, GIF, WebP, BMP, AVIF and HEIC files before they are decoded.

Their blocks are counted and limited, since Pillow reads them one by one, in Python.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from embedder.images.av1 import stated_size
from embedder.images.exif import orientation
from embedder.images.header import MEBIBYTE, MOST_BLOCKS, MOST_SIDE, BrokenError, Header
from embedder.images.heif import tiles

_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})
_MOST_PROFILE = 4 * MEBIBYTE  # ICC profiles of printers have 2
_MOST_TEXT = MEBIBYTE
_MOST_COMMENT = 4096  # blocks: for each, Pillow copies the comment read so far
_MOST_RUNS = 4 * MEBIBYTE  # bytes of run lengths: Pillow takes 2 s for these, in Python
_WEBP_PIXEL = 17.0  # bytes per pixel: two canvases, the bytes, and the copy of Pillow; measured for all kinds
_AVIF_PIXEL = 15.0  # bytes per pixel, likewise, and the copy of this package
_MOST_TILES = 1000  # of a HEIC: photos of phones have 48, and libheif reads no more
_MOST_SHOWN = 4  # ratio of decoded pixels to those of a HEIC: depth and opacity, borders of tiles
_MOST_BESIDES = 16e6  # decoded pixels allowed besides, for small pictures


@dataclass
class _Chunks:
    kept: list[memoryview] = field(default_factory=list)
    found: dict[bytes, bytes] = field(default_factory=dict)
    frames: int = 0
    dropped: bool = False


def scan_png(data: bytes) -> Header:
    """Scan a PNG, and leave out its texts.

    Raises:
        BrokenError: the file has no picture, or too many chunks.
    """
    chunks = _chunks(data)
    header = chunks.found.get(b"IHDR", b"")
    if len(header) < 13:
        raise BrokenError("its header is missing or cut short")
    width, height = struct.unpack_from(">II", header)
    exif = chunks.found.get(b"eXIf", b"") or _exif_of_imagemagick(chunks.found)
    profile = chunks.found.get(b"iCCP", b"").partition(b"\0")[2][1:]
    kept = b"".join([data[:8], *chunks.kept]) if chunks.dropped else data
    return Header(
        kind="PNG",
        width=width,
        height=height,
        data=kept,
        per_pixel=8.0 if header[8] == 16 else 7.0,
        orientation=orientation(exif, chunks.found.get(b"iTXt", b"")),
        profile=_unpacked(profile, _MOST_PROFILE),
        frames=max(1, chunks.frames),
    )


def _chunks(data: bytes) -> _Chunks:
    chunks, view, place = _Chunks(), memoryview(data), 8
    for _ in range(MOST_BLOCKS):
        if place + 8 > len(data):
            return chunks
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 12 + length
        if kind in _PIXELS:
            chunks.kept.append(view[place:end])
            chunks.frames += kind == b"fcTL"
        else:
            chunks.dropped = True
        if kind in (b"IHDR", b"eXIf", b"iCCP") or (
            kind in (b"iTXt", b"zTXt", b"tEXt") and length < _MOST_TEXT
        ):
            content = data[place + 8 : end - 4]
            if kind != b"iTXt" or content.startswith(b"XML:com.adobe.xmp"):
                chunks.found.setdefault(kind, content)
        if kind == b"IEND":
            return chunks
        place = end
    raise BrokenError(f"has more than {MOST_BLOCKS:,} chunks")


def _exif_of_imagemagick(found: dict[bytes, bytes]) -> bytes:
    """Return EXIF from a text of hexadecimal digits, as ImageMagick writes it."""
    for kind, head in ((b"zTXt", 1), (b"tEXt", 0)):
        name, _, text = found.get(kind, b"").partition(b"\0")
        if name.startswith(b"Raw profile type"):
            written = _unpacked(text[head:], _MOST_TEXT) if head else text
            try:
                return bytes.fromhex("".join(written.decode("ascii").split("\n")[3:]))
            except ValueError:
                return b""
    return b""


def _unpacked(data: bytes, most: int) -> bytes:
    """Decompress zlib data; b"" if it is broken or has more than `most` bytes."""
    if not data:
        return b""
    try:
        unpacked = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error:
        return b""
    return unpacked if len(unpacked) <= most else b""


def scan_gif(data: bytes) -> Header:
    """Scan a GIF.

    Raises:
        BrokenError: the file has no picture, or too many blocks.
    """
    if len(data) < 13:
        raise BrokenError("begins like a GIF file but is cut short")
    width, height = struct.unpack_from("<HH", data, 6)
    place = 13 + _palette(data[10])
    frames = extensions = comments = blocks = 0
    while place < len(data) and data[place] in b"!,":
        if data[place] == 0x2C:
            if place + 10 > len(data):
                break
            left, top, across, down = struct.unpack_from("<HHHH", data, place + 1)
            width, height = max(width, left + across), max(height, top + down)
            place += 11 + _palette(data[place + 9])
            frames += 1
            place, passed = _sub_blocks(data, place)
        else:
            extensions += 1
            comment = data[place + 1 : place + 2] == b"\xfe"
            place, passed = _sub_blocks(data, place + 2)
            comments += passed if comment else 0
        blocks += passed
        if comments > _MOST_COMMENT:
            raise BrokenError(f"has more than {_MOST_COMMENT:,} blocks of comments")
        if extensions > 3 * MOST_BLOCKS or blocks > 10 * MOST_BLOCKS:
            raise BrokenError(f"has more than {10 * MOST_BLOCKS:,} blocks")
    if not frames:
        raise BrokenError("begins like a GIF file but has no picture")
    return Header("GIF", width, height, data[:place] + b";", frames=frames)


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _sub_blocks(data: bytes, place: int) -> tuple[int, int]:
    """Return the offset behind sub-blocks that end with an empty one, and their number."""
    for count in range(10 * MOST_BLOCKS):
        if place >= len(data):
            return place, count
        length = data[place]
        place += 1 + length
        if not length:
            return place, count
    return place, 10 * MOST_BLOCKS + 1


def scan_webp(data: bytes) -> Header:
    """Scan a WebP, since libwebp allocates all pixels before their number can be checked.

    Raises:
        BrokenError: the file has no picture, or too many chunks.
    """
    # RFC 9649, sections 2.5 to 2.7: lossy, lossless and extended files encode their size differently.
    width = height = 0
    if data[12:16] == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif data[12:16] == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    if not width or not height:
        raise BrokenError("begins like a WebP file but cannot be read as one")
    found: dict[bytes, bytes] = {}
    frames, place = 0, 12
    for _ in range(MOST_BLOCKS):
        if place + 8 > len(data):
            break
        kind, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        frames += kind == b"ANMF"
        if kind in (b"EXIF", b"ICCP", b"XMP "):
            found.setdefault(kind, data[place + 8 : place + 8 + min(length, _MOST_PROFILE)])
        place += 8 + length + length % 2
    else:
        raise BrokenError(f"has more than {MOST_BLOCKS:,} chunks")
    turned = orientation(found.get(b"EXIF", b""), found.get(b"XMP ", b""))
    profile = found.get(b"ICCP", b"")
    return Header(
        "WEBP", width, height, data, _WEBP_PIXEL, orientation=turned, profile=profile, frames=max(1, frames)
    )


def scan_bmp(data: bytes) -> Header:
    """Scan a BMP.

    Raises:
        BrokenError: the file is cut short, or has more than 4 MiB of run lengths.
    """
    if len(data) < 34:
        raise BrokenError("begins like a BMP file but is cut short")
    if data[14] == 12:  # header of OS/2
        width, height = struct.unpack_from("<HH", data, 18)
        return Header("BMP", width, height, data)
    width, height = struct.unpack_from("<ii", data, 18)
    if int.from_bytes(data[30:34], "little") in (1, 2) and len(data) > _MOST_RUNS:
        raise BrokenError("has more than 4 MiB of run lengths; save it without compression")
    return Header("BMP", width, abs(height), data)


def scan_boxes(data: bytes, kind: str) -> Header:
    """Scan an AVIF or HEIC; its size is the largest that the file or a picture in it states.

    Args:
        data: content of the file.
        kind: `AVIF` or `HEIF`.

    Raises:
        BrokenError: the file states no size, or has tiles with far more pixels.
    """
    sizes, place = [(0, 0)], 0
    table = data[: 4 * MEBIBYTE]
    while (place := table.find(b"ispe", place)) >= 0 and len(sizes) < MOST_BLOCKS:
        if place + 16 <= len(data):
            sizes.append(struct.unpack_from(">II", data, place + 8))
        place += 4
    sizes += _track_sizes(table)
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if not width or not height:
        raise BrokenError("names no size of its picture")
    if kind != "AVIF":  # libheif itself compares the sizes of pictures
        parts = tiles(data)
        count, shown = len(parts or ()), sum(parts or ())
        if count > _MOST_TILES:
            raise BrokenError(f"has {count:,} tiles, at most {_MOST_TILES:,} are read")
        if shown > _MOST_SHOWN * width * height + _MOST_BESIDES:
            raise BrokenError(
                f"has {count} tiles of {shown / 1e6:.0f} megapixels in all, far more than its "
                f"{width * height / 1e6:.1f}"
            )
        return Header(kind, width, height, data, _AVIF_PIXEL, sure=parts is not None)
    stated = stated_size(data)
    if stated and stated[0] * stated[1] > width * height:
        width, height = stated
    return Header(kind, width, height, data, _AVIF_PIXEL, sure=stated is not None)


def _track_sizes(table: bytes) -> list[tuple[int, int]]:
    """Return width and height of the tracks of an animation."""
    sizes: list[tuple[int, int]] = []
    place = 0
    while (place := table.find(b"tkhd", place)) >= 0 and len(sizes) < MOST_BLOCKS:
        size = int.from_bytes(table[place - 4 : place])
        if 8 <= size <= 200 and place + size <= len(table):
            width, height = struct.unpack_from(">II", table, place + size - 12)
            sizes.append((width >> 16, height >> 16))
        place += 4
    return sizes


def check_sides(header: Header) -> None:
    """Check the sides of a picture, since each line needs memory besides its pixels.

    Raises:
        BrokenError: a side has more than 65,535 pixels.
    """
    if max(header.width, header.height) > MOST_SIDE:
        raise BrokenError(
            f"is {header.width:,} x {header.height:,} pixels, a side has at most {MOST_SIDE:,}; cut it"
        )
