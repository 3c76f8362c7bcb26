"""Photos that announce more than they are, or lead in circles."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from embedder.errors import ImageError
from embedder.images import load_image
from tests.attacks.outcomes import HARMLESS, REFUSED, Attack
from tests.embedder.pictures import PICTURE, SAMPLES, encode

TOO_LARGE = "refused as too large, unread"
_SECONDS = 5.0  # of computing; a photo of 50 megapixels takes less


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *between: bytes, pixels: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), *between, chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def small_png(*between: bytes) -> bytes:
    rows = b"".join(b"\0" + row.tobytes() for row in PICTURE)
    return png(PICTURE.shape[1], PICTURE.shape[0], *between, pixels=zlib.compress(rows))


def zeros(count: int) -> bytes:
    """So many mebibytes of zeros, compressed a thousand times: one block, over and over (RFC 1950, 1951)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (count * 2**20 % 65_521) << 16 | 1
    return b"\x78\xda" + block * count + b"\x03\0" + struct.pack(">I", checksum)


def tiff(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """One directory of (tag, kind, count, value); `following` is where the next one is said to be."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", following)


def grey_tiff(width: int, height: int, *more: tuple[int, int, int, int], following: int = 0) -> bytes:
    entries = [
        *[(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)],
        *[(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, min(width * height, 2**32 - 1))],
    ]
    tags = {entry[0]: entry for entry in [*entries, *more]}
    return tiff(*tags.values(), following=following) + bytes(64)


def with_exif(exif: bytes) -> bytes:
    """A JPEG with a segment of EXIF."""
    plain = SAMPLES["jpeg"][0]
    segment = b"Exif\0\0" + exif
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]


def webp(width: int, height: int) -> bytes:
    """The header of a lossless WebP."""
    size = (width - 1) | (height - 1) << 14
    data = b"\x2f" + struct.pack("<I", size) + bytes(20)
    body = b"WEBP" + b"VP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def extended_webp(side: int) -> bytes:
    """The header of an animated WebP with a canvas of any size."""
    data = b"\x02\0\0\0" + (side - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + b"VP8X" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(width: int, height: int) -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + frame + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(10) + b"\xff\xd9"


def gif(width: int, height: int, frames: int = 1) -> bytes:
    """Frames of one pixel each on a screen of any size."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    colours = b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + colours + frame * frames + b"\x3b"


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo.jpg", bytes(2**24))
    return buffer.getvalue()


def rle_bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 4, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 62) + header + bytes(8) + b"\xff\1\0\1"


def photo(make: Callable[[], bytes], folder: Path) -> str:
    """Read a photo; whatever it announces, it takes neither long nor gives a large picture."""
    path = folder / "photo.jpg"
    path.write_bytes(make())
    started = time.process_time()
    try:
        image = load_image(path)
        assert image.dtype == np.uint8
        assert image.nbytes <= 3 * 50_000_000
        return HARMLESS
    except ImageError as error:
        assert "\n" not in error.reason
        return TOO_LARGE if "megapixels" in error.reason else REFUSED
    finally:
        assert time.process_time() - started < _SECONDS


_LOOP = tiff((0x8769, 4, 1, 8), following=8)  # the directory of EXIF is the first one again
_HUGE_TAG = tiff((0x010F, 2, 0xFFFFFFFF, 8), (0x0112, 3, 1, 1))
_DEEP = b"II*\0" + b"".join(
    struct.pack("<I", 8 + 18 * n) * (n == 0) + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8 + 18 * (n + 1), 0)
    for n in range(3000)
)

_JPEG = SAMPLES["jpeg"][0]


def segments(marker: int, content: bytes, count: int) -> bytes:
    """A JPEG with a segment over and over."""
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content
    return _JPEG[:2] + segment * count + _JPEG[2:]


