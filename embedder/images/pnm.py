"""Decode PNM files (PBM, PGM, PPM) by numpy, since Pillow reads comments byte by byte."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from embedder.images.header import BrokenError, Header

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TOKEN = re.compile(rb"(?:[ \t\n\v\f\r]|#[^\r\n]*+[\r\n])*+([0-9]{1,10})(?=[ \t\n\v\f\r#]|$)")
_MOST_HEADER = 2**16  # bytes of comments and spaces before the pixels
_MOST_COMMENTS = 10_000  # among the numbers of a plain file
_PART = 2**20  # bytes of text parsed at once
_COMMENT = re.compile(rb"#[^\r\n]*")
_BLANK = b" \t\n\v\f\r"


def scan_pnm(data: bytes) -> Header:
    """Scan a PNM; `data` of the result begins with a header without comments.

    Raises:
        BrokenError: the header is broken or too long.
    """
    head = data[:_MOST_HEADER]
    kind, place, numbers = head[:2], 2, []
    if head[2:3] not in (*(bytes((code,)) for code in _BLANK), b"#"):
        raise BrokenError("begins like a PNM file but cannot be read as one")
    for _ in range(2 if kind in (b"P1", b"P4") else 3):
        found = _TOKEN.match(head, place)
        if not found:
            more = "; it has more than 64 KiB of comments" if len(data) > _MOST_HEADER else ""
            raise BrokenError(f"expected width, height and the largest value in its header{more}")
        numbers.append(int(found.group(1)))
        place = found.end()
    width, height = numbers[:2]
    top = numbers[2] if len(numbers) == 3 else 1
    if not width or not height or not 0 < top < 2**16:
        raise BrokenError(f"a picture of {width} x {height} pixels with values up to {top} cannot be read")
    if kind in (b"P1", b"P2", b"P3") and data.count(b"#") > _MOST_COMMENTS:
        raise BrokenError(f"has more than {_MOST_COMMENTS:,} comments")
    clean = b"%s %d %d %d\n" % (kind, width, height, top)
    # Values of 16 bits are in memory together with the 8 bits made from them.
    kept = b"".join([clean, memoryview(data)[place + 1 :]])
    return Header("PPM", width, height, kept, per_pixel=10.0 if top > 255 else 8.0)


def decode_pnm(header: Header) -> NDArray[np.uint8]:
    """Decode a PNM whose header `scan_pnm` has read.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        BrokenError: the file is cut short, or a value is no number or too large.
    """
    start = header.data.index(b"\n") + 1
    kind, top = header.data[:2], int(header.data[:start].split()[3])
    layers = 3 if kind in (b"P3", b"P6") else 1
    count = header.width * header.height * layers
    values: NDArray[np.uint8] | NDArray[np.uint16]
    if kind == b"P1":
        values = _digits(header.data, start, count)
    elif kind in (b"P2", b"P3"):
        values = _numbers(header.data, start, count, top)
    elif kind == b"P4":
        across = -(-header.width // 8)
        packed = np.frombuffer(header.data, np.uint8, offset=start)[: across * header.height]
        _refuse_short(len(packed), across * header.height)
        values = np.unpackbits(packed.reshape(header.height, across), axis=1)[:, : header.width]
    else:
        width = 2 if top > 255 else 1
        _refuse_short((len(header.data) - start) // width, count)
        values = np.frombuffer(header.data, ">u2" if top > 255 else np.uint8, count, start)
    pixels = _scaled(values, top).reshape(header.height, header.width, layers)
    if kind in (b"P1", b"P4"):
        pixels = 255 - pixels  # in a bitmap 1 is black
    return np.repeat(pixels, 3, axis=2) if layers == 1 else pixels


def _refuse_short(count: int, expected: int) -> None:
    if count < expected:
        raise BrokenError(f"truncated: {count:,} values of {expected:,} are there")


def _scaled(values: NDArray[np.uint8] | NDArray[np.uint16], top: int) -> NDArray[np.uint8]:
    if top == 255:
        return values.astype(np.uint8)
    whole = np.minimum(np.arange(2**16 if values.itemsize > 1 else 256, dtype=np.uint32), top)
    table = ((whole * 255 + top // 2) // top).astype(np.uint8)
    scaled: NDArray[np.uint8] = table[values]
    return scaled


def _digits(data: bytes, start: int, count: int) -> NDArray[np.uint8]:
    """Read the digits 0 and 1 of a plain bitmap, which need no spaces between them."""
    body = _COMMENT.sub(b"", data[start:]) if data.count(b"#") else data[start:]
    letters = np.frombuffer(body, np.uint8)
    digits = letters[(letters == 48) | (letters == 49)][:count] - 48
    _refuse_short(len(digits), count)
    ones: NDArray[np.uint8] = digits
    return ones


def _numbers(data: bytes, start: int, count: int, top: int) -> NDArray[np.uint16]:
    """Read the numbers of a plain file in parts, as a list of all takes ten times its size."""
    body = _COMMENT.sub(b"", data[start:]) if data.count(b"#") else data
    place = 0 if body is not data else start
    values = np.empty(count, np.uint16)
    done = 0
    while done < count and place < len(body):
        end = place + _PART
        while end < len(body) and body[end] not in _BLANK:  # to the end of the number
            end += 1
            if end > place + 2 * _PART:
                raise BrokenError("holds what is no number")
        words = body[place:end].split()
        place = end
        if any(len(word) > 10 for word in words):
            raise BrokenError("holds what is no number")
        try:
            part = np.array(words, dtype="S10").astype(np.int64)
        except ValueError as error:
            raise BrokenError("holds what is no number") from error
        part = part[: count - done]
        if len(part) and (part.min() < 0 or part.max() > top):
            raise BrokenError(f"holds a value that is not between 0 and {top}")
        values[done : done + len(part)] = part
        done += len(part)
    _refuse_short(done, count)
    return values
