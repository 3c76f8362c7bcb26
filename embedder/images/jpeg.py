"""Scan the segments of a JPEG before decoding, and drop those that pixels do not need.

A JPEG decoder processes the whole picture for every scan, and Pillow copies all EXIF read so far for each
further piece. So scans are counted and limited, and segments that pixels do not need are not passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from embedder.images.exif import orientation
from embedder.images.header import MOST_BLOCKS, BrokenError, Header

TRUNCATED = "the file ends before its picture does; read as far as it goes"

_FILL = re.compile(rb"\xff+")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_ARITHMETIC = frozenset(range(0xC9, 0xD0))
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_NEEDED = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xEE}) | _FRAMES  # tables, frames, and Adobe's colour transform
_EOI, _SOS, _APP1, _APP2 = 0xD9, 0xDA, 0xE1, 0xE2

_MOST_KEPT = 2000  # tables and frames; files of phones have about ten
_MOST_WORK = 2e9  # pixels of all scans: decoded in 2 to 4 s; a progressive file of 61 megapixels has 0.9e9
_MOST_ARITHMETIC = 8 * 2**20  # bytes of arithmetic coding, decoded in 2 s


@dataclass
class _Parts:
    """Collects the contents of the segments before the first scan."""

    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    frame: tuple[int, bytes] | None = None
    exif: bytes = b""
    xmp: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)
    pieces: int = 0


def scan_jpeg(data: bytes) -> Header:
    """Scan a JPEG; `data` of the header is its first picture, with an end marker.

    Raises:
        BrokenError: the file has no picture, or too many segments or scans.
    """
    parts = _Parts()
    start = _before_pixels(data, parts)
    if parts.frame is None:
        raise BrokenError("no picture in it")
    kind, frame = parts.frame
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    layers = frame[5] if len(frame) > 5 else 0
    if not layers or len(frame) < 6 + 3 * layers:
        raise BrokenError("its frame is cut short")
    end, scans, work = _scans(data, start, layers)
    if work * width * height > _MOST_WORK:
        raise BrokenError(
            f"has {scans} scans of {width * height / 1e6:.1f} megapixels; save it with fewer, or smaller"
        )
    if kind in _ARITHMETIC and end - start > _MOST_ARITHMETIC:
        raise BrokenError("has more than 8 MiB of arithmetic coding; save it with Huffman coding")
    whole = data[end - 2 : end] == b"\xff\xd9"
    return Header(
        kind="JPEG",
        width=width,
        height=height,
        data=b"".join([*parts.kept, memoryview(data)[start:end], b"" if whole else b"\xff\xd9"]),
        per_pixel=4.0 if layers == 1 else 7.0,
        fixed=_coefficients(frame, width, height) if scans > 1 or kind in _PROGRESSIVE else 0,
        reducible=kind not in _LOSSLESS,
        orientation=orientation(parts.exif, parts.xmp),
        profile=_joined(parts),
        notes=() if whole else (TRUNCATED,),
    )


def _before_pixels(data: bytes, parts: _Parts) -> int:
    """Sort the segments before the first scan, and return the offset of that."""
    place, count = 2, 0
    while (place := data.find(b"\xff", place)) >= 0:
        count += 1
        if count > MOST_BLOCKS:
            raise BrokenError(f"has more than {MOST_BLOCKS:,} segments before its picture")
        fill = _FILL.match(data, place)
        assert fill
        place = fill.end()
        if place >= len(data):
            break
        marker = data[place]
        place += 1
        if marker == 0 or marker in _ALONE:
            continue
        if marker == _EOI:
            raise BrokenError("ends before its picture begins")
        if marker == _SOS:
            return place - 2
        length = int.from_bytes(data[place : place + 2])
        content = data[place + 2 : place + length]
        if length < 2 or len(content) != length - 2:
            raise BrokenError("ends before its picture begins")
        _sort(marker, content, data[place : place + length], parts)
        place += length
    raise BrokenError("ends before its picture begins")


def _sort(marker: int, content: bytes, segment: bytes, parts: _Parts) -> None:
    if marker in _NEEDED:
        if marker in _FRAMES:
            if parts.frame is not None:
                raise BrokenError("has more than one frame")
            parts.frame = (marker, content)
        parts.kept.append(bytes((0xFF, marker)) + segment)
        if len(parts.kept) > _MOST_KEPT:
            raise BrokenError(f"has more than {_MOST_KEPT:,} tables")
    elif marker == 0xE0 and content.startswith(b"JFIF") and len(parts.kept) == 1:
        parts.kept.append(b"\xff\xe0" + segment)
    elif marker == _APP1 and content.startswith(b"Exif\0\0"):
        parts.exif = parts.exif or content
    elif marker == _APP1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        parts.xmp = parts.xmp or content
    elif marker == _APP2 and content.startswith(b"ICC_PROFILE\0") and len(content) > 14:
        parts.profile.setdefault(content[12], content[14:])
        parts.pieces = content[13]


def _joined(parts: _Parts) -> bytes:
    """Join the pieces of an ICC profile; b"" if one is missing."""
    if not parts.profile or sorted(parts.profile) != list(range(1, parts.pieces + 1)):
        return b""
    return b"".join(parts.profile[number] for number in sorted(parts.profile))


def _scans(data: bytes, start: int, layers: int) -> tuple[int, int, int]:
    """Return the offset of the end, the number of scans, and their layers in all."""
    place, scans, work, count = start, 0, 0, 0
    while found := _MARKER.search(data, place):
        count += 1
        marker = data[found.end() - 1]
        if marker == _EOI:
            return found.end(), scans, work
        if count > MOST_BLOCKS:
            raise BrokenError(f"has more than {MOST_BLOCKS:,} segments")
        place = found.end()
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[place : place + 2])
        if marker == _SOS and place + length < len(data):
            scans += 1
            work += min(data[place + 2], layers)
        place += max(length, 2)
    if not scans:
        raise BrokenError("ends before its picture begins")
    return len(data), scans, work


def _coefficients(frame: bytes, width: int, height: int) -> int:
    """Compute the bytes of coefficients of a picture with several scans: two per sample."""
    layers = [frame[6 + 3 * n : 9 + 3 * n] for n in range(frame[5])]
    across = max(layer[1] >> 4 for layer in layers) or 1
    down = max(layer[1] & 15 for layer in layers) or 1
    samples = sum((layer[1] >> 4) * (layer[1] & 15) for layer in layers)
    blocks = -(-width // (8 * across)) * -(-height // (8 * down))
    return blocks * samples * 128
