from __future__ import annotations

import dataclasses
import inspect
import math
import re

import pytest

from embedder import config
from embedder.config import FACES, FINE_TUNING, FROM_SCRATCH, DetectorConfig, ImageLimits, TrainConfig
from embedder.errors import UsageError
from enroll.config import EvaluationConfig, IdentifyConfig

RANGES = [
    (TrainConfig, "center_weight", 0.0, 1e6, 1e-9),
    (TrainConfig, "label_smoothing", 0.0, 1.0, 1e-9),
    (TrainConfig, "beta", 0.01, 100.0, 1e-9),
    (TrainConfig, "margin", 0.0, 10.0, 1e-9),
    (TrainConfig, "scale", 0.01, 1000.0, 1e-9),
    (TrainConfig, "sub_centers", 1, 100, 1),
    (TrainConfig, "memory", 0, 10**6, 1),
    (TrainConfig, "activity_penalty", 0.0, 1e6, 1e-9),
    (TrainConfig, "feature_noise", 0.0, 100.0, 1e-9),
    (TrainConfig, "distillation", 0.0, 1e6, 1e-9),
    (TrainConfig, "degrade_to", 0, 1024, 1),
    (TrainConfig, "interpolate_weights", 0.0, 1.0, 1e-9),
    (TrainConfig, "photometric", 0.0, 1.0, 1e-9),
    (TrainConfig, "freeze", 0.0, 1.0, 1e-9),
    (TrainConfig, "layer_decay", 0.0, 1.0, 1e-9),
    (TrainConfig, "ramp_epochs", 0, 10**6, 1),
    (TrainConfig, "patience", 1, 10**6, 1),
    (TrainConfig, "gradient_accumulation", 1, 10**6, 1),
    (TrainConfig, "photos_per_person", 2, 10**6, 1),
    (TrainConfig, "center_rate", 0.0, 1.0, 1e-9),
    (TrainConfig, "learning_rate", 1e-12, 10.0, 1e-13),
    (TrainConfig, "warmup_batches", 0, 10**9, 1),
    (TrainConfig, "epochs", 0, 10**6, 1),
    (TrainConfig, "batch_size", 2, 10**6, 1),
    (TrainConfig, "seed", 0, 2**32 - 1, 1),
    (TrainConfig, "input_size", 16, 1024, 1),
    (TrainConfig, "min_face", 10, 10_000, 1),
    (TrainConfig, "hold_out", 0.0, 0.9, 1e-9),
    (TrainConfig, "target_fpir", 1e-6, 0.5, 1e-9),
    (DetectorConfig, "min_face", 10, 10_000, 1),
    (DetectorConfig, "score", 0.01, 0.99, 1e-9),
    (DetectorConfig, "overlap", 0.0, 1.0, 1e-9),
    (IdentifyConfig, "candidates", 1, 1000, 1),
    (IdentifyConfig, "margin", 0.0, 2.0, 1e-9),
    (IdentifyConfig, "neighbours", 0, 1000, 1),
    (IdentifyConfig, "batch_size", 1, 10**6, 1),
    (EvaluationConfig, "splits", 1, 10_000, 1),
    (EvaluationConfig, "known", 0.01, 0.99, 1e-9),
    (EvaluationConfig, "enrolled", 1, 10_000, 1),
    (TrainConfig, "triplet_weight", 0.0, 1e6, 1e-9),
    (TrainConfig, "relative_step", 0.0, 1.0, 1e-9),
    (TrainConfig, "epoch_batches", 1, 10**6, 1),
    (EvaluationConfig, "seed", 0, 2**32 - 1, 1),
    (EvaluationConfig, "replicates", 20, 100_000, 1),
    (EvaluationConfig, "searches", 10, 10**9, 1),
]
OPTIONAL = [
    "refit",
    "mirror",
    "learning_rate",
    "epochs",
    "input_size",
    "crop",
    "mirror",
    "trunk_weights",
    "margin",
    "scale",
    "patience",
    "sampling",
    "center_weight",
    "distillation",
    "degrade_to",
    "freeze",
    "lr_schedule",
    "batch_size",
    "head",
    "interpolate_weights",
    "center_rate",
    "triplet_weight",
    "unit_features",
    "degrade",
    "relative_step",
    "photos_per_person",
    "epoch_batches",
]
OWN = {field.name for field in dataclasses.fields(config.TrunkDefaults)}
CLASSES = [
    thing for _, thing in inspect.getmembers(config, inspect.isclass) if dataclasses.is_dataclass(thing)
]


