from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from embedder._internal.runtime import Progress
from embedder.config import TrainConfig
from embedder.config.toml import read_config
from embedder.faces.crop import WholeImageCropper
from embedder.folders import scan_folder
from embedder.images import load_image, resize_to_square
from embedder.training import artifacts
from embedder.training.artifacts import preview_tiles, table, write_record
from embedder.training.data.photos import read_photos
from embedder.training.heldout import Score
from tests.conftest import pattern

HISTORY = [
    {"loss": 2.0, "softmax_loss": 1.5, "accuracy": 0.5},
    {"loss": 1.0, "softmax_loss": 0.5, "accuracy": 0.75},
]
SCORES = [Score(0.5, 0.6, 0.1, 9), Score(0.7, 0.8, 0.2, 9), Score(0.9, 1.0, 0.3, 9)]


@pytest.fixture(autouse=True)
def curves() -> None:
    """Draw the curves in these tests."""


def test_the_preview_shows_every_crop_and_reads_them_one_by_one(people: Path):
    (people / "p00" / "0.png").write_bytes(b"not a picture")
    photos = read_photos(scan_folder(people), WholeImageCropper(16), Progress())
    tiles = preview_tiles(photos, people)
    assert not isinstance(tiles, list)
    shown = {(tile.identity, tile.caption): tile.crop for tile in tiles}
    assert list(shown) == sorted(shown)
    assert shown["p00", "0.png"] is None
    np.testing.assert_array_equal(shown["p03", "2.png"], resize_to_square(pattern(3, 2), 16))
    assert len(shown) == 30


def test_rows_join_logs_and_scores_by_epoch():
    rows = table(HISTORY, SCORES)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0] == {"epoch": 0, "tpir": 0.5, "rank1": 0.6, "separation": 0.1}
    assert rows[2] == {"epoch": 2, **HISTORY[1], "tpir": 0.9, "rank1": 1.0, "separation": 0.3}
    assert table(HISTORY, []) == [{"epoch": 1, **HISTORY[0]}, {"epoch": 2, **HISTORY[1]}]
    assert table([], []) == []


def test_files_of_a_run(tmp_path: Path):
    config = TrainConfig(head="softmax", learning_rate=1e-5, trunk_weights='a "b"\\c é.h5')
    assert write_record(tmp_path, config, table(HISTORY, SCORES), 0.01)
    assert read_config(tmp_path / "train.toml", {}) == config
    with (tmp_path / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "tpir", "rank1", "separation", "loss", "softmax_loss", "accuracy"]
    assert (rows[0]["epoch"], rows[0]["loss"], rows[2]["loss"], rows[2]["tpir"]) == ("0", "", "1.0", "0.9")
    assert load_image(tmp_path / "training.png").shape[1] == 900
    # A run of no epochs has nothing to draw, and leaves no picture of another run.
    assert not write_record(tmp_path, config, [], 0.01)
    assert not (tmp_path / "training.png").exists()


def test_each_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []
    monkeypatch.setattr(artifacts, "write_atomic", lambda path, content: written.append(path.name))
    write_record(tmp_path, TrainConfig(), table(HISTORY, SCORES), 0.01)
    assert written == ["train.toml", "training.csv", "training.png"]


def test_without_matplotlib_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not write_record(tmp_path, TrainConfig(), table(HISTORY, SCORES), 0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.toml", "training.csv"]
