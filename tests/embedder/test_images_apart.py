"""AVIF and HEIC files whose header lies about their size: what they hold is bounded all the same."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedder.config import ImageLimits
from embedder.errors import ImageError
from embedder.images import apart, decode_image, open_frames, reading
from embedder.images.av1 import stated_size
from embedder.images.heif import tiles
from tests.embedder.tiled import tiled

SMALL = (64, 48)
EXIF = Image.Exif()
EXIF[0x010E] = "a description"


def avif(size: tuple[int, int], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 0)).save(file, "AVIF", speed=10, **options)
    return file.getvalue()


def moving(size: tuple[int, int]) -> bytes:
    return avif(size, save_all=True, append_images=[Image.new("RGB", size, (0, 0, 200))])


def lying(data: bytes) -> bytes:
    """Give a file that says it is of `SMALL` wherever a header says a size."""
    for kind, shift in ((b"ispe", 8), (b"tkhd", None)):
        place = 0
        while (place := data.find(kind, place)) >= 0:
            at = place + shift if shift else place - 4 + int.from_bytes(data[place - 4 : place]) - 8
            width, height = SMALL if shift else (side << 16 for side in SMALL)
            data = data[:at] + struct.pack(">II", width, height) + data[at + 8 :]
            place += 4
    return data


@pytest.mark.parametrize("size", [(64, 48), (101, 33), (1, 1), (640, 480)])
@pytest.mark.parametrize("options", [{}, {"subsampling": "4:4:4"}, {"exif": EXIF}])
def test_the_size_of_a_photo_is_found_in_its_pixels(size: tuple[int, int], options: dict[str, Any]) -> None:
    assert stated_size(avif(size, **options)) == size
    assert stated_size(lying(avif(size, **options))) == size


def test_an_animation_states_no_size_and_a_cut_file_is_refused() -> None:
    data = avif(SMALL)
    assert stated_size(moving(SMALL)) is None
    assert stated_size(data + data[:300]) is None  # which of two a decoder takes is not known
    with pytest.raises(apart.BrokenError, match="cut short"):
        stated_size(data[:-5])


def test_a_photo_that_lies_is_refused_as_what_it_is() -> None:
    data = lying(avif((1200, 1000)))
    with pytest.raises(ImageError, match=r"has 1\.2 megapixels, at most 1 are read"):
        decode_image(data, "photo.avif", ImageLimits(max_pixels=1_000_000))


def test_a_photo_in_whole_blocks_of_its_encoder_is_read() -> None:
    """Cameras code 3,024 lines as 3,040; what the header says counts."""
    data = avif((64, 50))
    assert decode_image(lying(data), "photo.avif").shape == (48, 64, 3)


def test_an_animation_is_decoded_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[object] = []
    decode = apart.decode_apart
    monkeypatch.setattr(reading, "decode_apart", lambda *given: begun.append(given) or decode(*given))
    frames = list(open_frames(moving(SMALL)))
    assert len(begun) == 1
    assert [(one.frame, one.frames, one.pixels.shape) for one in frames] == [
        (1, 2, (48, 64, 3)),
        (2, 2, (48, 64, 3)),
    ]
    np.testing.assert_allclose([one.pixels[0, 0] for one in frames], [(200, 100, 0), (0, 0, 200)], atol=8)
    begun.clear()
    decode_image(avif(SMALL), "photo.avif")
    assert not begun  # a photo whose size is known for sure


@pytest.mark.parametrize("limit", ["time", "memory"])
def test_what_takes_too_much_is_ended(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, task = lying(moving((1600, 1600))), {"kind": "AVIF", "width": 64, "height": 48, "pixels": 10**6}
    if limit == "time":
        monkeypatch.setattr(apart, "SECONDS", 0.01)
    with pytest.raises(apart.BrokenError):
        list(apart.decode_apart(data, {**task, "memory": 2**22 if limit == "memory" else 2**29}))


def test_a_broken_animation_says_so(tmp_path: Path) -> None:
    data = moving(SMALL)
    at = data.rindex(b"mdat") + 8
    broken = data[:at] + bytes(len(data) - at)
    with pytest.raises(ImageError, match="broken or truncated AVIF file: "):
        decode_image(broken, "photo.avif")


def heic(size: tuple[int, int], mode: str = "RGB") -> bytes:
    pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 0)).convert(mode).save(file, "HEIF")
    return file.getvalue()


def tiled_heic(tile: int, columns: int, rows: int, size: tuple[int, int]) -> bytes:
    return tiled(heic((tile, tile)), b"hvc1", (tile, tile), (columns, rows), size)


def test_a_heic_of_tiles_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "decode_apart", lambda *_: pytest.fail("in another process"))
    data = tiled_heic(64, 3, 2, (160, 100))
    assert tiles(data) == [64 * 64] * 6
    pixels = decode_image(data, "photo.heic")
    assert pixels.shape == (100, 160, 3)
    np.testing.assert_allclose(pixels[::99, ::159], np.full((2, 2, 3), (200, 100, 0)), atol=8)
    assert tiles(heic((64, 64))) == [64 * 64]
    assert tiles(heic((64, 64), "RGBA")) == [64 * 64] * 2  # with its opacity


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ((16, 255, 256, (4080, 4096)), "has 65,280 tiles, at most 1,000 are read"),
        ((512, 30, 30, (512, 512)), r"has 900 tiles of 236 megapixels in all, far more than its 0\.3"),
    ],
)
def test_tiles_beyond_the_picture_are_not_decoded(
    data: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tile may be named 65,000 times: 4 seconds to decode for each kilobyte."""
    monkeypatch.setattr(reading, "_frames", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=reason):
        decode_image(tiled_heic(*data), "photo.heic")


def test_a_heic_that_is_not_understood_is_decoded_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tiled_heic(64, 2, 2, (128, 128)).replace(b"grid", b"what")
    assert tiles(data) is None
    asked: list[object] = []
    monkeypatch.setattr(reading, "decode_apart", lambda *given: asked.append(given) or iter(()))
    assert not list(open_frames(data))
    assert len(asked) == 1


def test_an_avif_of_tiles_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tile = avif((64, 64))
    data = tiled(tile, b"av01", (64, 64), (3, 2), (160, 100), shared=False)
    assert stated_size(data) == (64, 64)
    assert decode_image(data, "photo.avif").shape == (100, 160, 3)
    many = tiled(tile, b"av01", (64, 64), (101, 100), (6464, 6400), shared=False)
    monkeypatch.setattr(reading, "_frames", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="has 10,101 pictures, at most 10,000 are read"):
        decode_image(many, "photo.avif", ImageLimits(max_pixels=10**9))


def test_a_heic_that_lies_is_not_decoded() -> None:
    """libheif compares what is coded with what the header says."""
    data = heic((1200, 1000))
    assert decode_image(data, "photo.heic").shape == (1000, 1200, 3)
    with pytest.raises(ImageError, match=r"broken or truncated HEIC file: .*1200x1000 exceeds"):
        decode_image(lying(data), "photo.heic")
