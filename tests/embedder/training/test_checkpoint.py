from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.errors import ModelError, UsageError
from embedder.training.checkpoint import FILE, Checkpoint, drop_checkpoint, load_checkpoint, save_checkpoint

RUN = {"seed": 0, "trunk": "small-cnn"}
TENSORS = {
    "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "steps": np.array(7, np.int64),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "m", Checkpoint(RUN, {"history": [{"loss": 0.1}], "best_epoch": 1}, TENSORS))
    return tmp_path / "m"


def test_round_trip(folder: Path):
    loaded = load_checkpoint(folder, RUN)
    assert loaded.run == RUN
    assert loaded.progress == {"history": [{"loss": 0.1}], "best_epoch": 1}
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].shape == tensor.shape
        assert loaded.tensors[name].dtype == tensor.dtype


def test_another_run_is_refused_with_what_changed(folder: Path):
    with pytest.raises(UsageError, match="seed was 0, is 1"):
        load_checkpoint(folder, {**RUN, "seed": 1})
    with pytest.raises(UsageError, match="keras was None, is '4'"):
        load_checkpoint(folder, {**RUN, "keras": "4"})


def test_truncated_file_is_refused(folder: Path):
    good = (folder / FILE).read_bytes()
    for length in range(len(good)):
        (folder / FILE).write_bytes(good[:length])
        with pytest.raises(ModelError, match="delete it and train again"):
            load_checkpoint(folder, RUN)


def test_dropped_checkpoint_is_gone(folder: Path):
    drop_checkpoint(folder)
    drop_checkpoint(folder)
    with pytest.raises(UsageError, match="--resume"):
        load_checkpoint(folder, RUN)
