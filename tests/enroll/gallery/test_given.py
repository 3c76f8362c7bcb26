"""Photos that lie in no file are enrolled as those that do."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from enroll.gallery.gallery import Gallery
from tests.conftest import ToyExtractor, pattern
from tests.embedder.pictures import encode

PICTURE = pattern(1, 2)


@pytest.fixture
def gallery(tmp_path: Path, toy: ToyExtractor) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery.db", toy) as opened:
        yield opened


@pytest.mark.parametrize(
    "photo",
    [
        encode(PICTURE, "PNG"),
        bytearray(encode(PICTURE, "PNG")),
        io.BytesIO(encode(PICTURE, "PNG")),
        Image.fromarray(PICTURE),
        PICTURE,
        PICTURE / 255,
        np.concatenate([PICTURE, np.full((*PICTURE.shape[:2], 1), 255, np.uint8)], axis=2),
    ],
    ids=["bytes", "bytearray", "open file", "Pillow", "array", "float", "RGBA"],
)
def test_a_picture_in_memory_is_enrolled(photo: object, gallery: Gallery, toy: ToyExtractor) -> None:
    done = gallery.enroll("ada", [photo])
    assert (done.added, done.rejected) == (1, ())
    (found,) = gallery.nearest_people(toy.embed([PICTURE]), 1)[0]
    assert (found.identity, found.distance) == ("ada", pytest.approx(0, abs=1e-3))
    (stored,) = gallery._store.stored("ada")
    assert stored.photo == ""  # nothing lies under the name that stands for it


def test_the_same_picture_twice_is_one_photo(gallery: Gallery) -> None:
    assert gallery.enroll("ada", [PICTURE, Image.fromarray(PICTURE)]).already == 1
    other = gallery.enroll("ada", [PICTURE, pattern(1, 3)])
    assert (other.added, other.already, other.replaced) == (1, 1, ())


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (np.zeros((4, 4, 3), np.int64), "got int64"),
        (np.full((4, 4), 255.0), "got float64 from 255 to 255"),
        (np.full((4, 4), np.nan), "got float64 from nan to nan"),
        (np.zeros((4, 4, 2), np.uint8), "got shape (4, 4, 2)"),
        (np.zeros(4, np.uint8), "got shape (4,)"),
        (np.zeros((0, 4), np.uint8), "got shape (0, 4, 1)"),
        (b"", "the file is empty"),
        (17, "expected a path, bytes, an open file, a picture or an array, got int"),
        ("https://example.org/ada.jpg", "an address is not fetched; download it and give the file"),
    ],
)
def test_what_is_no_photo_is_refused_with_the_reason(photo: object, said: str, gallery: Gallery) -> None:
    done = gallery.enroll("ada", [photo, PICTURE])
    assert done.added == 1
    (rejected,) = done.rejected
    assert said in rejected.reason
