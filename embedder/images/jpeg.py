"""Scan the segments of a JPEG before it is decoded: count what costs time, keep what pixels need.

A decoder of JPEG works through every scan of the whole picture, and Pillow copies all EXIF so far for each
piece more. So scans are counted, and no segment that pixels do not need is handed on.
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
_NEEDED = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xEE}) | _FRAMES  # tables, frames, and Adobe's kind of colour
_EOI, _SOS, _APP1, _APP2 = 0xD9, 0xDA, 0xE1, 0xE2

_MOST_KEPT = 2000  # tables and frames; files of phones have some ten
_MOST_WORK = 2e9  # pixels of all scans together: 2 to 4 s; a progressive one of 61 megapixels has 0.9e9
_MOST_ARITHMETIC = 8 * 2**20  # bytes: such a decoder takes a second for 4 MiB


@dataclass
class _Parts:
    """What the segments before the pixels hold."""

    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    frame: tuple[int, bytes] | None = None
    exif: bytes = b""
    xmp: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)
    pieces: int = 0


def scan_jpeg(data: bytes) -> Header:
    """Give the header of a JPEG; `data` of it is the first picture alone, with an end.

    Raises:
        BrokenError: it has no picture, or more segments or scans than any picture needs.
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
    """Sort the segments; gives where the first scan begins."""
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
    """Put the pieces of a profile together; a profile that lacks one is none."""
    if not parts.profile or sorted(parts.profile) != list(range(1, parts.pieces + 1)):
        return b""
    return b"".join(parts.profile[number] for number in sorted(parts.profile))


def _scans(data: bytes, start: int, layers: int) -> tuple[int, int, int]:
    """Give where the picture ends, how many scans it has, and how many layers they go through in all."""
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
    """Give the bytes in which a decoder keeps a picture of several scans: two a sample, of whole blocks."""
    layers = [frame[6 + 3 * n : 9 + 3 * n] for n in range(frame[5])]
    across = max(layer[1] >> 4 for layer in layers) or 1
    down = max(layer[1] & 15 for layer in layers) or 1
    samples = sum((layer[1] >> 4) * (layer[1] & 15) for layer in layers)
    blocks = -(-width // (8 * across)) * -(-height // (8 * down))
    return blocks * samples * 128
