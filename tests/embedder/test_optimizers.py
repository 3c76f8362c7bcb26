from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from embedder.config import TrainConfig
from embedder.optimizers import (
    LayerwiseAdam,
    WarmupSchedule,
    build_optimizer,
    freeze_layers,
    layer_factors,
    weighted_layers,
)


def trunk() -> keras.Model:
    image = keras.Input((2,))
    inner = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, name="b"), keras.layers.Dense(2, name="c")]
    )
    x = keras.layers.ReLU()(keras.layers.Dense(2, name="a")(image))
    return keras.Model(image, keras.layers.Dense(2, name="d")(inner(x)))


def steps_of(config: TrainConfig, gradients: list[float]) -> list[float]:
    """How far each layer's kernel moved."""
    model = trunk()
    freeze_layers(model, config.freeze)
    before = [weight.copy() for weight in model.get_weights()]
    optimizer = build_optimizer(config, model, 10)
    optimizer.build(model.trainable_variables)
    for gradient in gradients:
        optimizer.apply([keras.ops.full(v.shape, gradient) for v in model.trainable_variables])
    moved = zip(before, model.get_weights(), strict=True)
    return [float(np.abs(a - b).max()) for a, b in list(moved)[::2]]


BASE = {"learning_rate": 1e-2, "epochs": 5, "warmup_batches": 0, "lr_schedule": "constant", "freeze": 0.0}


def test_layers_stand_in_order_also_those_of_networks_inside():
    assert [layer.name for layer in weighted_layers(trunk())] == ["a", "b", "c", "d"]


def test_layers_near_the_picture_learn_slower():
    assert steps_of(TrainConfig(**BASE), [1.0]) == pytest.approx([1e-2] * 4, rel=1e-3)
    moved = steps_of(TrainConfig(**BASE, layer_decay=0.001), [1.0])
    assert moved == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2], rel=1e-2)
    assert steps_of(TrainConfig(**BASE, layer_decay=0.0), [1.0])[0] == 0.0


def test_factors_of_one_layer():
    image = keras.Input((2,))
    assert list(layer_factors(keras.Model(image, keras.layers.Dense(1)(image)), 0.5).values()) == [0.5, 0.5]


def test_frozen_layers_stay():
    moved = steps_of(TrainConfig(**{**BASE, "freeze": 0.5}), [1.0])
    assert moved[:2] == [0.0, 0.0]
    assert min(moved[2:]) > 0


def test_gradients_are_gathered_before_a_step():
    config = TrainConfig(**BASE, gradient_accumulation=4)
    assert max(steps_of(config, [1.0, 1.0, 1.0])) == 0.0
    assert min(steps_of(config, [1.0, 1.0, 1.0, 1.0])) > 0
    # The mean of the four is 0 only if all of them count.
    assert max(steps_of(config, [3.0, -1.0, -1.0, -1.0])) == 0.0


def test_a_model_with_its_optimizer_survives_a_file(tmp_path: Path):
    model, x = trunk(), np.ones((4, 2), "float32")
    schedule = WarmupSchedule(1e-2, warmup_steps=2)
    model.compile(LayerwiseAdam(model, lowest=0.001, learning_rate=schedule), "mse", jit_compile=False)
    model.train_on_batch(x, x)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.optimizer.get_config()["factors"][0] == pytest.approx(0.001)
    for network in (model, again):
        network.train_on_batch(x, x)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_shares_out_of_range_are_refused():
    with pytest.raises(ValueError, match="lowest from 0 to 1, got 2"):
        LayerwiseAdam(trunk(), lowest=2)
    with pytest.raises(ValueError, match=r"a share from 0 to 1, got -0\.1"):
        freeze_layers(trunk(), -0.1)


def test_no_step_is_larger_than_its_share_of_a_tensor():
    model = trunk()
    for layer, size in zip(weighted_layers(model), (1.0, 1e-3, 0.0, 1.0), strict=True):
        layer.kernel.assign(keras.ops.full(layer.kernel.shape, size))
    before = [layer.kernel.numpy().copy() for layer in weighted_layers(model)]
    config = TrainConfig(**BASE, relative_step=0.1)
    optimizer = build_optimizer(config, model, 10)
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.full(v.shape, 1.0) for v in model.trainable_variables])
    moved = [
        float(np.abs(layer.kernel.numpy() - old).max())
        for layer, old in zip(weighted_layers(model), before, strict=True)
    ]
    # The learning rate is .01: a tenth of the second kernel is less; of zeros there is no share.
    assert moved == pytest.approx([1e-2, 1e-4, 1e-2, 1e-2], rel=1e-3)


def test_limits_of_steps_and_of_depth_multiply():
    model = trunk()
    for layer in weighted_layers(model):
        layer.kernel.assign(keras.ops.full(layer.kernel.shape, 1e-3))
    optimizer = LayerwiseAdam(model, 0.001, 0.1, learning_rate=1e-2)
    optimizer.build(model.trainable_variables)
    kernels = optimizer.get_config()["factors"][::2]
    assert kernels == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2], rel=1e-3)
