"""Photos as phones, cameras and other programs leave them: large, cut, raw, moving, in their own colours."""

from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL import __version__ as pillow_version

from embedder.config import ImageLimits
from embedder.errors import ImageError
from embedder.images import Picture, decode_frames, decode_image, kinds, load_image, reading
from embedder.images.budget import MemoryBudget
from embedder.images.jpeg import TRUNCATED
from tests.embedder.pictures import COLOURS, PICTURE, encode

LARGE = PICTURE.repeat(8, axis=0).repeat(8, axis=1)  # 256 x 384, six even blocks
MIDDLES = np.s_[64::128, 64::128]


def only(data: bytes, limits: ImageLimits | None = None) -> Picture:
    (picture,) = decode_frames(data, "photo", limits)
    return picture


def refused(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, "photo")
    return caught.value.reason


@pytest.mark.parametrize(("most", "scale"), [(256 * 384, 1), (256 * 384 - 1, 2), (6200, 4), (1600, 8)])
def test_a_large_jpeg_is_read_reduced(most: int, scale: int) -> None:
    picture = only(encode(LARGE, "JPEG", quality=95), ImageLimits(max_pixels=most))
    assert picture.pixels.shape == (256 // scale, 384 // scale, 3)
    middle = 64 // scale
    blocks = picture.pixels[middle :: 2 * middle, middle :: 2 * middle]
    np.testing.assert_allclose(blocks.astype(int), COLOURS.astype(int), atol=12)
    note = f"read at {384 // scale} x {256 // scale} of its 384 x 256 pixels"
    assert picture.notes == (() if scale == 1 else (note,))


@pytest.mark.parametrize(("width", "height"), [(8160, 6120), (9504, 6336), (12_000, 9000), (16_320, 12_240)])
def test_pictures_of_phones_are_within_the_limits(width: int, height: int) -> None:
    header = reading.Header("JPEG", width, height, bytes(60_000_000), reducible=True)
    scale, _ = reading.choose_scale(header, ImageLimits(), "photo")
    assert header.memory(scale) < 448 * 2**20
    assert width * height / scale**2 > 12e6  # enough for faces far away


def test_a_jpeg_beyond_all_limits_is_refused() -> None:
    limits = ImageLimits(max_pixels=1000, max_jpeg_pixels=256 * 384 - 1)
    with pytest.raises(ImageError, match=r"has 0\.1 megapixels, at most .* are read, of a JPEG"):
        decode_image(encode(LARGE, "JPEG"), "photo", limits)


def test_a_progressive_jpeg_is_counted_with_its_coefficients() -> None:
    baseline = reading.scan_jpeg(encode(LARGE, "JPEG", subsampling=0))
    progressive = reading.scan_jpeg(encode(LARGE, "JPEG", subsampling=0, progressive=True))
    assert baseline.fixed == 0
    assert progressive.fixed == 256 * 384 * 3 * 2
    assert reading.scan_jpeg(encode(LARGE, "JPEG", progressive=True)).fixed == 256 * 384 * 3  # 4:2:0


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_read_as_far_as_it_goes(progressive: bool) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    data = encode(noise, "JPEG", quality=90, progressive=progressive)
    whole, cut = only(data), only(data[: len(data) * 3 // 4])
    assert whole.notes == ()
    assert cut.notes == (TRUNCATED,)
    assert cut.pixels.shape == (256, 256, 3)
    if not progressive:
        np.testing.assert_array_equal(cut.pixels[:160], whole.pixels[:160])
        assert cut.pixels[-8:].std() < 1  # nothing is there
    without_end = only(data[:-2])
    assert without_end.notes == (TRUNCATED,)
    if not progressive:
        np.testing.assert_array_equal(without_end.pixels[:240], whole.pixels[:240])


def test_a_jpeg_that_ends_before_its_picture_is_refused() -> None:
    data = encode(LARGE, "JPEG")
    start = data.index(b"\xff\xda")
    for end in range(4, start + 12):
        assert "broken" in refused(data[:end])


def test_what_follows_a_jpeg_is_not_read() -> None:
    data = encode(LARGE, "JPEG", quality=95)
    after = data + b"\xff\xd8 a film of two seconds" + data[2:-2]
    picture = only(after)
    assert picture.notes == ()
    np.testing.assert_array_equal(picture.pixels, only(data).pixels)


def directories(*tables: dict[int, int], sub: int | None = None) -> bytes:
    """A little-endian TIFF of tables one after the other; `sub` of them are parts of the first."""
    head, place, out = b"II*\0\x08\0\0\0", 8, b""
    places = []
    for table in tables:
        places.append(place)
        place += 6 + 12 * (len(table) + (sub is not None and table is tables[0]))
    for number, table in enumerate(tables):
        entries = dict(table)
        if sub is not None and number == 0:
            entries[330] = places[1]
        following = places[number + 1] if number + 1 < len(tables) and sub is None else 0
        out += struct.pack("<H", len(entries))
        out += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
        out += struct.pack("<I", following)
    return head + out + bytes(64 * 64)


PREVIEW = {254: 1, 256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 8, 279: 64}
FULL = {254: 0, 256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 64, 279: 4096}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(directories({**PREVIEW, 50706: 0x0401}), id="dng"),
        pytest.param(directories(PREVIEW, {**FULL, 262: 32803}, sub=1), id="nef, arw"),
        pytest.param(directories(PREVIEW, {**FULL, 262: 34892}, sub=1), id="linear dng"),
        pytest.param(directories(PREVIEW, FULL, sub=1), id="a part that is no sensor's"),
        pytest.param(directories(PREVIEW, FULL), id="a page"),
        pytest.param(b"II*\0\x10\0\0\0CR\x02\0" + directories(FULL)[8:], id="cr2"),
        pytest.param(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", id="cr3"),
        pytest.param(b"FUJIFILMCCD-RAW 0201", id="raf"),
        pytest.param(b"IIU\0\x18\0\0\0", id="rw2"),
        pytest.param(b"IIRO\x08\0\0\0", id="orf"),
    ],
)
def test_raw_files_are_refused_with_the_reason(data: bytes) -> None:
    reason = refused(data)
    assert "raw file" in reason
    assert reason.endswith("develop it and save it as JPEG or TIFF")


def test_a_tiff_with_smaller_copies_behind_it_is_read() -> None:
    picture = only(directories(FULL, PREVIEW, sub=1))
    assert picture.pixels.shape == (64, 64, 3)
    assert picture.notes == ()
    assert only(directories(FULL, PREVIEW)).notes == ()  # a smaller copy is no page


def test_pages_are_counted() -> None:
    more = [Image.fromarray(PICTURE)] * 2
    picture = only(encode(PICTURE, "TIFF", save_all=True, append_images=more))
    assert picture.notes == ("has 3 pages, only the first is read",)
    np.testing.assert_array_equal(picture.pixels, PICTURE)


def test_heic_without_its_package_gets_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    for brand in (b"heic", b"heix", b"mif1", b"msf1"):
        data = struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100)
        assert "pip install 'embedder-enroll[heic]'" in refused(data)


def test_heic_with_its_package() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[274] = 6
    data = encode(LARGE.swapaxes(0, 1)[::-1].copy(), "HEIF", quality=95, exif=exif.tobytes())
    image = decode_image(data, "photo")
    assert image.shape == LARGE.shape
    np.testing.assert_allclose(image[MIDDLES].astype(int), COLOURS.astype(int), atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif(orientation: int) -> None:
    from tests.embedder.test_images import exif, stored

    data = encode(stored(LARGE, orientation), "AVIF", quality=95, exif=exif(orientation))
    image = decode_image(data, "photo")
    assert image.shape == LARGE.shape
    np.testing.assert_allclose(image[MIDDLES].astype(int), COLOURS.astype(int), atol=12)


def profile(red: tuple[float, float, float], green: tuple[float, ...], blue: tuple[float, ...]) -> bytes:
    """An ICC profile (version 2) of a screen: where its primaries lie in XYZ (D50), and a gamma of 2."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    white = (0.9642, 1.0, 0.8249)
    parts = [
        (name, b"XYZ \0\0\0\0" + b"".join(map(number, xyz)))
        for name, xyz in ((b"rXYZ", red), (b"gXYZ", green), (b"bXYZ", blue), (b"wtpt", white))
    ]
    parts += [(name, b"curv" + struct.pack(">IIHH", 0, 1, 512, 0)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    parts += [(b"desc", b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(86))]
    parts += [(b"cprt", b"text\0\0\0\0none")]
    place, table, body = 128 + 4 + 12 * len(parts), b"", b""
    for name, content in parts:
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", place + len(body), len(content))
        body += content
    size = place + len(body)
    head = struct.pack(">I", size) + bytes(4) + b"\x02\x40\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(68 - len(head)) + b"".join(map(number, white))
    return head + bytes(128 - len(head)) + struct.pack(">I", len(parts)) + table + body


# Primaries of sRGB in XYZ (D50), and a screen whose red and blue are exchanged.
RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
EXCHANGED = profile(BLUE, GREEN, RED)


def as_srgb(colour: list[int]) -> list[int]:
    """Red and blue exchanged, from a gamma of 2 to that of sRGB."""
    linear = (np.array(colour[::-1]) / 255) ** 2
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [round(value) for value in (255 * shown).tolist()]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_profiles_are_converted(kind: str) -> None:
    colour = [200, 120, 40]
    assert as_srgb(colour) == [43, 130, 206]
    options: dict[str, object] = (
        {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    )
    image = Image.new("RGB", (16, 16), tuple(colour))
    picture = only(encode(image, kind, icc_profile=EXCHANGED, **options))
    assert picture.notes == ()
    np.testing.assert_allclose(
        picture.pixels[8, 8], as_srgb(colour), atol=6 if kind in ("JPEG", "AVIF") else 2
    )


def test_a_large_profile_in_pieces() -> None:
    padded = EXCHANGED[:128] + EXCHANGED[128:] + bytes(150_000)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    data = encode(Image.new("RGB", (16, 16), (200, 120, 40)), "JPEG", quality=100, icc_profile=padded)
    assert data.count(b"ICC_PROFILE") == 3
    np.testing.assert_allclose(decode_image(data, "photo")[8, 8], as_srgb([200, 120, 40]), atol=6)


def test_transparency_and_palette_with_a_profile() -> None:
    rgba = Image.new("RGBA", (2, 1), (200, 120, 40, 255))
    rgba.putpixel((1, 0), (200, 120, 40, 0))
    pixels = decode_image(encode(rgba, "PNG", icc_profile=EXCHANGED), "photo")
    np.testing.assert_allclose(pixels[0], [as_srgb([200, 120, 40]), [255] * 3], atol=2)
    palette = Image.new("P", (1, 1))
    palette.putpalette([200, 120, 40])
    pixels = decode_image(encode(palette, "PNG", icc_profile=EXCHANGED), "photo")
    np.testing.assert_allclose(pixels[0, 0], as_srgb([200, 120, 40]), atol=2)


def test_grey_with_a_profile_of_colours() -> None:
    pixels = decode_image(encode(Image.new("L", (1, 1), 120), "PNG", icc_profile=EXCHANGED), "photo")
    np.testing.assert_allclose(pixels[0, 0], as_srgb([120] * 3), atol=3)


def test_srgb_changes_no_pixel() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(decode_image(encode(PICTURE, "PNG", icc_profile=srgb), "photo"), PICTURE)


@pytest.mark.parametrize("broken", [b"no profile", EXCHANGED[:200], EXCHANGED.replace(b"RGB ", b"CMYK")])
def test_a_profile_that_cannot_be_used_is_told(broken: bytes) -> None:
    picture = only(encode(PICTURE, "PNG", icc_profile=broken))
    np.testing.assert_array_equal(picture.pixels, PICTURE)
    assert picture.notes == ("its colour profile cannot be used; colours are read as if it had none",)


@pytest.mark.parametrize(
    ("mode", "colour", "right"),
    [
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
    ],
)
def test_colours_of_printers_and_television(
    mode: str, colour: tuple[int, ...], right: tuple[int, ...]
) -> None:
    reads_it = mode != "YCbCr" or int(pillow_version.split(".")[0]) >= 13  # older Pillow: "truncated"
    for kind in ("TIFF", "JPEG") if reads_it else ("JPEG",):
        image = decode_image(encode(Image.new(mode, (16, 16), colour), kind), "photo")
        np.testing.assert_allclose(image[8, 8].astype(int), right, atol=3)


def test_lab() -> None:
    image = decode_image(encode(Image.new("LAB", (4, 4), (138, 209, 198)), "TIFF"), "photo")  # red of sRGB
    np.testing.assert_allclose(image[0, 0].astype(int), (255, 0, 0), atol=6)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_frames_of_an_animation(kind: str) -> None:
    black, other = np.zeros_like(PICTURE), PICTURE[::-1].copy()
    more = [Image.fromarray(PICTURE), Image.fromarray(other)]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames = list(decode_frames(encode(black, kind, save_all=True, append_images=more, **options), "photo"))
    assert [(frame.frame, frame.frames) for frame in frames] == [(1, 3), (2, 3), (3, 3)]
    for frame, right in zip(frames, (black, PICTURE, other), strict=True):
        np.testing.assert_allclose(frame.pixels[8::16, 8::16].astype(int), right[8::16, 8::16], atol=12)


def test_no_more_frames_than_their_pixels_allow() -> None:
    more = [Image.fromarray(np.roll(PICTURE, n, axis=1)) for n in range(1, 150)]
    data = encode(PICTURE, "GIF", save_all=True, append_images=more)
    assert sum(1 for _ in decode_frames(data, "photo")) == 100
    few = ImageLimits(max_pixels=2 * PICTURE.shape[0] * PICTURE.shape[1])
    assert sum(1 for _ in decode_frames(data, "photo", few)) == 4


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (np.full((2, 3), 7, np.uint8), [7, 7, 7]),
        (np.full((2, 3, 1), 7, np.uint8), [7, 7, 7]),
        (np.full((2, 3, 3), (1, 2, 3), np.uint8), [1, 2, 3]),
        (np.full((2, 3, 4), (10, 20, 30, 51), np.uint8), [206, 208, 210]),
        (np.full((2, 3, 3), (0, 0.5, 1.0)), [0, 128, 255]),
        (np.full((2, 3), 1, np.float32), [255] * 3),
        (np.ones((2, 3), bool), [255] * 3),
        (Image.new("RGB", (3, 2), (1, 2, 3)), [1, 2, 3]),
        (Image.new("L", (3, 2), 7), [7, 7, 7]),
        (Image.new("RGBA", (3, 2), (10, 20, 30, 51)), [206, 208, 210]),
        (encode(Image.new("RGB", (3, 2), (1, 2, 3)), "PNG"), [1, 2, 3]),
        (bytearray(encode(Image.new("RGB", (3, 2), (1, 2, 3)), "PNG")), [1, 2, 3]),
        (io.BytesIO(encode(Image.new("RGB", (3, 2), (1, 2, 3)), "PNG")), [1, 2, 3]),
    ],
)
def test_photos_in_memory(given: object, right: list[int]) -> None:
    image = load_image(given)
    assert (image.dtype, image.flags.c_contiguous) == (np.uint8, True)
    assert image.tolist() == [[right] * 3] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((2, 3, 2), np.uint8), "got shape (2, 3, 2)"),
        (np.zeros((0, 3, 3), np.uint8), "got shape (0, 3, 3)"),
        (np.zeros((2, 3, 3), np.int64), "got int64"),
        (np.zeros((2, 3, 3), np.uint16), "got uint16"),
        (np.full((2, 3, 3), 255.0), "got float64 from 255 to 255"),
        (np.full((2, 3, 3), np.nan), "got float64 from nan to nan"),
        (b"", "the file is empty"),
        (io.StringIO("text"), "open it with 'rb'"),
        (17, "got int"),
        (None, "got NoneType"),
        ("https://example.org/a.jpg", "an address is not fetched; download it"),
    ],
)
def test_photos_in_memory_that_are_none(given: object, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        load_image(given)
    assert said in caught.value.reason


def test_a_picture_of_pillow_is_turned_as_its_file_would_be() -> None:
    exif = Image.Exif()
    exif[274] = 3
    with Image.open(io.BytesIO(encode(PICTURE, "PNG", exif=exif))) as image:
        np.testing.assert_array_equal(load_image(image), PICTURE[::-1, ::-1])


def test_notes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "embedder.images"):
        decode_image(encode(LARGE, "JPEG")[:-2], "photo.jpg")
    (record,) = caplog.records
    assert record.getMessage() == f"photo.jpg: {TRUNCATED}"
    assert (record.photo, record.note) == ("photo.jpg", TRUNCATED)


def test_notes_are_not_written_where_no_log_is_set_up(tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(encode(LARGE, "JPEG")[:-2])
    code = "import sys; from embedder import load_image; print(load_image(sys.argv[1]).shape)"
    command = [sys.executable, "-c", code, str(tmp_path / "cut.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("(256, 384, 3)\n", "")


def test_memory_is_shared() -> None:
    budget = MemoryBudget(100)
    second = threading.Event()

    def work() -> None:
        with budget.hold(60):
            second.set()

    with budget.hold(60) as share:
        thread = threading.Thread(target=work)
        thread.start()
        with budget.hold(60):  # who holds some never waits for itself
            assert budget.held == 120
        assert not second.wait(0.2)
        share.shrink(40)
        assert second.wait(30)
    thread.join()
    assert budget.held == 0


def test_more_than_there_is_goes_alone() -> None:
    budget = MemoryBudget(10)
    with budget.hold(1000):
        assert budget.held == 1000
    assert budget.held == 0


def test_a_picture_in_use_holds_its_pixels_and_gives_them_back() -> None:
    frames = decode_frames(encode(LARGE, "PNG"), "photo")
    next(frames)
    assert reading._BUDGET.held == 2 * len(encode(LARGE, "PNG")) + LARGE.nbytes
    frames.close()
    assert reading._BUDGET.held == 0
    with pytest.raises(ImageError):
        decode_image(encode(LARGE, "PNG")[:200], "photo")
    assert reading._BUDGET.held == 0