@pytest.mark.parametrize(("kind", "name", "low", "high", "step"), RANGES)
def test_the_ends_of_each_range(kind: type, name: str, low: float, high: float, step: float) -> None:
    for value in (low, high):
        assert getattr(kind(**{name: value}), name) == value
    for value in (low - step, high + max(step, high * 1e-9), math.nan, math.inf, -math.inf):
        with pytest.raises(UsageError) as caught:
            kind(**{name: value})
        assert str(caught.value).startswith(f"--{name.replace('_', '-')}: expected a number from ")
        assert str(caught.value).endswith(f", got {value}")


@pytest.mark.parametrize("kind", [TrainConfig, DetectorConfig, EvaluationConfig, IdentifyConfig])
def test_every_number_has_a_range(kind: type) -> None:
    numbers = {
        field.name
        for field in dataclasses.fields(kind)
        if re.fullmatch(r"(int|float)( \| None)?", str(field.type))
    }
    assert numbers == {name for owner, name, *_ in RANGES if owner is kind}


def test_the_ranges_of_options_are_those_that_hold() -> None:
    within = {field.name: field.metadata["within"] for field in dataclasses.fields(TrainConfig)}
    for owner, name, low, high, _ in RANGES:
        if owner is TrainConfig and name != "min_face":  # the detector's
            assert within[name] == (low, high)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(TrainConfig)])
def test_none_only_where_it_means_something(name: str) -> None:
    assert (getattr(TrainConfig(), name) is None) == (name in OPTIONAL)


@pytest.mark.parametrize("crop", ["", "WHOLE", "face ", "both"])
def test_crop(crop: str) -> None:
    assert TrainConfig(crop="whole").crop == "whole"
    with pytest.raises(UsageError, match=f"--crop: expected one of .*whole.*, got '{crop}'"):
        TrainConfig(crop=crop)


def test_options_of_training_say_how_faces_are_found() -> None:
    assert TrainConfig().finding == DetectorConfig()
    config = TrainConfig(min_face=30, any_rotation=True)
    assert config.finding == DetectorConfig(min_face=30, any_rotation=True)


@pytest.mark.parametrize("kind", CLASSES)
def test_no_configuration_can_be_changed(kind: type) -> None:
    thing = kind(1e-3, 1) if kind is config.TrunkDefaults else kind()
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field.name, 1)


def test_each_option_of_training_is_explained() -> None:
    for field in dataclasses.fields(TrainConfig):
        assert field.metadata["help"].endswith("."), field.name
        assert bool(field.metadata["unset"]) == (field.default is None), field.name


def test_the_defaults_that_the_design_promises() -> None:
    assert ImageLimits() == ImageLimits(max_bytes=100 * 1024 * 1024, max_pixels=50_000_000)
    assert TrainConfig().trunk == "sface"
    assert TrainConfig().filled(FROM_SCRATCH, 64, "whole", True).head == "center"
    asked = TrainConfig(head="softmax", interpolate_weights=0.5, crop="whole")
    left = {n: getattr(FACES, n) for n in OWN - {"head", "interpolate_weights"}} | {
        "input_size": 150,
        "mirror": False,
    }
    assert asked.filled(FACES, 150, "face", False).to_dict() == asked.to_dict() | left
    assert TrainConfig().crop is None  # the trunk's own
    assert TrainConfig().target_fpir == 0.01
    assert TrainConfig().mirror is None
    assert TrainConfig(mirror=True).filled(FACES, 112, "face", False).mirror
    assert not TrainConfig().keep_trained


def test_defaults_lie_in_the_ranges_that_hold_for_options() -> None:
    for schedule in (FACES, FINE_TUNING, FROM_SCRATCH):
        TrainConfig().filled(schedule, 64, "whole", True)
    assert FINE_TUNING.learning_rate < FROM_SCRATCH.learning_rate  # a pretrained trunk is moved carefully
    assert IdentifyConfig().candidates > 1
