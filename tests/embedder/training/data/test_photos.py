from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder import load_image
from embedder._internal import runtime
from embedder._internal.runtime import Advance, Progress
from embedder.errors import FolderError
from embedder.faces.crop import Crop, Cropping, WholeImageCropper
from embedder.folders import scan_folder
from embedder.images import resize_to_square
from embedder.training.data import photos as photos_module
from embedder.training.data.crop_store import CropCache, crop_recipe
from embedder.training.data.photos import read_photos, split_identities
from tests.conftest import pattern, save_people


class Listener(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def read(folder: Path, cache: CropCache | None = None):
    return read_photos(scan_folder(folder), WholeImageCropper(16), Progress(), cache)


def whole_cache(folder: Path) -> CropCache:
    return CropCache(crop_recipe(Cropping("whole", 16)), folder)


def test_reads_all(people: Path):
    photos = read(people)
    assert photos.crops.shape == (30, 16, 16, 3)
    pictures = [resize_to_square(pattern(i, j), 16) for i in range(6) for j in range(5)]
    np.testing.assert_array_equal(photos.crops.take(range(30)), pictures)
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


def test_crops_stay_with_their_photos_when_others_are_rejected(people: Path):
    for path in sorted((people / "p01").iterdir())[1:]:
        path.unlink()
    (people / "p00" / "2.png").write_bytes(b"not a picture")
    photos = read(people)
    for row, (path, label) in enumerate(zip(photos.paths, photos.labels, strict=True)):
        assert photos.identities[label] == path.parent.name
        np.testing.assert_array_equal(photos.crops.take([row])[0], resize_to_square(load_image(path), 16))


def test_few_photos_are_in_memory_at_once(people: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtime, "_AHEAD", 1)
    lock, begun, most = threading.Lock(), 0, 0
    decode = photos_module.decode_frames

    def counted(*arguments):
        nonlocal begun
        with lock:
            begun += 1
        return decode(*arguments)

    monkeypatch.setattr(photos_module, "decode_frames", counted)
    for taken, _ in enumerate(photos_module.read_crops(scan_folder(people).samples, WholeImageCropper(16))):
        most = max(most, begun - taken)
    assert begun == 30
    assert most <= runtime.workers() + 1


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Photos that were decoded, in no order."""
    paths: list[Path] = []
    decode = photos_module.decode_frames

    def noted(data: bytes, path: Path) -> np.ndarray:
        paths.append(path)
        return decode(data, path)

    monkeypatch.setattr(photos_module, "decode_frames", noted)
    return paths


def test_the_second_reading_decodes_nothing_that_it_knows(people: Path, tmp_path: Path, decoded: list[Path]):
    (people / "p00" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    first = read(people, whole_cache(tmp_path / "cache"))
    assert len(decoded) == 30
    decoded.clear()
    (people / "p01").rename(people / "p01 é")  # a name is no content
    again = read(people, whole_cache(tmp_path / "cache"))
    assert [path.name for path in decoded] == ["0.png"]  # what is broken is looked at each time
    np.testing.assert_array_equal(first.crops.take(range(29)), again.crops.take(range(29)))
    assert [entry.reason for entry in first.rejected] == [entry.reason for entry in again.rejected]
    decoded.clear()
    Image.fromarray(pattern(9, 9)).save(people / "p02" / "3.png")  # another photo under the same name
    changed = read(people, whole_cache(tmp_path / "cache"))
    assert people / "p02" / "3.png" in decoded
    assert len(decoded) == 2
    assert changed.digest != again.digest


def test_without_a_cache_everything_is_decoded(people: Path, decoded: list[Path]):
    read(people)
    read(people)
    assert len(decoded) == 60


def test_no_face_and_many_faces_are_known_the_second_time(people: Path, tmp_path: Path):
    class Faces:
        """Finds no face in the photos `0.png`, two in `1.png` and one in the others."""

        def __init__(self) -> None:
            self.asked = 0

        def crops(self, image: np.ndarray) -> list[Crop]:
            self.asked += 1
            name = next(j for j in range(5) for i in range(6) if np.array_equal(image, pattern(i, j)))
            return [Crop(image[:16, :16], (0, 0, 9, 9))] * (name if name < 2 else 1) + [
                Crop(image[8:, 8:], (0, 0, 5, 5))
            ] * (name == 1)

    results = []
    for asked in (30, 0):
        faces, cache = Faces(), CropCache(crop_recipe(Cropping("face", 16)), tmp_path / "cache")
        photos = read_photos(scan_folder(people), faces, Progress(), cache)
        assert faces.asked == asked
        results.append((photos.rejected, photos.crowded, photos.crops.take(range(24)).tobytes()))
    assert results[0] == results[1]
    assert {entry.path.name for entry in results[0][0]} == {"0.png"}
    assert all("no face found" in entry.reason for entry in results[0][0])
    assert results[0][1] == {people / f"p{i:02d}" / "1.png": 2 for i in range(6)}


def test_a_cache_that_cannot_be_written_is_told_of_once(people: Path, tmp_path: Path):
    (tmp_path / "cache").touch()
    listener = Listener()
    photos = read_photos(
        scan_folder(people), WholeImageCropper(16), listener, whole_cache(tmp_path / "cache")
    )
    assert len(photos.labels) == 30
    (line,) = listener.said
    assert "nothing is kept for the next run" in line


def test_the_cache_is_pruned_also_after_an_interruption(people: Path, tmp_path: Path):
    class Stopped(Progress):
        @contextlib.contextmanager
        def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
            def stop() -> None:
                raise KeyboardInterrupt

            yield stop

    read(people, whole_cache(tmp_path / "cache"))
    cache = CropCache(crop_recipe(Cropping("whole", 17)), tmp_path / "cache", limit=4096 * 7)
    with pytest.raises(KeyboardInterrupt):
        read_photos(scan_folder(people), WholeImageCropper(17), Stopped(), cache)
    kept = [path for path in (tmp_path / "cache").rglob("*") if len(path.name) == 62]
    assert len(kept) == 7


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
    ("count", "share", "held_out"),
    [(20, 0.2, 4), (22, 0.2, 4), (23, 0.2, 5), (4, 0.2, 2), (10, 0.5, 5), (10, 0.9, 8), (3, 0.0, 0)],
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
