"""Heads whose output is their loss, against slow loops over single photos in double precision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from embedder.config import TrainConfig
from embedder.config.training import MINING
from embedder.heads import Head, build_head, build_stem
from embedder.layers import CrossBatchMemory, MetricLossLayer
from embedder.losses import (
    ContrastiveLoss,
    CosineTripletLoss,
    QuadrupletLoss,
    TripletLoss,
    contrastive_loss,
)
from embedder.losses.metric import NOBODY, mine
from tests.contracts.metric_oracle import MARGINS, gradient, oracle

DIM, BATCH, REMEMBERED = 3, 9, 4
LAYERS = {
    "triplet": TripletLoss,
    "triplet-cosine": CosineTripletLoss,
    "quadruplet": QuadrupletLoss,
    "contrastive": ContrastiveLoss,
}
CASES = [(name, mining) for name in LAYERS for mining in MINING]


def photos(seed: int = 0, count: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    """Features of any length, and labels among which people have from 1 to 4 photos."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, DIM)).astype("float32"), np.array([0, 1, 1, 2, 2, 2, 3, 1, 1], "int32")[
        :count
    ]


def make(name: str, mining: str, memory: int = 0) -> keras.layers.Layer:
    return MetricLossLayer(LAYERS[name](MARGINS[name], mining), memory, name=name)


def remembered_photos() -> tuple[np.ndarray, np.ndarray]:
    """Fewer than there is room for: a place stays empty."""
    features, _ = photos(99, REMEMBERED - 1)
    return features, np.array([1, 4, 0], "int32")


def layer_that_remembers(name: str, mining: str, memory: int) -> keras.layers.Layer:
    layer = make(name, mining, memory)
    layer.build((None, DIM))
    if memory:
        features, labels = remembered_photos()
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
        layer.memory.features.assign(np.concatenate([features, np.zeros((1, DIM))]))
        layer.memory.labels.assign([*labels, NOBODY])
    return layer


def jax_losses() -> list[float]:
    """All cases under JAX and its compiler, with what the layers keep handed in and out."""
    import jax

    cases = [(*case, layer_that_remembers(*case, REMEMBERED)) for case in CASES]

    def losses(weights, x, y):
        return [
            layer.stateless_call([], kept, x, y, training=True)[0].mean()
            for (*_, layer), kept in zip(cases, weights, strict=True)
        ]

    weights = [[variable.value for variable in layer.non_trainable_variables] for *_, layer in cases]
    return [float(loss) for loss in jax.jit(losses)(weights, *photos())]


def jax_fit(name: str) -> tuple[dict[str, float], list[int]]:
    """Log of an epoch of one batch under JAX, and who is remembered after it."""
    head = build(name, dense_trunk(), memory=REMEMBERED)
    head.model.compile("sgd", jit_compile=True, **head.compile)
    x, y = photos()
    log = head.model.fit({"image": x, "label": y}, head.targets(y), BATCH, verbose=0, shuffle=False).history
    (memory,) = (layer.memory.labels for layer in head.model.layers if hasattr(layer, "memory"))
    return {key: values[0] for key, values in log.items()}, np.asarray(memory).tolist()


# The layers against the oracle.


@pytest.mark.parametrize(("name", "mining"), CASES)
@pytest.mark.parametrize("memory", [0, REMEMBERED])
def test_loss_and_gradient_are_those_of_the_oracle(name: str, mining: str, memory: int):
    import tensorflow as tf

    earlier = remembered_photos() if memory else ((), ())
    for seed in range(2):
        x, y = photos(seed)
        layer = layer_that_remembers(name, mining, memory)
        features = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(features)
            rows = layer(features, y, training=True)
            loss = ops.mean(rows)
        np.testing.assert_array_equal(rows, np.full(BATCH, rows[0]))
        assert float(loss) == pytest.approx(oracle(name, mining, x, y, *earlier), rel=1e-5, abs=1e-6)
        expected = gradient(lambda z, y=y: oracle(name, mining, z, y, *earlier), x)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(tape.gradient(loss, features), expected, atol=3e-5)


