"""Runs that learn from degraded views, with the small trunk on generated people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from embedder.config import TrainConfig
from embedder.model_folder import load_manifest
from embedder.training import share, views
from embedder.training.run import train
from embedder.training.share import MOST_DRIFT, SHARES, Balance
from enroll.cli.train import describe_training
from tests.conftest import save_people
from tests.embedder.training.test_run import Hook, KilledError, equal, raiser
from tests.embedder.training.tiny import TINY

DEGRADED = replace(
    TINY,
    head="center",
    degrade="auto",
    unit_features=True,
    distillation=1.0,
    triplet_weight=1.0,
    center_rate=0.0,
    freeze=0.5,
    interpolate_weights=0.0,
    epochs=2,
    epoch_batches=3,
    photos_per_person=4,
    keep_trained=True,
)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[np.ndarray]]:
    """Trained weights by the name of the model folder, in place of saved models."""
    kept: dict[str, list[np.ndarray]] = {}

    def save(model: Path, trunk: keras.Model, *_: object) -> None:
        kept[model.name] = trunk.get_weights()

    monkeypatch.setattr("embedder.training.run.save_model", save)
    return kept


@pytest.mark.usefixtures("quick_saving")
def test_a_run_says_what_it_degrades_each_loss_and_what_is_gained_and_lost(
    small_people: Path, tmp_path: Path
):
    said = Hook()
    manifest = train(small_people, tmp_path / "m", DEGRADED, progress=said).manifest
    assert any("learning from views of" in line for line in said.said)
    epochs = [line for line in said.said if line.startswith("Epoch")]
    assert len(epochs) == 2
    for name in ("loss ", "softmax ", "center ", "triplet ", "distillation ", "accuracy ", "held out: TPIR"):
        assert all(name in line for line in epochs)
    for name in ("clean ", "degraded ", "crossed ", "varied ", "drift "):
        assert all(name in line for line in epochs)
    shares = [line for line in said.said if line.startswith("Share ")]
    drifts = [float(line.partition("drift ")[2].split()[0]) for line in shares]
    assert len(shares) == 1 + len(SHARES) or drifts[-1] > MOST_DRIFT >= max(drifts[:-1])
    assert sum(line.endswith("chosen") for line in shares) == 1
    training = manifest.training
    assert training["share"] in SHARES
    assert [entry["share"] for entry in training["views"]] == [0.0, training["share"]]
    assert set(training["history"][0]) >= {"softmax_loss", "center_loss", "distillation_loss", "accuracy"}
    words = "\n".join(describe_training(manifest))
    assert f"{100 * training['share']:.0f} % of the trained weights" in words
    assert "clean" in words


@pytest.mark.slow
def test_the_share_that_was_chosen_is_the_one_saved(
    small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncompiled: dict
):
    ends = {}
    for chosen in (0.2, 1.0):
        monkeypatch.setattr(
            "embedder.training.fit.choose_share",
            lambda _, trained, chosen=chosen: next(one for one in trained if one.share == chosen),
        )
        train(small_people, tmp_path / f"{chosen}", DEGRADED)
        ends[chosen] = uncompiled[f"{chosen}"]
    train(small_people, tmp_path / "fixed", replace(DEGRADED, interpolate_weights=1.0))
    assert equal(uncompiled["fixed"], ends[1.0])
    train(small_people, tmp_path / "fifth", replace(DEGRADED, interpolate_weights=0.2))
    assert equal(uncompiled["fifth"], ends[0.2])
    assert not equal(ends[0.2], ends[1.0])


@pytest.mark.slow
def test_a_second_training_takes_the_share_of_the_first(
    small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncompiled: dict
):
    monkeypatch.setattr("embedder.training.fit.choose_share", lambda _, trained: trained[2])
    monkeypatch.setattr(Balance, "helps", lambda *_: True)
    train(small_people, tmp_path / "again", replace(DEGRADED, refit=True))
    train(small_people, tmp_path / "all", replace(DEGRADED, hold_out=0.0, interpolate_weights=SHARES[2]))
    assert equal(uncompiled["again"], uncompiled["all"])


def test_resumed_run_ends_like_an_unbroken_one(small_people: Path, tmp_path: Path, uncompiled: dict):
    train(small_people, tmp_path / "whole", DEGRADED)
    with pytest.raises(KilledError):
        train(small_people, tmp_path / "broken", DEGRADED, progress=Hook(2, 1, raiser(KilledError)))
    train(small_people, tmp_path / "broken", DEGRADED, resume=True)
    assert equal(uncompiled["whole"], uncompiled["broken"])


@pytest.mark.slow
def test_frozen_layers_give_the_same_training_whether_they_run_once_or_in_every_batch(
    small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncompiled: dict
):
    train(small_people, tmp_path / "once", DEGRADED)
    monkeypatch.setattr(views, "fits_on_disk", lambda *_: False)
    train(small_people, tmp_path / "each", DEGRADED)
    for a, b in zip(uncompiled["once"], uncompiled["each"], strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3)  # outputs are kept in 16 bits


@pytest.mark.slow
def test_every_option_of_views_changes_the_weights(small_people: Path, tmp_path: Path, uncompiled: dict):
    base = replace(DEGRADED, interpolate_weights=1.0, hold_out=0.0, epochs=1, warmup_batches=2)
    train(small_people, tmp_path / "base", base)
    changes = {
        "degrade": "light",
        "unit_features": False,
        "triplet_weight": 0.0,
        "distillation": 0.0,
        "relative_step": 1e-4,
        "epoch_batches": 5,
        "photos_per_person": 2,
        "center_weight": 3.0,
        "head": "dense-center",
    }
    for name, value in changes.items():
        options = {"triplet_weight": None} if name == "head" else {}
        train(small_people, tmp_path / name, replace(base, **{name: value}, **options))
        assert not equal(uncompiled["base"], uncompiled[name]), name


@pytest.mark.usefixtures("quick_saving")
def test_trunk_is_left_as_it_was_where_more_is_lost_than_gained(
    small_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(share, "MOST_LOST", -2.0)  # every share loses too much
    monkeypatch.setattr(Balance, "helps", lambda *_: False)
    config = replace(DEGRADED, keep_trained=False, refit=True)
    manifest = train(small_people, tmp_path / "m", config).manifest
    assert (manifest.training["kept_epoch"], manifest.training["share"]) == (0, 0.0)
    assert manifest.head == "none"
    assert any("Training did not help" in line for line in describe_training(manifest))


@pytest.mark.usefixtures("quick_saving")
def test_one_photo_a_person_is_not_trained_on_and_gives_a_threshold(tmp_path: Path):
    said = Hook()
    folder = save_people(tmp_path / "one", 6, 1)
    manifest = train(folder, tmp_path / "m", TINY, progress=said).manifest
    assert any("Everyone has a single photo, from which nothing can be learned" in line for line in said.said)
    assert manifest.head == "none"
    assert (manifest.strangers.people, manifest.strangers.photos) == (6, 6)
    assert load_manifest(tmp_path / "m").training["history"] == []


def test_face_trunks_train_with_softmax_and_center_loss_by_default():
    for name in ("sface", "face-resnet", "small-cnn"):
        from embedder.trunks import find_trunk

        trunk = find_trunk(name)
        filled = TrainConfig(trunk=name).filled(trunk.schedule, trunk.input_size, trunk.crop, trunk.mirror)
        assert filled.head == "center"
        assert filled.center_weight > 0
        assert (filled.degrade == "auto") == (name != "small-cnn")