def progressive(side: int, scans: int) -> bytes:
    """A blank picture that a decoder goes through once a scan, each of a few bytes."""

    def segment(marker: int, data: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data

    blocks = (-(-side // 8)) ** 2
    one_code = b"\1" + bytes(15)
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(
        0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"
    )
    tables = segment(0xC4, b"\0" + one_code + b"\0") + segment(0xC4, b"\x10" + one_code + b"\xe0")
    direct = segment(0xDA, b"\1\1\0\0\0\0") + bytes(-(-blocks // 8))
    runs = -(-blocks // 2**14)  # blocks without anything, 2^14 of them in 15 bits
    rest = segment(0xDA, b"\1\1\0\1\x3f\0") + bytes(-(-15 * runs // 8))
    return b"\xff\xd8" + head + tables + direct + rest * scans + b"\xff\xd9"


def many_tags(count: int, size: int) -> bytes:
    """A TIFF with tags that all stand for the same bytes."""
    return grey_tiff(8, 8, *[(40_000 + n, 1, size, 8) for n in range(count)]) + bytes(size)


def big_tile(side: int) -> bytes:
    """A small picture of one tile that is not small."""
    return grey_tiff(8, 8, (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 64))


def comments_of_gif(count: int) -> bytes:
    plain = gif(8, 8)
    return plain[:19] + b"!\xfe" + b"\1a" * count + b"\0" + plain[19:]


def rle_runs(count: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, 7000, 7000, 1, 8, 1, count, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + 2 * count, 0, 0, 62) + header + bytes(8) + b"\1\0" * count


_MADE: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG of 10 gigapixels": (lambda: png(100_000, 100_000, pixels=zeros(1)), TOO_LARGE),
    "PNG of 2^31 - 1 squared": (lambda: png(2**31 - 1, 2**31 - 1), TOO_LARGE),
    "PNG just above the limit": (lambda: png(50_001, 1000, pixels=zeros(1)), TOO_LARGE),
    "PNG with a gigabyte of pixels for a small picture": (lambda: png(4, 4, pixels=zeros(1024)), HARMLESS),
    "PNG with a text that unpacks to a gigabyte": (
        lambda: small_png(chunk(b"zTXt", b"Comment\0\0" + zeros(1024))),
        HARMLESS,
    ),
    "PNG with a colour profile that unpacks to a gigabyte": (
        lambda: small_png(chunk(b"iCCP", b"profile\0\0" + zeros(1024))),
        HARMLESS,
    ),
    "PNG with 20,000 texts": (lambda: small_png(*[chunk(b"tEXt", b"a\0b" * 10)] * 20_000), HARMLESS),
    "PNG with EXIF in a circle": (lambda: small_png(chunk(b"eXIf", _LOOP)), HARMLESS),
    "TIFF of 10 gigapixels": (lambda: grey_tiff(100_000, 100_000), TOO_LARGE),
    "TIFF whose pages lead in a circle": (lambda: grey_tiff(8, 8, following=8), HARMLESS),
    "TIFF with a tag of 4 gigabytes": (lambda: grey_tiff(8, 8, (270, 2, 0xFFFFFFFF, 0)), REFUSED),
    "TIFF with 65,535 samples a pixel": (lambda: grey_tiff(8, 8, (277, 3, 1, 65_535)), REFUSED),
    "GIF with a screen of 4 gigapixels": (lambda: gif(65_535, 65_535), TOO_LARGE),
    "GIF of 100,000 frames": (lambda: gif(8, 8, 100_000), HARMLESS),
    "WebP of 268 megapixels": (lambda: webp(16_384, 16_384), TOO_LARGE),
    "animated WebP with a canvas of 280 terapixels": (lambda: extended_webp(2**24), TOO_LARGE),
    "JPEG of 4 gigapixels": (lambda: jpeg(65_535, 65_535), TOO_LARGE),
    "JPEG whose EXIF leads in a circle": (lambda: with_exif(_LOOP), HARMLESS),
    "JPEG whose EXIF is 3,000 directories deep": (lambda: with_exif(_DEEP), HARMLESS),
    "JPEG with an EXIF tag of 4 gigabytes": (lambda: with_exif(_HUGE_TAG), HARMLESS),
    "BMP of 100 megapixels in 70 bytes": (lambda: rle_bmp(10_000, 10_000), TOO_LARGE),
    "BMP of negative size": (lambda: rle_bmp(-100, 100), REFUSED),
    "PNM of 10 gigapixels": (lambda: b"P6 100000 100000 255\n", TOO_LARGE),
    "PNM with a number of a million digits": (lambda: b"P5 " + b"9" * 10**6, REFUSED),
    "JPEG with 2,000,000 pieces of EXIF": (lambda: segments(0xE1, b"Exif\0\0AB", 2_000_000), REFUSED),
    "JPEG with 50,000 pieces of EXIF": (lambda: segments(0xE1, b"Exif\0\0AB", 50_000), HARMLESS),
    "JPEG with 300 whole pieces of EXIF": (
        lambda: segments(0xE1, b"Exif\0\0" + bytes(65_000), 300),
        HARMLESS,
    ),
    "JPEG with 400,000 pieces of a profile": (
        lambda: segments(0xE2, b"ICC_PROFILE\0\1\1A", 400_000),
        REFUSED,
    ),
    "JPEG with 6,000,000 comments": (lambda: segments(0xFE, b"", 6_000_000), REFUSED),
    "JPEG with 80 MB of fill bytes": (lambda: _JPEG[:2] + b"\xff" * 80_000_000 + _JPEG[2:], HARMLESS),
    "JPEG of 2,000 scans of 49 megapixels": (lambda: progressive(7000, 2000), TOO_LARGE),
    "JPEG of 20 scans of 49 megapixels": (lambda: progressive(7000, 20), HARMLESS),
    "PNG with 2,000,000 chunks": (lambda: small_png(chunk(b"prVt", b"") * 2_000_000), REFUSED),
    "PNG with 2,000,000 empty chunks of pixels": (
        lambda: small_png(chunk(b"IDAT", b"") * 2_000_000),
        REFUSED,
    ),
    "PNG with a chunk that is longer than the file": (lambda: small_png(b"\xff\xff\xff\xffprVt"), REFUSED),
    "PNG of 49 million lines": (lambda: png(1, 49_000_000, pixels=zeros(187)), REFUSED),
    "GIF with 13,000,000 blocks of comment": (lambda: comments_of_gif(13_000_000), REFUSED),
    "GIF with 80 MB of junk": (lambda: gif(8, 8)[:19] + bytes(80_000_000) + gif(8, 8)[19:], REFUSED),
    "WebP of 49 megapixels": (lambda: webp(7000, 7000), TOO_LARGE),
    "BMP with 10,000,000 run lengths": (lambda: rle_runs(10_000_000), REFUSED),
    "TIFF with 4,000 tags of a megabyte": (lambda: many_tags(4000, 10**6), REFUSED),
    "TIFF whose tile has 4 gigapixels": (lambda: big_tile(65_520), REFUSED),
    "PGM with 80 MB of comments": (
        lambda: b"P5 " + b"#\n" * 40_000_000 + b"\n4 4 255\n" + bytes(16),
        REFUSED,
    ),
    "PGM with a comment of 80 MB": (
        lambda: b"P5 #" + b"x" * 80_000_000 + b"\n4 4 255\n" + bytes(16),
        REFUSED,
    ),
    "PGM with 12,000,000 comments in its pixels": (
        lambda: b"P2 100 100 255\n" + b"#\n" * 12_000_000 + b"0 " * 10_000,
        REFUSED,
    ),
    "PGM of 25 megapixels with an odd largest value": (
        lambda: b"P5 5000 5000 100\n" + bytes(25_000_000),
        HARMLESS,
    ),
    "PPM of numbers, 12 million": (lambda: b"P3 2000 2000 255\n" + b"0 " * 12_000_000, HARMLESS),
    "PGM with a number of 10 MB in its pixels": (lambda: b"P2 2 1 255\n" + b"1" * 10**7, REFUSED),
    "zip bomb called photo.jpg": (zipped, REFUSED),
    "PostScript called photo.jpg": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(x) (w) file\n", REFUSED),
    "SVG with an external entity": (
        lambda: b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
        REFUSED,
    ),
    "a page of HTML behind a picture": (
        lambda: encode(Image.fromarray(PICTURE), "PNG") + b"<script>alert(1)</script>",
        HARMLESS,
    ),
}
ATTACKS: dict[str, tuple[Attack, str]] = {
    name: (partial(photo, make), ends) for name, (make, ends) in _MADE.items()
}