@pytest.mark.slow
def test_jax_gives_the_same_losses_and_fits_the_heads():
    code = (
        "from embedder._internal.runtime import import_keras; import_keras(); import json; "
        "from tests.contracts.test_metric_heads import LAYERS, jax_fit, jax_losses; "
        "print(json.dumps([jax_losses(), [jax_fit(name) for name in LAYERS]]))"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    losses, fits = json.loads(done.stdout.splitlines()[-1])
    for (name, mining), loss in zip(CASES, losses, strict=True):
        expected = oracle(name, mining, *photos(), *remembered_photos())
        assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for log, remembered in fits:
        assert np.isfinite(log["loss"])
        assert list(log) == ["loss"]
        assert remembered == photos()[1][:REMEMBERED].tolist()


def test_semi_hard_negatives_are_the_nearest_farther_ones():
    negative = np.array([[0.1, 0.5, 0.7, 0.9], [0.1, 0.2, 0.3, 0.4]], "float32")
    positive = np.array([[0.4, 0.6], [0.5, 0.8]], "float32")
    is_negative = np.array([[True, True, True, False], [True, True, True, False]])
    mined = mine(positive, np.full((2, 2), True), negative, is_negative, "semi-hard")
    # All negatives of the second anchor are nearer than its positives: the farthest stands in.
    np.testing.assert_allclose(mined.negative, [[0.5, 0.7], [0.3, 0.3]])


@pytest.mark.parametrize(("name", "mining"), CASES)
@pytest.mark.parametrize(
    "labels", [[0] * 4, [0, 1, 2, 3], [0]], ids=["one person", "all different", "one photo"]
)
def test_a_batch_without_comparisons_teaches_nothing(name: str, mining: str, labels: list[int]):
    import tensorflow as tf

    x, _ = photos(count=len(labels))
    x[:] = x[0] * np.linspace(1, 2, len(x))[:, None] if labels[-1] == 0 else x  # nothing to draw together
    layer, features = make(name, mining, 3), tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = ops.mean(layer(features, np.array(labels, "int32"), training=True))
    if name != "contrastive" or labels[-1] == 0:  # which has pairs of two people
        assert float(loss) == pytest.approx(0, abs=2e-6)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, features)).all()


@pytest.mark.parametrize(("name", "mining"), CASES)
@pytest.mark.parametrize("feature", [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0)])
def test_photos_that_look_the_same_have_a_finite_gradient(name: str, mining: str, feature: tuple[float, ...]):
    import tensorflow as tf

    layer, features = make(name, mining), tf.constant([feature] * BATCH)
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = ops.mean(layer(features, photos()[1]))
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, features)).all()


def test_contrastive_factory_takes_the_margin():
    y, d = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.3, 2.0, 0.5, 1.5])
    np.testing.assert_allclose(contrastive_loss(1.2)(y, d), [0.09, 4.0, 0.49, 0.0])


def test_second_margin_is_half_the_first():
    assert QuadrupletLoss(0.6).second_margin == pytest.approx(0.3)
    assert QuadrupletLoss(0.6, second_margin=0.0).second_margin == 0


@pytest.mark.parametrize("mining", MINING)
def test_two_people_have_no_third(mining: str):
    x, y = photos(count=4)[0], np.array([0, 0, 1, 1], "int32")
    assert float(make("quadruplet", mining)(x, y)[0]) == float(make("triplet", mining)(x, y)[0]) > 0


def test_active_is_the_share_of_triplets_not_satisfied():
    x = np.array([[1, 0], [1, 0], [0, 1], [0.1, 1], [1, 0.1]], "float32")
    y = np.array([0, 0, 1, 1, 2], "int32")
    layer = MetricLossLayer(TripletLoss(0.2, "batch-hard"))
    layer(x, y)
    assert float(layer.logged_active.result()) == pytest.approx(2 / 4)  # the last has no positive


# The memory.


