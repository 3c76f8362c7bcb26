"""Whole runs on generated people, with the small trunk."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy

from embedder import Extractor, load_image
from embedder._internal.runtime import Advance, Progress
from embedder.callbacks import tensorboard_log
from embedder.config import TrainConfig
from embedder.config.toml import read_config
from embedder.errors import DivergedError, FolderError, MissingPackageError, UsageError
from embedder.model_folder import load_manifest, read_part
from embedder.training import checkpoint, fit, heldout, run
from embedder.training.heldout import Score
from embedder.training.run import train
from embedder.trunks import find_trunk
from tests.conftest import save_people
from tests.embedder.training.tiny import TINY

TRAINED = replace(TINY, keep_trained=True)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load(read_part(folder, load_manifest(folder), "weights"))


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


class Hook(Progress):
    """Calls `act` at a given batch of a given epoch; keeps what is said."""

    def __init__(self, epoch: int = -1, batch: int = -1, act: Callable[[], None] = lambda: None) -> None:
        self.said: list[str] = []
        self._epoch, self._batch, self._act = epoch, batch, act

    def say(self, line: str) -> None:
        self.said.append(line)

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        steps = 0

        def advance(count: int = 1, detail: str = "") -> None:
            nonlocal steps
            steps += count
            if label.startswith(f"Epoch {self._epoch}/") and steps == self._batch:
                self._act()

        yield advance


class KilledError(Exception):
    """Stands for a kill: nothing after it runs."""


def raiser(error: type[BaseException]) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[np.ndarray]]:
    """Trained weights by the name of the model folder, in place of saved models: compiling takes a second."""
    kept: dict[str, list[np.ndarray]] = {}

    def save(model: Path, trunk: keras.Model, *_: object) -> None:
        kept[model.name] = trunk.get_weights()

    monkeypatch.setattr(run, "save_model", save)
    return kept


def slow(value: object) -> object:
    """A variant that `make test-slow` runs."""
    return pytest.param(value, marks=pytest.mark.slow)


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("head", ["center", slow("dense-center"), slow("softmax")])
def test_same_folder_and_seed_give_the_same_weights(
    head: str, small_people: Path, tmp_path: Path, uncompiled
):
    config = replace(TRAINED, head=head, epochs=2)
    for name in ("a", "b"):
        train(small_people, tmp_path / name, config)
    train(small_people, tmp_path / "c", replace(config, seed=1))
    assert equal(uncompiled["a"], uncompiled["b"])
    assert not equal(uncompiled["a"], uncompiled["c"])


@pytest.mark.parametrize("head", [slow("dense-center"), "center"])
@pytest.mark.parametrize("batch", [slow(1), 3])
def test_resumed_run_ends_like_an_unbroken_one(
    head: str, batch: int, small_people: Path, tmp_path: Path, uncompiled
):
    config = replace(TRAINED, head=head, epochs=4)
    train(small_people, tmp_path / "whole", config)
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "broken", config, progress=Hook(3, batch, raiser(KilledError)))
    assert "broken" not in uncompiled
    assert not train(small_people, tmp_path / "broken", config, resume=True).interrupted
    assert equal(uncompiled["whole"], uncompiled["broken"])
    assert not (tmp_path / "broken" / checkpoint.FILE).exists()


@pytest.mark.slow
def test_resume_after_sigkill(small_people: Path, tmp_path: Path):
    code = (
        "import sys; from tests.embedder.training.tiny import TINY; from dataclasses import replace;"
        "from embedder.training.run import train;"
        "train(sys.argv[1], sys.argv[2], replace(TINY, keep_trained=True, epochs=12))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, small_people, tmp_path / "broken"])
    while not (tmp_path / "broken" / checkpoint.FILE).exists():
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    config = replace(TRAINED, epochs=12)
    train(small_people, tmp_path / "broken", config, resume=True)
    train(small_people, tmp_path / "whole", config)
    assert same(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.slow
@pytest.mark.parametrize("hold_out", [0.2, 0.0])
def test_ctrl_c_keeps_the_last_good_epoch_and_can_go_on(hold_out: float, small_people: Path, tmp_path: Path):
    config = replace(TRAINED, epochs=4, hold_out=hold_out)
    train(small_people, tmp_path / "two", replace(config, epochs=2))
    stop = Hook(3, 2, lambda: signal.raise_signal(signal.SIGINT))
    result = train(small_people, tmp_path / "stopped", config, progress=stop)
    assert result.interrupted
    assert len(result.manifest.training["history"]) == 2
    assert same(tmp_path / "two", tmp_path / "stopped")
    Extractor.load(tmp_path / "stopped")
    result = train(small_people, tmp_path / "stopped", config, resume=True)
    train(small_people, tmp_path / "whole", config)
    assert not result.interrupted
    assert same(tmp_path / "whole", tmp_path / "stopped")


def test_ctrl_c_in_the_first_epoch_leaves_the_model_that_was_there(
    small_people: Path, model: Path, tmp_path: Path
):
    shutil.copytree(model, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    with pytest.raises(KeyboardInterrupt):
        train(
            small_people,
            tmp_path / "model",
            replace(TRAINED, seed=5),
            progress=Hook(1, 1, raiser(KeyboardInterrupt)),
        )
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_resume_of_nothing_is_refused(small_people: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="found no checkpoint"):
        train(small_people, tmp_path / "none", TINY, resume=True)
    with pytest.raises(UsageError, match="--epochs 0"):
        train(small_people, tmp_path / "none", replace(TINY, epochs=0), resume=True)


def test_folder_that_cannot_be_made_is_refused(small_people: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--model: the folder .* cannot be made: Not a directory"):
        train(small_people, tmp_path / "file" / "m", TINY)


def test_resume_of_another_run_is_refused(small_people: Path, tmp_path: Path):
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "m", TRAINED, progress=Hook(2, 1, raiser(KilledError)))
    with pytest.raises(UsageError, match="batch_size was 8, is 4"):
        train(small_people, tmp_path / "m", replace(TRAINED, batch_size=4), resume=True)
    said = Hook(1, 1, raiser(KilledError))
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "m", TRAINED, progress=said)
    assert any("holds an unfinished run, which is now replaced" in line for line in said.said)
    other = save_people(tmp_path / "other", 8, 3)
    with pytest.raises(UsageError, match="people with other photos: 'p00'"):
        train(other, tmp_path / "m", TRAINED, resume=True)


@pytest.mark.usefixtures("quick_saving")
def test_frozen_weights_are_kept_when_training_does_not_help(
    small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    falling = iter([0.9, 0.8, 0.7, 0.6] * 2)
    monkeypatch.setattr(heldout, "score", lambda *_: Score(next(falling), 1.0, 1.0, 8))
    kept = train(small_people, tmp_path / "kept", TINY).manifest
    trained = train(small_people, tmp_path / "trained", TRAINED).manifest
    train(small_people, tmp_path / "frozen", replace(TINY, epochs=0))
    assert kept.training["best_epoch"] == trained.training["best_epoch"] == 1
    assert kept.training["kept_epoch"] == 0
    assert kept.head == "none"
    assert same(tmp_path / "kept", tmp_path / "frozen")
    assert trained.training["kept_epoch"] == 1
    assert trained.head == "center"
    # An untrained trunk has met no one, so all photos say something of strangers' distances.
    assert kept.strangers is not None
    assert (kept.strangers.people, kept.strangers.photos) == (8, 32)
    assert trained.strangers is not None
    assert (trained.strangers.people, trained.strangers.photos) == (2, 8)


@pytest.mark.usefixtures("quick_saving")
def test_best_epoch_is_the_one_saved(small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, numbers in (("three", [0.0, 0.2, 1.0, 0.2]), ("two", [0.0, 0.2, 1.0])):
        scores = iter(numbers)
        monkeypatch.setattr(heldout, "score", lambda *_, scores=scores: Score(next(scores), 1.0, 1.0, 8))
        manifest = train(small_people, tmp_path / name, replace(TINY, epochs=len(numbers) - 1)).manifest
        assert manifest.training["kept_epoch"] == 2
    assert same(tmp_path / "three", tmp_path / "two")


@pytest.mark.usefixtures("quick_saving")
def test_without_held_out_people_there_is_no_threshold(small_people: Path, tmp_path: Path):
    manifest = train(small_people, tmp_path / "m", replace(TINY, hold_out=0.0, epochs=1)).manifest
    assert manifest.strangers is None
    assert manifest.training["scores"] == []
    assert manifest.training["best_epoch"] == 1


@pytest.mark.parametrize("hold_out", [0.2, 0.0])
@pytest.mark.parametrize("batch_size", [8, 64])  # with 64 an epoch is one batch, whose loss is still fine
def test_divergence_stops_with_advice(hold_out: float, batch_size: int, small_people: Path, tmp_path: Path):
    config = replace(
        TRAINED, learning_rate=10.0, warmup_batches=0, epochs=30, center_weight=1e6, center_rate=0.0
    )
    config = replace(config, hold_out=hold_out, batch_size=batch_size)
    with pytest.raises(DivergedError, match=r"training diverged.*--learning-rate ten times smaller"):
        train(small_people, tmp_path / "m", config)


@pytest.mark.parametrize("hold_out", [0.2, 0.0])
def test_weights_ruined_by_the_last_batch_are_never_kept(
    hold_out: float, small_people, tmp_path, monkeypatch
):
    class Ruin(fit.ShowProgress):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.model.set_weights([np.full_like(weight, np.nan) for weight in self.model.get_weights()])

    monkeypatch.setattr(fit, "ShowProgress", Ruin)
    with pytest.raises(DivergedError, match="weights are not finite after epoch 1"):
        train(small_people, tmp_path / "m", replace(TRAINED, hold_out=hold_out))
    assert not (tmp_path / "m" / checkpoint.FILE).exists()


@pytest.mark.parametrize("hold_out", [0.2, 0.0])
def test_ctrl_c_while_the_first_checkpoint_is_written_is_only_a_stop(
    hold_out: float, small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoint, "write_atomic", lambda *_, **__: raiser(KeyboardInterrupt)())
    with pytest.raises(KeyboardInterrupt):
        train(small_people, tmp_path / "m", replace(TRAINED, hold_out=hold_out))


@pytest.mark.parametrize("place", ["embedder.training.checkpoint", "embedder.model_folder"])
def test_full_disk_is_named(place: str, small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"{place}.write_atomic", full)
    with pytest.raises(UsageError, match=r"cannot be written: .*No space left"):
        train(small_people, tmp_path / "m", replace(TRAINED, epochs=1))


@pytest.mark.slow
def test_face_trunk_from_folder_to_vectors(orl: Path, tmp_path: Path):
    """The default trunk, adapted for an epoch; LiteRT is checked against Keras to 1e-4 on the way."""
    people = tmp_path / "people"
    for path in sorted(orl.glob("s0[1-8]/0[1-4].pgm")):
        (people / path.parent.name).mkdir(parents=True, exist_ok=True)
        (people / path.parent.name / path.name).write_bytes(path.read_bytes())
    frozen = train(people, tmp_path / "frozen", TrainConfig(epochs=0)).manifest
    trained = train(people, tmp_path / "trained", TrainConfig(epochs=1, keep_trained=True)).manifest
    assert (frozen.head, frozen.dim, frozen.input_size) == ("none", 128, 112)
    assert (trained.head, trained.training["kept_epoch"]) == ("center", 1)
    assert trained.fingerprint != frozen.fingerprint
    assert trained.training["views"][0]["rank1"]["clean"] == 1.0
    # It starts as the nearest class mean, so the first epoch knows nearly everyone.
    assert trained.training["history"][0]["accuracy"] > 0.8
    photos = [load_image(path) for path in sorted(people.glob("s01/*"))]
    vectors = [Extractor.load(tmp_path / name).embed(photos) for name in ("frozen", "trained")]
    assert 0 < np.abs(vectors[0] - vectors[1]).max() < 0.5


@pytest.mark.slow
def test_imagenet_trunk_from_folder_to_vectors(small_people: Path, tmp_path: Path):
    network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))
    network.save_weights(tmp_path / "own.weights.h5")
    config = replace(TRAINED, trunk="imagenet:mobilenet_v2", trunk_weights=str(tmp_path / "own.weights.h5"))
    manifest = train(small_people, tmp_path / "m", replace(config, epochs=1)).manifest
    assert manifest.dim == 1280
    assert manifest.training["kept_epoch"] == 1


@pytest.mark.slow
def test_training_helps_on_small_photos():
    """At 24 x 24 pixels, one seed, 10 divisions of the people: .80 where the frozen trunk has .69."""
    script = Path(__file__).parents[3] / "scripts" / "bench_main_job.py"
    options = ["--seeds", "1", "--photos", "24 px", "--trunks", "face-resnet", "--heads", "frozen", "center"]
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True, check=True)
    rows = {row["head"]: row["runs"][0] for row in json.loads(done.stdout.splitlines()[-1])["rows"]}
    frozen, trained = (rows[head]["splits"]["TPIR at FPIR 1 %"] for head in ("frozen", "center"))
    assert trained - frozen >= 0.05
    assert rows["center"]["fixed"]["TPIR at FPIR 1 %"] > rows["frozen"]["fixed"]["TPIR at FPIR 1 %"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trunk": "vgg"}, "--trunk"),
        ({"head": "nothing"}, "--head"),
        ({"head": "softmax", "margin": 0.2}, "--margin"),
        ({"batch_size": 1}, "--batch-size"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"crop": "half"}, "--crop"),
        ({"trunk_weights": "x.h5"}, "--trunk-weights"),
    ],
)
def test_impossible_options_are_refused(change: dict, message: str, small_people: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=message):
        train(small_people, tmp_path / "m", replace(TINY, **change))
    assert not (tmp_path / "m").exists()


def test_too_few_people_are_refused_before_tensorflow_is_loaded(tmp_path: Path):
    code = (
        "import sys; from embedder.training.run import train; from embedder.errors import FolderError\n"
        "try: train(sys.argv[1], sys.argv[2])\n"
        "except FolderError: print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    people = save_people(tmp_path / "two", 2, 2)
    done = subprocess.run(
        [sys.executable, "-c", code, people, tmp_path / "m"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    with pytest.raises(FolderError):
        train(people, tmp_path / "m", TrainConfig())


CHANGES = {
    "head": "softmax",
    "center_weight": 5.0,
    "center_rate": 0.0,
    "learning_rate": 1e-2,
    "warmup_batches": 0,
    "epochs": 2,
    "batch_size": 4,
    "seed": 3,
    "hold_out": 0.2,
    "loss": "softened",
    "lr_schedule": "cosine",
    "ramp_epochs": 1,
    "freeze": 0.5,
    "layer_decay": 0.1,
    "gradient_accumulation": 2,
    "sampling": "balanced",
    "activity_penalty": 0.1,
    "feature_noise": 0.5,
    "precision": "mixed",
    "interpolate_weights": 0.5,
    "distillation": 0.5,
}
FAST = ("head", "epochs", "freeze", "interpolate_weights", "distillation")  # each takes a second


@pytest.mark.parametrize("names", [FAST, slow(tuple(set(CHANGES) - set(FAST)))], ids=["some", "others"])
def test_every_option_changes_the_weights(
    names: tuple[str, ...], small_people: Path, tmp_path: Path, uncompiled
):
    """An option that is accepted and does nothing is a lie."""
    base = replace(TRAINED, epochs=1, warmup_batches=2, hold_out=0.0)
    train(small_people, tmp_path / "base", base)
    for name in names:
        train(small_people, tmp_path / name, replace(base, **{name: CHANGES[name]}))
        assert not equal(uncompiled["base"], uncompiled[name]), name


@pytest.mark.slow
def test_options_of_distillation_and_of_metric_heads_change_the_weights(
    small_people: Path, tmp_path: Path, uncompiled
):
    bases = {
        "distillation": ({"distillation": 0.5}, {"degrade_to": 8, "photometric": 1.0}),
        "triplet": (
            {"head": "triplet"},
            {"margin": 0.5, "mining": "all", "memory": 16, "photos_per_person": 2},
        ),
    }
    for head, (options, changes) in bases.items():
        base = replace(TRAINED, epochs=1, warmup_batches=2, hold_out=0.0, **options)
        train(small_people, tmp_path / head, base)
        for name, value in changes.items():
            train(small_people, tmp_path / name, replace(base, **{name: value}))
            assert not equal(uncompiled[head], uncompiled[name]), name


def test_tensorboard_gets_a_log(small_people: Path, tmp_path: Path, uncompiled):
    config = replace(TRAINED, epochs=1, hold_out=0.0)
    train(small_people, tmp_path / "m", config, tensorboard=tmp_path / "lög")
    assert any("tfevents" in path.name for path in (tmp_path / "lög").rglob("*"))


def test_without_tensorboard_the_option_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"embedder-enroll\[tensorboard\]"):
        tensorboard_log(tmp_path)


def test_a_run_can_be_made_again_from_its_own_file(
    small_people: Path, tmp_path: Path, uncompiled: dict[str, list[np.ndarray]]
):
    options = {
        "trunk": "small-cnn",
        "ramp_epochs": 2,
        "lr_schedule": "cosine",
        "layer_decay": 0.5,
        "gradient_accumulation": 2,
        "batch_size": 4,
    }
    train(small_people, tmp_path / "a", replace(TRAINED, **options))
    config = read_config(tmp_path / "a" / "train.toml", {})
    assert config.crop == "whole"  # the trunk's own, as it was
    train(small_people, tmp_path / "b", config)
    assert equal(uncompiled["a"], uncompiled["b"])
    assert (tmp_path / "a" / "training.csv").read_text() == (tmp_path / "b" / "training.csv").read_text()


@pytest.mark.parametrize("trunk", ["face-resnet", "sface", "small-cnn", "imagenet:resnet50"])
@pytest.mark.parametrize("head", [None, "softmax"])
def test_what_a_run_stores_is_accepted_again(trunk: str, head: str | None):
    resolved, _ = run._resolve(TrainConfig(trunk=trunk, head=head))
    assert run._resolve(resolved)[0] == resolved


@pytest.mark.parametrize("trunk", ["face-resnet", "sface", "small-cnn"])
def test_whether_mirror_pictures_count_is_the_trunks_own(trunk: str):
    own = find_trunk(trunk).mirror
    assert run._resolve(TrainConfig(trunk=trunk))[0].mirror == own
    assert run._resolve(TrainConfig(trunk=trunk, mirror=not own))[0].mirror != own


def test_stops_when_epochs_bring_nothing(small_people: Path, tmp_path: Path, uncompiled: object):
    scores = iter([Score(0.5, 0.5, 0.1, 9), Score(0.9, 0.9, 0.9, 9), *[Score(0.5, 0.5, 0.1, 9)] * 9])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heldout, "score", lambda *_: next(scores))
        train(small_people, tmp_path / "m", replace(TRAINED, epochs=9, patience=2))
    epochs = [line.split(",")[0] for line in (tmp_path / "m" / "training.csv").read_text().splitlines()]
    assert epochs == ["epoch", "0", "1", "2", "3"]


@pytest.mark.slow
def test_every_other_option_changes_the_manifest(small_people: Path, tmp_path: Path):
    base = replace(TRAINED, epochs=1)
    strict = train(small_people, tmp_path / "base", base).manifest
    other = train(small_people, tmp_path / "other", replace(base, mirror=False, input_size=48)).manifest
    loose = train(small_people, tmp_path / "loose", replace(base, target_fpir=0.5)).manifest
    assert (strict.mirror, strict.input_size) == (True, 32)
    assert (other.mirror, other.input_size) == (False, 48)
    assert [one.training["config"]["target_fpir"] for one in (strict, loose)] == [0.01, 0.5]
    assert loose.weights == strict.weights  # which share of strangers is allowed changes no weight


def test_nothing_but_our_own_words_is_printed(small_people: Path, tmp_path: Path):
    code = (
        "import sys; from embedder.training.run import train; from embedder.config import TrainConfig\n"
        "from embedder._internal.runtime import own_streams\n"
        "with own_streams():\n"
        "    train(sys.argv[1], sys.argv[2], TrainConfig(trunk='small-cnn', input_size=32, epochs=1))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code, small_people, tmp_path / "m"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout == ""
    assert done.stderr == ""
