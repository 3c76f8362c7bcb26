from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.training.data import crop_store
from embedder.training.data.crop_store import CropFile, Crops

PICTURES = np.random.default_rng(0).integers(0, 256, (600, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(params=["pread", "seek"])
def any_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "seek":
        monkeypatch.delattr(os, "pread")


@pytest.mark.usefixtures("any_system")
def test_gives_back_what_was_written_in_any_order():
    stored = Crops.of(PICTURES)
    assert stored.shape == PICTURES.shape
    for rows in ([], [599], [-1, 0, 5, 5], range(300), np.random.default_rng(1).permutation(600)):
        taken = stored.take(rows)
        assert taken.dtype == np.uint8
        np.testing.assert_array_equal(taken, PICTURES[np.asarray(rows, int)])
    with pytest.raises(IndexError):
        stored.take([600])


@pytest.mark.usefixtures("any_system")
def test_more_can_follow_after_reading():
    file = CropFile(16, 3)
    for row in range(3):
        assert file.append(PICTURES[row]) == row
        np.testing.assert_array_equal(file.crops().take([0])[0], PICTURES[0])
    np.testing.assert_array_equal(file.crops([2, 1, 0]).take(range(3)), PICTURES[[2, 1, 0]])


@pytest.mark.usefixtures("any_system")
def test_threads_read_together():
    stored = Crops.of(PICTURES)
    orders = [np.random.default_rng(seed).permutation(600) for seed in range(20)]
    with ThreadPoolExecutor(8) as pool:
        for order, taken in zip(orders, pool.map(stored.take, orders), strict=True):
            np.testing.assert_array_equal(taken, PICTURES[order])


def test_a_selection_counts_from_zero():
    some = Crops.of(PICTURES).select([7, 3, 9]).select([2, 0])
    assert some.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(some.take([0, 1]), PICTURES[[9, 7]])


@pytest.mark.parametrize("count", [0, 1, crop_store.BLOCK, crop_store.BLOCK + 1, 600])
def test_goes_through_all_in_blocks(count: int):
    sizes = []

    def work(block: np.ndarray) -> np.ndarray:
        sizes.append(len(block))
        return block.astype(np.float32).mean(axis=(1, 2))

    means = Crops.of(PICTURES).select(range(count)).map(work)
    np.testing.assert_array_equal(means, PICTURES[:count].astype(np.float32).mean(axis=(1, 2)))
    assert max(sizes) <= crop_store.BLOCK


def test_the_file_goes_with_its_last_reader(tmp_path: Path, recwarn: pytest.WarningsRecorder):
    folder = tmp_path / "größere Platte"
    folder.mkdir()
    file = CropFile(16, 1, folder)
    file.append(PICTURES[0])
    descriptor = file._file.fileno()
    reader = file.crops()
    del file
    np.testing.assert_array_equal(reader.take([0])[0], PICTURES[0])
    del reader
    assert not list(folder.iterdir())
    assert not recwarn.list
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("picture", [PICTURES[0][:8], PICTURES[0].astype(np.float32)])
def test_a_picture_of_another_kind_is_refused(picture: np.ndarray):
    with pytest.raises(ValueError, match=r"expected a crop of \(16, 16, 3\) uint8, got"):
        CropFile(16, 1).append(picture)


def test_too_small_a_disk_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crop_store.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**9))
    CropFile(150, 50_000, tmp_path)
    message = r"100000 pictures of 150 x 150 pixels, 6\.75 GB, but: there are 5\.00 GB; .*TMPDIR"
    with pytest.raises(UsageError, match=message):
        CropFile(150, 100_000, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    monkeypatch.setattr(crop_store.tempfile, "TemporaryFile", lambda **_: full)
    file = CropFile(16, 3, tmp_path)
    with pytest.raises(
        UsageError, match=r"3 pictures of 16 x 16 pixels.* but: No space left on device; make"
    ):
        file.append(PICTURES[0])


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match=r"nowhere: no temporary file can be made.*set TMPDIR"):
        CropFile(16, 1, tmp_path / "nowhere")


def test_large_files_keep_out_of_memory_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(crop_store.tempfile, "tempdir", None)
    assert crop_store._scratch() == tmp_path
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(crop_store.tempfile, "tempdir", None)
    assert crop_store._scratch() in (Path("/var/tmp"), Path(crop_store.tempfile.gettempdir()))
    assert crop_store._scratch() == Path("/var/tmp") or not os.access("/var/tmp", os.W_OK)
