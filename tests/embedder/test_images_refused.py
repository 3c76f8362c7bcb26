"""Files that cannot be used: each is refused with a reason, quickly, and without a word on the terminal."""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from embedder._internal.runtime import own_streams
from embedder.config import ImageLimits
from embedder.errors import ImageError
from embedder.images import decode_image, decoders, load_image, read_image_file, reading
from tests.embedder.pictures import GREY, PICTURE, SAMPLES, decode_here, encode, png, tiff

PIXELS = PICTURE.shape[0] * PICTURE.shape[1]
MEBIBYTE = 2**20
# Of this height and width, and with a byte for the pixels.
JPEG = b"\xff\xd8\xff\xc0\0\x0b\x08%b%b\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\0"
WHOLE = [name for name in SAMPLES if not name.startswith("jpeg")]  # a JPEG is read reduced


class Decoded(BaseException):
    """Pixels were decoded; no `except Exception` swallows it."""


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each damaged animation would take a process of its own; `test_images_apart` tests those."""
    monkeypatch.setattr("embedder.images.reading.decode_apart", decode_here)


@pytest.fixture
def decoding_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object) -> None:
        raise Decoded

    monkeypatch.setattr(reading, "decode_pnm", load)
    kinds = [ImageFile.ImageFile]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if "load" in vars(kind):
            monkeypatch.setattr(kind, "load", load)


def reason(data: bytes, limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, "some photo", limits)
    assert caught.value.path == Path("some photo")
    assert str(caught.value) == f"some photo: {caught.value.reason}"
    assert "\n" not in caught.value.reason
    assert "BytesIO" not in caught.value.reason  # words for people
    return caught.value.reason


def file_reason(path: str | Path, limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path, limits)
    assert caught.value.path == Path(path)
    return caught.value.reason


@pytest.mark.parametrize("name", WHOLE)
def test_too_many_pixels_are_refused_before_decoding(name: str, decoding_fails: None) -> None:
    data = SAMPLES[name][0]
    assert "megapixels" in reason(data, ImageLimits(max_pixels=PIXELS - 1))
    with pytest.raises(Decoded):  # one pixel less would have been decoded
        decode_image(data, "photo", ImageLimits(max_pixels=PIXELS))


# 90 megapixels, and 400: there Pillow has a limit of its own.
@pytest.mark.parametrize("side", [9500, 20000])
@pytest.mark.parametrize(
    "header",
    [
        pytest.param(lambda side: png(side, side, 8, 2, b""), id="png"),
        pytest.param(lambda side: tiff(side, side, 8, b""), id="tiff"),
        pytest.param(lambda side: b"P6 %d %d 255\n" % (side, side), id="ppm"),
        pytest.param(lambda side: b"P1 %d %d\n" % (side, side), id="pbm plain"),
        pytest.param(
            lambda side: b"GIF89a" + struct.pack("<2H3x", side, side) + b",\0\0\0\0\1\0\1\0\0\2", id="gif"
        ),
        pytest.param(
            lambda side: b"BM" + struct.pack("<I4xIIiiHH24x", 54, 54, 40, side, side, 1, 24), id="bmp"
        ),
        pytest.param(lambda side: JPEG % ((2 * side).to_bytes(2), (side + 10_000).to_bytes(2)), id="jpeg"),
    ],
)
def test_a_header_that_announces_too_much(header: Callable[[int], bytes], side: int) -> None:
    assert "megapixels" in reason(header(side))


@pytest.mark.parametrize("side", [5000, 7000])
@pytest.mark.parametrize("kind", ["lossy", "lossless", "extended"])
def test_a_webp_is_not_opened_before_its_size_is_known(
    kind: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*args: object, **options: object) -> None:
        raise Decoded  # libwebp gives memory to the canvas here, 17 bytes a pixel

    chunk = {
        "lossy": b"VP8 \x14\0\0\0\0\0\0\x9d\1\x2a" + struct.pack("<2H", side, side),
        "lossless": b"VP8L\x14\0\0\0\x2f" + struct.pack("<I", side - 1 | side - 1 << 14),
        "extended": b"VP8X\x0a\0\0\0\2\0\0\0" + 2 * (side - 1).to_bytes(3, "little"),
    }[kind]
    monkeypatch.setattr(decoders, "open_as", opened)
    data = b"RIFF\x20\0\0\0WEBP" + chunk + bytes(16)
    if side == 5000:
        with pytest.raises(Decoded):
            decode_image(data, "photo")
    else:
        assert reason(data).startswith("has 49.0 megapixels, and as WebP takes 794 MiB to read, at most 448")


def test_the_caps_without_options() -> None:
    assert ImageLimits() == ImageLimits(max_bytes=100 * MEBIBYTE, max_pixels=50_000_000)


def test_too_many_bytes_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.jpg"
    with path.open("wb") as file:
        file.truncate(101 * MEBIBYTE)

    def opened(*args: object, **kwargs: object) -> None:
        raise Decoded

    monkeypatch.setattr("os.open", opened)
    assert file_reason(path) == "has 101.0 MiB, at most 100 are read; make it smaller"
    with pytest.raises(Decoded):
        load_image(path, ImageLimits(max_bytes=101 * MEBIBYTE))


def test_the_byte_cap_is_exact(tmp_path: Path) -> None:
    data = SAMPLES["png"][0]
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    assert read_image_file(path, ImageLimits(max_bytes=len(data))) == data
    assert "MiB" in file_reason(path, ImageLimits(max_bytes=len(data) - 1))


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, path = tmp_path / "small", tmp_path / "photo"
    small.write_bytes(b"x")
    path.write_bytes(bytes(1000))
    before = small.stat()
    monkeypatch.setattr(Path, "stat", lambda self, **options: before)
    assert "MiB" in file_reason(path, ImageLimits(max_bytes=999))


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert "memory" in reason(SAMPLES["png"][0])


@pytest.mark.parametrize("name", WHOLE)
def test_truncated_files(name: str) -> None:
    """Cut anywhere, a file is refused, or nothing but an unused end is missing."""
    data = SAMPLES[name][0]
    whole = decode_image(data, "photo")
    for length in {*range(20, len(data), max(1, len(data) // 150)), *range(len(data) - 40, len(data))}:
        try:
            image = decode_image(data[:length], "photo")
        except ImageError:
            continue
        np.testing.assert_array_equal(image, whole)
    for length in range(1, 20):
        reason(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"This is a text file, called photo.jpg.\n", id="text"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', id="svg"),
        pytest.param(b'<?xml version="1.0"?><svg/>', id="svg in xml"),
        pytest.param(b"%PDF-1.7\n", id="pdf"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", id="eps"),
        pytest.param(b"RIFF\x24\0\0\0WAVEfmt ", id="wav"),
        pytest.param(b"RIFF\x24\0\0\0AVI LIST", id="avi"),
        pytest.param(b"Pf\n1 1\n-1.0\n\0\0\x80\x3f", id="pfm"),
        pytest.param(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0", id="pam"),
        pytest.param(b"\0", id="one byte"),
        pytest.param(b"\xff\xd8", id="two bytes of a jpeg"),
        pytest.param(b"RIFF", id="four bytes of a webp"),
        pytest.param(b"\n" + SAMPLES["png"][0], id="png behind a line break"),
        *(
            pytest.param(encode(PICTURE, kind), id=kind)
            for kind in ("ICO", "TGA", "PCX", "SGI", "DDS", "JPEG2000")
        ),
    ],
)
def test_foreign_files(data: bytes) -> None:
    assert reason(data).startswith(
        "not a picture: expected JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF, TIFF or PNM"
    )


def test_a_decoder_sees_only_its_own_format() -> None:
    hidden = bytearray(b"\xff\xd8\xff\1" + bytes(96 * 2048 + 768 * 512 * 3))
    hidden[2048:2052] = b"PCD_"  # a Photo CD, which Pillow by itself would find
    with Image.open(io.BytesIO(hidden)) as found:
        assert found.format == "PCD"
    assert reason(bytes(hidden)).startswith("broken")


@pytest.mark.parametrize(
    "magic",
    [
        *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"BM", b"GIF87a", b"GIF89a"),
        *(b"II*\0", b"MM\0*", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"\0", b"\xff" * 200, bytes(200), b" hello, this is text\n" * 9])
def test_nothing_but_magic_bytes(magic: bytes, rest: bytes) -> None:
    # Taken for numbers, text may announce a picture that is too large to be looked at.
    assert reason(magic + rest).startswith(("broken", "has ", "is "))


def test_pixels_without_a_known_range() -> None:
    real = encode(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF")
    for data in (
        real,
        tiff(1, 1, 32, struct.pack(">f", 0.5), ">", sample_format=3),
        tiff(1, 1, 32, struct.pack("<I", 70000)),
        tiff(1, 1, 16, struct.pack("<h", -5), sample_format=2),
    ):
        assert "no known range" in reason(data)


def test_missing(tmp_path: Path) -> None:
    assert file_reason(tmp_path / "photo.png") == "cannot be read: No such file or directory"


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    assert file_reason(tmp_path / "photo.png") == "the file is empty"


def test_folder(tmp_path: Path) -> None:
    assert file_reason(tmp_path) == "expected an image file, got a folder"
    (tmp_path / "photo.png").touch()
    assert "Not a directory" in file_reason(tmp_path / "photo.png" / "photo.png")


def test_names_that_no_file_can_have() -> None:
    assert file_reason("a\0b.png").startswith("cannot be read")
    assert "too long" in file_reason("x" * 300 + ".png")


def test_links_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to("missing")
    (tmp_path / "circle").symlink_to("circle")
    assert "No such file" in file_reason(tmp_path / "broken")
    assert "symbolic links" in file_reason(tmp_path / "circle")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(SAMPLES["png"][0])
    path.chmod(0)

    def refuse(*args: object, **kwargs: object) -> None:  # what the system does, except to root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    assert file_reason(path) == "cannot be read: Permission denied"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_refused_at_once(tmp_path: Path, linked: bool) -> None:
    path = tmp_path / "photo.jpg"
    os.mkfifo(tmp_path / "pipe")
    path.symlink_to("pipe") if linked else (tmp_path / "pipe").rename(path)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(file_reason(path)), daemon=True)
    thread.start()
    thread.join(10)
    assert found == ["expected an image file, got a device, pipe or socket"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_a_device_is_refused() -> None:
    assert "device" in file_reason("/dev/zero")


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_files(name: str, recwarn: pytest.WarningsRecorder) -> None:
    data = SAMPLES[name][0]
    rng = np.random.default_rng(sum(name.encode()))
    refused = 0
    for _ in range(40):
        mutated = bytearray(data)
        for _ in range(rng.integers(1, 8)):
            place = int(rng.integers(0, min(len(mutated), 10 ** int(rng.integers(1, 5)))))
            if (kind := rng.integers(0, 4)) == 0:
                del mutated[place : place + int(rng.integers(1, 20))]
            elif kind == 1:
                mutated[place:place] = rng.bytes(int(rng.integers(1, 20)))
            else:
                mutated[place : place + 1] = rng.bytes(1)
        try:
            image = decode_image(bytes(mutated), "photo")
        except ImageError as error:
            refused += 1
            assert error.reason
            assert "\n" not in error.reason
            continue
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
        assert image.size
    assert refused
    assert not recwarn.list, [str(w) for w in recwarn.list]


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw", "jpeg"])
def test_a_broken_file_writes_nothing_to_the_terminal(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(encode(PICTURE, "TIFF", compression=compression))
    with Image.open(io.BytesIO(data)) as image:
        start = image.tag_v2[273][0]  # where the pixels are
    data[start : start + 30] = bytes(range(100, 130))
    with own_streams():  # as on the command line; a library redirects nothing
        assert reason(bytes(data)).startswith("broken")
    assert capfd.readouterr() == ("", "")
