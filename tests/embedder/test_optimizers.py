from __future__ import annotations

import keras
import numpy as np
import pytest

from embedder.config import TrainConfig
from embedder.optimizers import build_optimizer, freeze_layers, layer_factors, weighted_layers


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


BASE = {"learning_rate": 1e-2, "epochs": 5, "warmup": 0, "schedule": "constant", "freeze": 0.0}


def test_layers_stand_in_order_also_those_of_networks_inside():
    assert [layer.name for layer in weighted_layers(trunk())] == ["a", "b", "c", "d"]


def test_layers_near_the_picture_learn_slower():
    assert steps_of(TrainConfig(**BASE), [1.0]) == pytest.approx([1e-2] * 4, rel=1e-3)
    moved = steps_of(TrainConfig(**BASE, depth_rate=0.001), [1.0])
    assert moved == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2], rel=1e-2)
    assert steps_of(TrainConfig(**BASE, depth_rate=0.0), [1.0])[0] == 0.0


def test_factors_of_one_layer():
    image = keras.Input((2,))
    assert list(layer_factors(keras.Model(image, keras.layers.Dense(1)(image)), 0.5).values()) == [0.5, 0.5]


def test_frozen_layers_stay():
    moved = steps_of(TrainConfig(**{**BASE, "freeze": 0.5}), [1.0])
    assert moved[:2] == [0.0, 0.0]
    assert min(moved[2:]) > 0


def test_gradients_are_gathered_before_a_step():
    config = TrainConfig(**BASE, accumulate=4)
    assert max(steps_of(config, [1.0, 1.0, 1.0])) == 0.0
    assert min(steps_of(config, [1.0, 1.0, 1.0, 1.0])) > 0
    # The mean of the four is 0 only if all of them count.
    assert max(steps_of(config, [3.0, -1.0, -1.0, -1.0])) == 0.0
