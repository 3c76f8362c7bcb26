from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from enroll.gallery.gallery import Gallery
from enroll.gallery.set_aside import NearPhotos, SetAside, set_aside
from enroll.near_people import Kind, NearPeople
from tests.conftest import ToyExtractor, save_people

PHOTOS = tuple(NearPhotos(f"a/{number}.png", f"b/{number}.png", 0.25 + number / 8) for number in range(5))


@pytest.mark.parametrize(
    ("kind", "photos", "words"),
    [
        (
            "copy",
            1,
            "a/0.png (ada) and b/0.png (bob) are the same picture (distance 0.250); `embed gal",
        ),
        ("copy", 1, "and if it shows both, from both"),
        (
            "photo",
            1,
            "a/0.png, filed under ada, is like bob (b/0.png, distance 0.250); if it does not",
        ),
        ("photo", 3, "`embed gallery remove-photo` it; so are a/1.png, a/2.png"),
        ("photo", 5, "so are a/1.png, a/2.png and 2 more photos"),
        (
            "people",
            3,
            "ada and bob are as near as one person (a/0.png and b/0.png, distance 0.250, and 2",
        ),
        (
            "people",
            3,
            "if they are one, `embed gallery rename` one of them; if they are two, either",
        ),
    ],
)
def test_in_words(kind: Kind, photos: int, words: str) -> None:
    assert words in SetAside("ada", "bob", kind, PHOTOS[:photos]).describe()


def test_facts() -> None:
    assert SetAside("ada", "bob", "photo", PHOTOS[:1]).to_dict() == {
        "people": ["ada", "bob"],
        "kind": "photo",
        "photos": [{"photo": "a/0.png", "like": "b/0.png", "distance": 0.25}],
    }


def test_rows_become_names_and_photos() -> None:
    near = NearPeople(2, 0, "photo", ((5, 1, 0.1), (6, 2, 0.2)))
    (found,) = set_aside([near], ["ada", "bob", "cyd"], lambda rows: [f"{row}.png" for row in rows])
    expected = (NearPhotos("5.png", "1.png", 0.1), NearPhotos("6.png", "2.png", 0.2))
    assert found == SetAside("cyd", "ada", "photo", expected)


def test_gallery_names_the_photo_that_is_filed_wrongly(tmp_path: Path, toy: ToyExtractor) -> None:
    photos = save_people(tmp_path / "people", 9, 4, side=16)
    with Gallery.open(tmp_path / "g.db", toy) as gallery:
        for person in range(6):
            folder = photos / f"p{person:02d}"
            gallery.enroll(folder.name, [folder / f"{photo}.png" for photo in range(3)])
        clean, none = gallery.calibrate_aside(0.01)
        assert none == () and clean.calibration.set_aside == 0
        gallery.enroll("p01", [photos / "p04" / "3.png"])
        done, (found,) = gallery.calibrate_aside(0.01)
        assert (found.first, found.second, found.kind) == ("p01", "p04", "photo")
        assert [Path(one.photo).parts[-2:] for one in found.photos] == [("p04", "3.png")]
        assert done.calibration.set_aside == 1
        assert done.calibration.distance == pytest.approx(clean.calibration.distance, abs=0.03)
        assert gallery.calibration() == (done, None)
        _, labels = np.unique(gallery._store.templates().identities.astype(str), return_counts=True)
        assert labels.sum() == 19  # nothing was erased


def test_nothing_to_calibrate(tmp_path: Path, toy: ToyExtractor) -> None:
    from embedder.errors import UsageError

    with (
        Gallery.open(tmp_path / "g.db", toy) as gallery,
        pytest.raises(UsageError, match="no one is enrolled"),
    ):
        gallery.calibrate(0.01)
