"""Pictures that can be read: what their pixels are."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.images import decode_image, load_image
from tests.embedder.pictures import COLOURS, GREY, PICTURE, SAMPLES, encode, png, tiff

ORIENTATIONS = range(1, 9)


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Lay a picture down as the EXIF standard says: where its first row and its first column are seen."""
    turned = upright.swapaxes(0, 1)
    return np.ascontiguousarray(
        {
            1: upright,  # row 0 is the top, column 0 the left side
            2: upright[:, ::-1],  # top, right
            3: upright[::-1, ::-1],  # bottom, right
            4: upright[::-1],  # bottom, left
            5: turned,  # left, top
            6: turned[::-1],  # right, top
            7: turned[::-1, ::-1],  # right, bottom
            8: turned[:, ::-1],  # left, bottom
        }[orientation]
    )


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def exif_bytes(kind: int, count: int, value: bytes) -> bytes:
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12" + struct.pack(">HI", kind, count) + value + bytes(4)


def decode(data: bytes) -> np.ndarray:
    image = decode_image(data, "photo")
    assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
    return image


def assert_picture(image: np.ndarray, expected: np.ndarray | None) -> None:
    if expected is not None:
        expected = expected if expected.ndim == 3 else np.stack([expected] * 3, axis=2)
        np.testing.assert_array_equal(image, expected)
    else:  # the middle of each block
        assert image.shape == PICTURE.shape
        np.testing.assert_allclose(image[8::16, 8::16].astype(int), COLOURS.astype(int), atol=12)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_kind_of_file_gives_its_first_picture(name: str) -> None:
    data, expected = SAMPLES[name]
    assert_picture(decode(data), expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".txt", ".tar.gz", ""])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossless", "bmp", "gif", "tiff", "pnm P6"])
def test_the_extension_does_not_matter(tmp_path: Path, name: str, suffix: str) -> None:
    data, expected = SAMPLES[name]
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(data)
    assert_picture(load_image(path), expected)


@pytest.mark.parametrize(
    "name", ["a b.png", " c .png", "été.png", "e\u0301te\u0301.png", "日本 語.png", "-x.png", "%s {0}.png"]
)
@pytest.mark.parametrize("kind", [str, Path])
def test_any_file_name(tmp_path: Path, name: str, kind: type) -> None:
    (tmp_path / name).write_bytes(SAMPLES["png"][0])
    assert_picture(load_image(kind(tmp_path / name)), PICTURE)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take Unicode names only")
def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xfe.png")
    path.write_bytes(SAMPLES["png"][0])
    assert_picture(load_image(path), PICTURE)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(SAMPLES["png"][0])
    (tmp_path / "link").symlink_to("photo.png")
    assert_picture(load_image(tmp_path / "link"), PICTURE)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("MPO", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_orientation(kind: str, options: dict[str, object], orientation: int) -> None:
    data = encode(stored(PICTURE, orientation), kind, exif=exif(orientation), **options)
    assert_picture(decode(data), None if kind in ("JPEG", "MPO") else PICTURE)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_of_16_bit_grey(kind: str, orientation: int) -> None:
    data = encode(stored(GREY.astype(np.uint16) * 257, orientation), kind, exif=exif(orientation))
    assert_picture(decode(data), GREY)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_orientation_of_a_transparent_picture(kind: str) -> None:
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:16, :16, 3] = 0
    expected = PICTURE.copy()
    expected[:16, :16] = 255
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_picture(decode(encode(stored(rgba, 6), kind, exif=exif(6), **options)), expected)


@pytest.mark.parametrize("value", [0, 9, 65535])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_an_orientation_that_means_nothing_turns_nothing(kind: str, value: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_picture(decode(encode(PICTURE, kind, exif=exif(value), **options)), PICTURE)


@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",  # the table lies behind the end
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",  # a table of 65535 entries that are not there
        exif_bytes(3, 1, b"\0\x06")[:-8],  # cut short
        exif_bytes(2, 2, b"6\0\0\0"),  # the letter 6
        exif_bytes(5, 1, b"\0\0\xff\xff"),  # a fraction behind the end
        exif_bytes(99, 1, b"\0\x06\0\0"),  # no such type
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_leaves_the_pixels_alone(kind: str, broken: bytes) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(PICTURE, kind, exif=broken, **options)
    assert broken[6:] in data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_picture(decode(data), None if kind == "JPEG" else PICTURE)


@pytest.mark.parametrize(("alpha", "expected"), [(0, [255] * 3), (255, [10, 20, 30]), (51, [206, 208, 210])])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_on_white(kind: str, alpha: int, expected: list[int]) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encode(Image.new("RGBA", (3, 2), (10, 20, 30, alpha)), kind, **options)
    assert decode(data).tolist() == [[expected] * 3] * 2


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 20), (51, 208)])
def test_grey_with_alpha(alpha: int, expected: int) -> None:
    assert decode(encode(Image.new("LA", (1, 1), (20, alpha)), "PNG")).tolist() == [[[expected] * 3]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_a_transparent_colour(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    assert decode(encode(image, kind, transparency=0)).tolist() == [[[255, 255, 255], [0, 200, 0]]]


def test_palette_with_half_transparent_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 0, 200, 0])
    image.putpixel((1, 0), 1)
    data = encode(image, "PNG", transparency=b"\x33\xff")
    assert decode(data).tolist() == [[[206, 208, 210], [0, 200, 0]]]


