from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

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


def test_people_who_changed_are_named(tmp_path: Path) -> None:
    before = {"photos": "0" * 64, "people": {"ada": "1", "bob": "2", "eve": "3"}, "epochs": 3}
    Checkpoints(tmp_path, before).save(Checkpoint({}, {}))
    now = before | {"photos": "1" * 64, "people": {"ada": "1", "renamed": "2", "eve": "4"}}
    with pytest.raises(UsageError) as refused:
        Checkpoints(tmp_path, now).load()
    said = str(refused.value)
    assert (
        "people who are new: 'renamed'; people who are gone: 'bob'; people with other photos: 'eve'" in said
    )
    assert "0" * 16 not in said
    with pytest.raises(UsageError, match="epochs was 3, is 4"):
        Checkpoints(tmp_path, before | {"epochs": 4}).load()
    many = before | {"photos": "1" * 64, "people": {f"p{n:03}": "1" for n in range(300)}}
    with pytest.raises(UsageError, match="'p009' and 290 more"):
        Checkpoints(tmp_path, many).load()


def test_a_checkpoint_of_before_that_knows_no_people(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"photos": "0"}).save(Checkpoint({}, {}))
    with pytest.raises(UsageError, match="differs: the photos are others"):
        Checkpoints(tmp_path, {"photos": "1", "people": {"ada": "1"}}).load()
    assert Checkpoints(tmp_path, {"photos": "0", "people": {"ada": "1"}}).load().progress == {}


@pytest.mark.parametrize("text", ["[", "[" * 100_000, "null", "3", '"a"', "9" * 400])
@pytest.mark.parametrize("part", ["run", "progress"])
def test_json_that_is_not_ours_is_refused(tmp_path: Path, part: str, text: str) -> None:
    facts = {"run": "{}", "progress": "{}", "digest": hashlib.sha256().hexdigest(), part: text}
    (tmp_path / FILE).write_bytes(save({}, metadata=facts))
    with pytest.raises(ModelError, match="broken"):
        Checkpoints(tmp_path, {}).load()