def test_memory_is_a_queue():
    memory, seen = CrossBatchMemory(5), []
    for step, count in enumerate([2, 2, 3, 7]):
        x, _ = photos(step, count)
        y = (10 * step + np.arange(count)).astype("int32")
        features, labels = memory(x, y, training=True)
        expected = [*y, *(seen + [(None, NOBODY)] * 5)[:5]]
        assert [int(v) for v in labels] == [*y, *(entry[1] for entry in expected[count:])]
        for row, (feature, _) in zip(np.asarray(features)[count:], expected[count:], strict=True):
            np.testing.assert_array_equal(row, np.zeros(DIM) if feature is None else feature)
        seen = [*zip(x, y.tolist(), strict=True), *seen]


def test_memory_is_left_alone_outside_training():
    memory = CrossBatchMemory(5)
    memory(*photos(), training=False)
    np.testing.assert_array_equal(memory.labels, [NOBODY] * 5)
    assert memory.trainable_variables == []


def test_earlier_photos_are_negatives_and_never_positives():
    x, y = photos()
    layer = layer_that_remembers("triplet", "batch-hard", REMEMBERED)
    layer.memory.labels.assign([2] * REMEMBERED)
    layer.memory.features.assign(np.tile(-x[3] / np.linalg.norm(x[3]), (REMEMBERED, 1)))
    with_memory = float(layer(x, y)[0])
    others = y != 2
    expected = oracle("triplet", "batch-hard", x, y, [-x[3]], [2])
    assert with_memory == pytest.approx(expected, rel=1e-5)
    assert others.any()


# The heads.


def build(name: str, trunk: keras.Model | None = None, **options: Any) -> Head:
    if trunk is None:
        image = keras.Input((DIM,), name="image")
        trunk = keras.Model(image, layers.Identity()(image))
    config = TrainConfig(head=name, **options)
    return build_head(config, build_stem(config, trunk), 4)


def dense_trunk(seed: int = 0, wide: int = DIM) -> keras.Model:
    image = keras.Input((wide,), name="image")
    initializer = keras.initializers.RandomNormal(seed=seed)
    return keras.Model(image, layers.Dense(DIM, kernel_initializer=initializer)(image))


def step(head: Head, x, y) -> dict[str, float]:
    return head.model.train_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)


@pytest.mark.parametrize("name", LAYERS)
def test_log_says_the_loss_its_part_and_what_is_active(name: str):
    x, y = photos()
    head = build(name, mining="batch-hard")
    head.model.compile(run_eagerly=True, **head.compile)
    logs = head.model.test_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)
    part = name.replace("-", "_") + "_loss"
    assert set(logs) == {"loss", part, "active"}
    expected = oracle(name, "batch-hard", x, y)
    assert [logs["loss"], logs[part]] == pytest.approx([expected] * 2, rel=1e-5)
    assert 0 < logs["active"] <= 1
    assert head.init_from_class_means is None


@pytest.mark.parametrize("name", LAYERS)
def test_margin_is_an_option(name: str):
    x, y = photos()
    losses = [
        float(build(name, margin=margin).model({"image": x, "label": y})[0])
        for margin in (None, MARGINS[name], 1.7)
    ]
    assert losses[0] == losses[1] < losses[2]


@pytest.mark.slow
@pytest.mark.parametrize(("mining", "memory"), [("semi-hard", REMEMBERED), ("all", 0)])
def test_compiled_training_is_the_same(mining: str, memory: int):
    x, y = photos()
    ended = []
    for jit in (False, True):
        head = build("quadruplet", dense_trunk(), mining=mining, memory=memory)
        head.model.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=jit, **head.compile)
        ended.append([step(head, x, y)["loss"] for _ in range(3)])
    assert ended[0] == pytest.approx(ended[1], rel=1e-4)
    assert len(set(ended[0])) == 3