# Each holds two pixels, the first of the colour that tRNS calls transparent; the second is white or grey.
@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "transparent", "second"),
    [
        (8, 2, b"\1\2\3\4\5\6", b"\0\1\0\2\0\3", [4, 5, 6]),
        (8, 0, b"\x07\x20", b"\0\x07", [32] * 3),
        (1, 0, b"\x80", b"\0\1", [0] * 3),
        (16, 0, b"\0\x07\x20\x20", b"\0\x07", [32] * 3),
    ],
)
def test_a_colour_that_png_calls_transparent(
    depth: int, colour_type: int, row: bytes, transparent: bytes, second: list[int]
) -> None:
    data = png(2, 1, depth, colour_type, b"\0" + row, transparent)
    assert decode(data).tolist() == [[[255] * 3, second]]


# 16 bits: 0, almost black, middle grey, almost white, white. Clipped, the last three would all be white.
RAMP = np.array([[0, 300, 32768, 65000, 65535]], np.uint16)
RAMP_8 = [0, 1, 128, 253, 255]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encode(RAMP, "PNG"), id="png"),
        pytest.param(encode(RAMP, "TIFF"), id="tiff by Pillow"),
        pytest.param(encode(RAMP, "TIFF", compression="tiff_lzw"), id="tiff lzw"),
        pytest.param(tiff(5, 1, 16, RAMP.astype("<u2").tobytes(), "<"), id="tiff little-endian"),
        pytest.param(tiff(5, 1, 16, RAMP.astype(">u2").tobytes(), ">"), id="tiff big-endian"),
        pytest.param(
            tiff(5, 1, 16, (65535 - RAMP).astype("<u2").tobytes(), photometric=0), id="tiff, white is 0"
        ),
        pytest.param(b"P5 5 1 65535\n" + RAMP.astype(">u2").tobytes(), id="pgm"),
        pytest.param(b"P2 5 1 65535\n0 300 32768 65000 65535\n", id="pgm plain"),
    ],
)
def test_16_bit_grey_is_scaled_by_its_range(data: bytes) -> None:
    assert decode(data)[0].tolist() == [[value] * 3 for value in RAMP_8]


def test_pgm_is_scaled_by_the_range_it_names() -> None:
    assert decode(b"P5 3 1 1023\n" + struct.pack(">3H", 0, 512, 1023))[0, :, 0].tolist() == [0, 128, 255]
    assert decode(b"P5 2 1 15\n\x00\x0f")[0, :, 0].tolist() == [0, 255]


def test_12_bit_tiff_is_scaled_by_its_range() -> None:
    assert decode(tiff(2, 1, 12, b"\xff\xf8\x00"))[0, :, 0].tolist() == [255, 128]


def test_16_bit_colour() -> None:
    row = struct.pack(">3H", 65535, 0x80FF, 0)
    assert decode(png(1, 1, 16, 2, b"\0" + row)).tolist() == [[[255, 128, 0]]]
    assert decode(b"P6 1 1 65535\n" + row).tolist() == [[[255, 128, 0]]]


@pytest.mark.parametrize(("depth", "row"), [(1, b"\x40"), (2, b"\x30"), (4, b"\x0f"), (8, b"\0\xff")])
def test_few_bits_of_grey(depth: int, row: bytes) -> None:
    assert decode(png(2, 1, depth, 0, b"\0" + row))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_one_pixel(kind: str) -> None:
    image = decode(encode(Image.new("RGB", (1, 1), (255, 255, 255)), kind))
    assert image.tolist() == [[[255, 255, 255]]]


def test_blocks_of_pillow_are_set_by_reading_unless_they_are_set() -> None:
    code = """
import io
from PIL import Image
import embedder.images.reading as reading
picture, file = Image.new("RGB", (4, 4)), io.BytesIO()
picture.save(file, "PNG")
def size_after(photo, given):
    Image.core.set_block_size(given)
    reading._take_large_blocks.cache_clear()
    reading.load_image(photo)
    return Image.core.get_block_size()
print(Image.core.get_block_size())
for photo in (picture, file.getvalue()):
    print(size_after(photo, 1 << 23), size_after(photo, 1 << 24))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [int(word) for word in done.stdout.split()] == [1 << 24] + 2 * [1 << 23, 1 << 26]
