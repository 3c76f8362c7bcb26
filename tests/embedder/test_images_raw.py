"""Raw files of cameras: the preview in them is read, turned as the camera was held."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from embedder.errors import ImageError
from embedder.images import date_taken, decode_image, raw, read_header
from tests.embedder.pictures import PICTURE, encode

WIDE, HIGH = 96, 64
_KINDS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 10: "ii"}


def table(entries: list[tuple[int, int, tuple[int, ...] | bytes]], start: int, following: int = 0) -> bytes:
    """A table of TIFF tags at a place, its longer values behind it."""
    behind, rows = b"", b""
    place = start + 6 + 12 * len(entries)
    for tag, kind, values in sorted(entries):
        if isinstance(values, bytes):
            data, count = values, len(values)
        else:
            count = len(values) // len(_KINDS[kind])
            data = struct.pack("<" + _KINDS[kind] * count, *values)
        rows += struct.pack("<HHI", tag, kind, count)
        if len(data) <= 4:
            rows += data.ljust(4, b"\0")
        else:
            rows += struct.pack("<I", place + len(behind))
            behind += data + b"\0" * (len(data) % 2)
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following) + behind


def dng(preview: bytes | None, orientation: int = 1) -> bytes:
    """An Adobe DNG with the pattern of a sensor, and a preview in JPEG."""
    sensor = np.full((HIGH, WIDE), 9000, "<u2").tobytes()
    jpeg = preview or b""
    at_sensor, at_jpeg = 8, 8 + len(sensor)
    first = at_jpeg + len(jpeg) + len(jpeg) % 2
    matrix = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
    own = [
        *((254, 4, (0,)), (256, 4, (WIDE,)), (257, 4, (HIGH,)), (258, 3, (16,)), (259, 3, (1,))),
        *((262, 3, (32803,)), (273, 4, (at_sensor,)), (277, 3, (1,)), (278, 4, (HIGH,))),
        *((279, 4, (len(sensor),)), (33421, 3, (2, 2)), (33422, 1, b"\0\1\1\2")),
    ]
    common = [
        *((271, 2, b"Test\0"), (272, 2, b"Camera\0"), (274, 3, (orientation,)), (50706, 1, b"\1\4\0\0")),
        *((306, 2, b"2021:03:04 05:06:07\0"), (50708, 2, b"Test Camera\0"), (50721, 10, matrix)),
        *((50728, 5, (1, 1, 1, 1, 1, 1)), (50778, 3, (21,))),
    ]
    if preview is None:
        return b"II*\0" + struct.pack("<I", first) + sensor + table([*own, *common], first)
    shown = [
        *((254, 4, (1,)), (256, 4, (WIDE,)), (257, 4, (HIGH,)), (258, 3, (8, 8, 8)), (259, 3, (7,))),
        *((262, 3, (6,)), (273, 4, (at_jpeg,)), (277, 3, (3,)), (278, 4, (HIGH,)), (279, 4, (len(jpeg),))),
    ]
    size = len(table([*shown, *common, (330, 4, (0,))], first))
    second = first + size
    head = table([*shown, *common, (330, 4, (second,))], first)
    data = b"II*\0" + struct.pack("<I", first) + sensor + jpeg
    return data.ljust(first, b"\0") + head + table(own, second)


def preview(**options: object) -> bytes:
    return encode(Image.fromarray(PICTURE).resize((WIDE, HIGH), Image.Resampling.NEAREST), "JPEG", **options)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_preview_is_read_upright(orientation: int, turns: int) -> None:
    pytest.importorskip("rawpy")
    plain = decode_image(preview(quality=95), "a.jpg")
    found = decode_image(dng(preview(quality=95), orientation), "a.dng")
    np.testing.assert_array_equal(found, np.rot90(plain, turns))
    assert read_header(dng(preview(), orientation), "a.dng").orientation == orientation


def test_a_preview_that_says_how_it_is_turned_is_turned_once() -> None:
    pytest.importorskip("rawpy")
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = decode_image(preview(quality=95), "a.jpg")
    found = decode_image(dng(preview(quality=95, exif=exif), 6), "a.dng")
    np.testing.assert_array_equal(found, np.rot90(plain, 3))


def test_without_a_preview_it_is_developed() -> None:
    pytest.importorskip("rawpy")
    found = decode_image(dng(None), "a.dng")
    assert found.shape == (HIGH // 2, WIDE // 2, 3)
    assert found.mean() > 20


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "find_spec", lambda _: None)
    with pytest.raises(
        ImageError, match=r"a package is missing; install it: pip install 'embedder-enroll\[libr"
    ):
        decode_image(dng(preview()), "a.dng")


@pytest.mark.parametrize("left", [8, 200, -300, -120])
def test_broken_raw_files_are_refused(left: int) -> None:
    with pytest.raises(ImageError):
        decode_image(dng(preview())[:left], "a.dng")


def test_when_a_photo_was_taken() -> None:
    exif = Image.Exif()
    exif[0x0132] = "2022:01:02 03:04:05"
    assert date_taken(encode(PICTURE, "JPEG", exif=exif)) == "2022-01-02T03:04:05"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        assert date_taken(encode(PICTURE, kind, exif=exif)) == "2020-01-02T03:04:05", kind
    assert date_taken(dng(preview())) == "2021-03-04T05:06:07"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"II*\0", b"II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0",
        encode(PICTURE, "JPEG"),
    ],
)
def test_broken_dates_are_none(data: bytes) -> None:
    assert date_taken(data) is None


def test_a_date_that_is_none_is_none() -> None:
    for text in ("0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday"):
        exif = Image.Exif()
        exif[0x0132] = text
        assert date_taken(encode(PICTURE, "JPEG", exif=exif)) is None
