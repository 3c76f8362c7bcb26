from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.errors import ModelError, UsageError
from embedder.training.checkpoint import FILE, Checkpoint, Checkpoints

RUN = {"seed": 0, "trunk": "small-cnn"}
TENSORS = {
    "kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "steps": np.array(7, np.int64),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoint = Checkpoint({"history": [{"loss": 0.1}], "best_epoch": 1}, TENSORS)
    Checkpoints(tmp_path, RUN).save(checkpoint)
    return tmp_path


def test_round_trip(folder: Path):
    assert Checkpoints(folder, RUN).exists()
    loaded = Checkpoints(folder, RUN).load()
    assert loaded.progress == {"history": [{"loss": 0.1}], "best_epoch": 1}
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].shape == tensor.shape
        assert loaded.tensors[name].dtype == tensor.dtype


def test_another_run_is_refused_with_what_changed(folder: Path):
    with pytest.raises(UsageError, match="seed was 0, is 1"):
        Checkpoints(folder, {**RUN, "seed": 1}).load()
    with pytest.raises(UsageError, match="keras was None, is '4'"):
        Checkpoints(folder, {**RUN, "keras": "4"}).load()


def test_truncated_file_is_refused(folder: Path):
    good = (folder / FILE).read_bytes()
    for length in range(len(good)):
        (folder / FILE).write_bytes(good[:length])
        with pytest.raises(ModelError, match="delete it and train again"):
            Checkpoints(folder, RUN).load()


def test_dropped_checkpoint_is_gone(folder: Path):
    Checkpoints(folder, RUN).drop()
    Checkpoints(folder, RUN).drop()
    with pytest.raises(UsageError, match="--resume"):
        Checkpoints(folder, RUN).load()


def test_changed_number_is_refused(folder: Path):
    data = bytearray((folder / FILE).read_bytes())
    data[-1] ^= 1
    (folder / FILE).write_bytes(data)
    with pytest.raises(ModelError, match="changed since it was written"):
        Checkpoints(folder, RUN).load()