@pytest.mark.parametrize("name", LAYERS)
def test_training_pulls_people_apart(name: str):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    people = rng.normal(size=(4, 6))
    y = np.repeat(np.arange(4), 4).astype("int32")
    # Two strong directions that say nothing about who it is drown the six that do.
    x = np.concatenate([0.5 * people[y] + rng.normal(0, 0.1, (16, 6)), rng.normal(0, 2, (16, 2))], axis=1)
    trunk = dense_trunk(wide=8)
    head = build(name, trunk)
    head.model.compile(optimizer=keras.optimizers.Adam(0.05), jit_compile=False, **head.compile)

    def nearest_is_own() -> float:
        vectors = trunk.predict(x, verbose=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        nearest = (vectors @ vectors.T - 9 * np.eye(16)).argmax(1)
        return float((y[nearest] == y).mean())

    before, losses = nearest_is_own(), [step(head, x, y)["loss"] for _ in range(80)]
    assert losses[-1] < 0.5 * losses[0]
    assert before < 0.8 < nearest_is_own()


@pytest.mark.parametrize(("name", "mining"), [(n, m) for n, m in zip(LAYERS, [*MINING, "all"], strict=True)])
def test_layers_survive_serialization(name: str, mining: str):
    x, y = photos()
    layer = make(name, mining, REMEMBERED)
    layer(x, y, training=True)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    copy(x, y)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x, y), layer(x, y))


@pytest.mark.parametrize("name", LAYERS)
def test_training_model_survives_a_file(name: str, tmp_path):
    options = {"query_projection": True} if name == "triplet-cosine" else {"memory": REMEMBERED}
    head = build(name, dense_trunk(), **options)
    head.model.compile(optimizer="sgd", run_eagerly=True, **head.compile)
    x, y = photos()
    step(head, x, y)
    head.model.save(tmp_path / "model.keras")
    head.model.reset_metrics()  # Keras 3.14 adds the step's to those of the next batch
    copy = keras.models.load_model(tmp_path / "model.keras")
    a, b = (
        model.test_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)
        for model in (head.model, copy)
    )
    assert a == pytest.approx(b)
    assert "active" in b


@pytest.mark.parametrize("name", LAYERS)
def test_loss_has_single_precision_under_mixed_precision(name: str):
    x, y = photos()
    exact = x.astype("float16")  # what half precision makes of the trunk's features
    keras.config.set_dtype_policy("mixed_float16")
    try:
        options = {} if name == "triplet-cosine" else {"memory": REMEMBERED}
        head = build(name, **options)
        rows = head.model({"image": x, "label": y}, training=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert rows.dtype == "float32"
    assert float(rows[0]) == pytest.approx(oracle(name, "semi-hard", exact, y), rel=1e-5)


# Queries and answers apart.


def test_query_and_answer_share_weights_with_the_training_model():
    x, y = photos()
    trunk = dense_trunk()
    head = build("triplet-cosine", trunk, query_projection=True)
    query, answer = head.parts["query"], head.parts["answer"]
    np.testing.assert_allclose(query(x), answer(x), atol=1e-6)  # the projection starts as the identity
    head.model.compile(optimizer=keras.optimizers.SGD(0.3), jit_compile=False, **head.compile)
    first = step(head, x, y)["loss"]
    assert first == pytest.approx(oracle("triplet-cosine", "semi-hard", dense_trunk()(x), y), rel=1e-4)
    assert not np.allclose(query(x), answer(x), atol=1e-3)
    np.testing.assert_array_equal(answer(x), trunk(x))
    expected = oracle("triplet-cosine", "semi-hard", np.asarray(answer(x)), y, anchors=np.asarray(query(x)))
    again = head.model.evaluate({"image": x, "label": y}, head.targets(y), return_dict=True, verbose=0)
    assert again["loss"] == pytest.approx(expected, rel=1e-4)


def test_without_a_projection_queries_are_answers():
    head = build("triplet-cosine", dense_trunk(), feature_noise=1.0)
    x, _ = photos()
    np.testing.assert_array_equal(
        head.parts["query"](x, training=True), head.parts["answer"](x, training=True)
    )
