"""Read XMP inside photos, and replace it in a JPEG; all other bytes stay."""

from __future__ import annotations

import re
from dataclasses import dataclass

from enroll.library.xmp import LARGEST, XmpError

_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_MOST = 65_502  # bytes of a packet in one segment
_PACKET = re.compile(rb"<x:xmpmeta[\s>].*?</x:xmpmeta\s*>", re.DOTALL)
_START, _SCAN, _APP0, _APP1 = 0xD8, 0xDA, 0xE0, 0xE1
_SEGMENTS = 2000


@dataclass(frozen=True)
class _Segment:
    marker: int
    start: int
    end: int
    body: int


def embedded_xmp(data: bytes) -> bytes | None:
    """Return the XMP packet of a photo's file, None if it has none.

    Args:
        data: a JPEG, or any other picture: of that the first uncompressed packet is used.
    """
    if data[:2] == b"\xff\xd8":
        segment = _xmp_segment(data)
        return None if segment is None else data[segment.body + len(_MARK) : segment.end]
    found = _PACKET.search(data)
    return found.group() if found and len(found.group()) <= LARGEST else None


def with_xmp(data: bytes, packet: bytes) -> bytes:
    """Replace the packet of a JPEG; all its other bytes stay as they are.

    Args:
        data: the file.
        packet: XMP in UTF-8.

    Raises:
        XmpError: it is no JPEG, its segments are broken, or the packet is too long for one segment.
    """
    if data[:2] != b"\xff\xd8":
        raise XmpError("expected a JPEG: names are written into no other kind of file; use a sidecar")
    if len(packet) > _MOST:
        raise XmpError(
            f"XMP of {len(packet)} bytes, one segment of a JPEG takes {_MOST}; use a sidecar for this photo"
        )
    body = _MARK + packet
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body
    old = _xmp_segment(data)
    if old is not None:
        return data[: old.start] + segment + data[old.end :]
    place = 2
    for one in _segments(data):
        if one.marker == _APP0 or (one.marker == _APP1 and data[one.body : one.body + 4] == b"Exif"):
            place = one.end
        else:
            break
    return data[:place] + segment + data[place:]


def _xmp_segment(data: bytes) -> _Segment | None:
    for segment in _segments(data):
        if segment.marker == _APP1 and data.startswith(_MARK, segment.body):
            return segment
    return None


def _segments(data: bytes) -> list[_Segment]:
    """List the segments before the picture.

    Raises:
        XmpError: they are broken.
    """
    found: list[_Segment] = []
    place = 2
    while len(found) < _SEGMENTS:
        if place + 4 > len(data) or data[place] != 0xFF:
            raise XmpError("a JPEG whose segments are broken")
        start = place
        while data[place + 1] == 0xFF:  # fill bytes
            place += 1
            if place + 4 > len(data):
                raise XmpError("a JPEG whose segments are broken")
        marker = data[place + 1]
        if marker in (_SCAN, 0xD9):
            return found
        length = int.from_bytes(data[place + 2 : place + 4])
        end = place + 2 + length
        if length < 2 or end > len(data):
            raise XmpError("a JPEG whose segments are broken")
        found.append(_Segment(marker, start, end, place + 4))
        place = end
    raise XmpError(f"a JPEG with more than {_SEGMENTS} segments")
