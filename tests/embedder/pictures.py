"""One small picture in every kind of file, and hand-made PNG and TIFF files that Pillow does not write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from embedder.config import ImageLimits
from embedder.images import reading

# 2 x 3 blocks of 16 pixels, all different: wherever it is turned or mirrored, it shows. The last value has
# one digit, so that a plain PNM file cut inside its last number cannot read as another whole picture.
COLOURS = np.array(
    [[[250, 10, 10], [10, 250, 10], [10, 10, 250]], [[250, 250, 10], [120, 120, 120], [250, 10, 3]]], np.uint8
)
PICTURE = COLOURS.repeat(16, axis=0).repeat(16, axis=1)
GREY = np.ascontiguousarray(PICTURE[:, :, 0])
BITS = (GREY > 128).astype(np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """Pillow leaves settings of one save behind in the picture, so each save has its own."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image.copy()
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    width: int, height: int, depth: int, colour_type: int, rows: bytes, transparent: bytes | None = None
) -> bytes:
    """Colour types: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA; each row begins with a zero byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if transparent is not None:
        parts.insert(1, (b"tRNS", transparent))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(width: int, height: int, bits: int, pixels: bytes, order: str = "<", **tags: int) -> bytes:
    """Grey, one strip, not compressed; tags: `photometric` (0: white is 0), `sample_format` (3: float)."""
    entries = [
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, tags.get("photometric", 1)),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(pixels)),
        (339, tags.get("sample_format", 1)),
    ]
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(pixels))
    table = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in entries)
    return start + pixels + struct.pack(order + "H", len(entries)) + table + bytes(4)


def _plain(magic: str, head: str, values: np.ndarray) -> bytes:
    numbers = " ".join(str(value) for value in values.ravel())
    return f"{magic}\n48 32\n{head}{numbers}\n".encode()


_rgb = Image.fromarray(PICTURE)
_grey = Image.fromarray(GREY)


def _two() -> dict[str, object]:
    return {"save_all": True, "append_images": [Image.fromarray(PICTURE[::-1, ::-1].copy())]}


# name -> (the file, the picture in it or None where compression loses detail)
SAMPLES: dict[str, tuple[bytes, np.ndarray | None]] = {
    "jpeg": (encode(_rgb, "JPEG"), None),
    "jpeg progressive": (encode(_rgb, "JPEG", progressive=True), None),
    "jpeg cmyk": (encode(_rgb.convert("CMYK"), "JPEG"), None),
    "jpeg mpo": (encode(_rgb, "MPO", **_two()), None),
    "png": (encode(_rgb, "PNG"), PICTURE),
    "png palette": (encode(_rgb.quantize(8), "PNG"), PICTURE),
    "png animated": (encode(_rgb, "PNG", **_two()), PICTURE),
    "webp": (encode(_rgb, "WEBP"), None),
    "webp lossless": (encode(_rgb, "WEBP", lossless=True), PICTURE),
    "webp animated": (encode(_rgb, "WEBP", lossless=True, **_two()), PICTURE),
    "avif": (encode(_rgb, "AVIF", quality=95), None),
    "avif animated": (encode(_rgb, "AVIF", quality=95, **_two()), None),
    "bmp": (encode(_rgb, "BMP"), PICTURE),
    "bmp palette": (encode(_rgb.quantize(8), "BMP"), PICTURE),
    "gif": (encode(_rgb, "GIF"), PICTURE),
    "gif animated": (encode(_rgb, "GIF", **_two()), PICTURE),
    "tiff": (encode(_rgb, "TIFF"), PICTURE),
    "tiff lzw": (encode(_rgb, "TIFF", compression="tiff_lzw"), PICTURE),
    "tiff deflate": (encode(_rgb, "TIFF", compression="tiff_deflate"), PICTURE),
    "tiff jpeg": (encode(_rgb, "TIFF", compression="jpeg"), None),
    "tiff pages": (encode(_rgb, "TIFF", **_two()), PICTURE),
    "tiff little-endian": (tiff(48, 32, 8, GREY.tobytes(), "<"), GREY),
    "tiff big-endian": (tiff(48, 32, 8, GREY.tobytes(), ">"), GREY),
    "pnm P1": (_plain("P1", "", 1 - BITS), BITS * 255),  # 1 is black
    "pnm P2": (_plain("P2", "255\n", GREY[::-1] - 10), GREY[::-1] - 10),
    "pnm P3": (_plain("P3", "255\n", PICTURE), PICTURE),
    "pnm P4": (b"P4\n48 32\n" + np.packbits(1 - BITS, axis=1).tobytes(), BITS * 255),
    "pnm P5": (encode(_grey, "PPM"), GREY),
    "pnm P6": (encode(_rgb, "PPM"), PICTURE),
}


def decode_here(data: bytes, task: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Decode in this process, which has limits already; another one for each takes half a second."""
    header = reading.Header(task["kind"], task["width"], task["height"], data, sure=False)
    for one in reading._frames(header, 1, (), ImageLimits(), apart=True):
        yield one.pixels, one.notes, one.frame, one.frames
