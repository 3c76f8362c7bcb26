from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from embedder.errors import FolderError
from embedder.faces.crops import WholePicture
from embedder.folders import scan_folder
from embedder.progress import Progress
from embedder.training.photos import read_photos, split_identities
from tests.conftest import save_people


def read(folder: Path):
    return read_photos(scan_folder(folder), WholePicture(16), Progress())


def test_reads_all(people: Path):
    photos = read(people)
    assert photos.chips.shape == (30, 16, 16, 3)
    assert photos.chips.dtype == np.uint8
    assert photos.identities == tuple(f"p{i:02d}" for i in range(6))
    np.testing.assert_array_equal(photos.labels, np.repeat(np.arange(6), 5))
    assert photos.rejected == ()
    assert photos.crowded == {}


def test_unreadable_photo_is_listed_and_the_rest_goes_on(people: Path):
    (people / "p00" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (people / "p01" / "notes é.txt").write_text("hello")
    photos = read(people)
    assert len(photos.labels) == 29
    assert {entry.path.name for entry in photos.rejected} == {"0.png", "notes é.txt"}


def test_person_with_one_photo_is_listed(people: Path):
    for path in sorted((people / "p03").iterdir())[1:]:
        path.unlink()
    photos = read(people)
    assert "p03" not in photos.identities
    (entry,) = photos.rejected
    assert entry.path == people / "p03" / "0.png"
    assert "only usable photo of 'p03'" in entry.reason


def test_one_person_is_refused(tmp_path: Path):
    with pytest.raises(
        FolderError, match=r"at least 2 people with 2 usable photos each, found 1.*--epochs 0"
    ):
        read(save_people(tmp_path / "one", 1, 4))


def test_single_photos_everywhere_are_refused_with_numbers(tmp_path: Path):
    with pytest.raises(FolderError, match=r"found 0 \(people: 5, photos: 5, unusable: 5"):
        read(save_people(tmp_path / "singles", 5, 1))


def test_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(FolderError, match="no photos found; expected"):
        read(tmp_path)


def test_digest_follows_content_and_names(people: Path):
    first = read(people).digest
    assert read(people).digest == first
    (people / "p00").rename(people / "p00b")
    renamed = read(people).digest
    assert renamed != first
    shutil.copy(people / "p01" / "0.png", people / "p01" / "9.png")
    assert read(people).digest not in (first, renamed)


@pytest.mark.parametrize(
    ("count", "share", "held_out"), [(20, 0.2, 4), (4, 0.2, 2), (10, 0.5, 5), (10, 0.9, 8), (3, 0.0, 0)]
)
def test_people_are_on_one_side_only(count: int, share: float, held_out: int):
    labels = np.repeat(np.arange(count, dtype=np.int32), 3)
    split = split_identities(labels, share, 0, "folder")
    sides = set(labels[split.train]), set(labels[split.held_out])
    assert not sides[0] & sides[1]
    assert len(sides[1]) == held_out
    assert sorted([*split.train, *split.held_out]) == list(range(len(labels)))


def test_split_follows_the_seed():
    labels = np.repeat(np.arange(20, dtype=np.int32), 3)
    drawn = [tuple(split_identities(labels, 0.2, seed, "folder").held_out) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_to_hold_out_says_what_is_needed(count: int):
    labels = np.repeat(np.arange(count, dtype=np.int32), 3)
    with pytest.raises(FolderError, match=rf"at least 4 people.*found {count}.*--hold-out 0.*--epochs 0"):
        split_identities(labels, 0.2, 0, "folder")
