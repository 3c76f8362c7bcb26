"""What every head promises; what is checked of each case on every back end stands in `cases`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import HEADS, Head, build_stem, nearest_mean_classifier
from embedder.layers import (
    ActivityPenalty,
    ArcFace,
    CenterDistance,
    CenterLoss,
    CosFace,
    DenseWithCenterLoss,
    SplitHalves,
    TrackedVariables,
)
from embedder.layers.center import update_centers
from embedder.losses import OneHotLoss, SmoothedCrossentropy, SoftFBeta
from embedder.losses.classification import LossMean
from tests.contracts import cases, oracles
from tests.contracts.cases import (
    BATCH,
    CASES,
    CLASSES,
    DIM,
    Case,
    batch,
    build,
    draw_weights,
    first_of,
    name_of,
    step,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("fresh_keras")

CENTER_HEADS = ["dense-center", "center"]
METRIC_HEADS = {"triplet", "triplet-cosine", "quadruplet", "contrastive"}  # in test_metric_heads

EACH_HEAD = first_of("head")
MOVED = [c for c in CASES if c.options["head"] in CENTER_HEADS or c.options.get("loss") == "softened"]


def quick(some: list[Case], every: list[Case] = CASES) -> list[object]:
    """Every case, those that are not among `some` when there is time."""
    return [case if case in some else pytest.param(case, marks=pytest.mark.slow) for case in every]


def test_every_head_has_a_case():
    assert {case.options["head"] for case in CASES} == set(HEADS) - METRIC_HEADS


@pytest.mark.parametrize("case", quick(first_of("head", "loss", "center_rate", "margin")), ids=str)
def test_loss_and_gradients_are_those_of_the_oracle(case: Case):
    cases.check_oracle(case)


@pytest.mark.parametrize("case", quick(EACH_HEAD, first_of("head", "loss")), ids=str)
def test_training_lowers_the_loss(case: Case):
    cases.check_training(case)


@pytest.mark.parametrize("case", quick(first_of("head", "loss"), MOVED), ids=str)
def test_numbers_of_the_loss_move_without_compiling_again(case: Case):
    cases.check_moved(case)


@pytest.mark.parametrize("case", quick(EACH_HEAD[1:4], EACH_HEAD), ids=str)
def test_compiled_by_xla_it_computes_the_same(case: Case):
    head = build(case.config, jit=True)
    x, y = case.batch(0)
    weights = draw_weights(head)
    cases.check_log(step(head, x, y), cases.expected(case, x, y, weights, case.config))


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
@pytest.mark.slow
def test_on_jax_it_computes_the_same():
    root = Path(__file__).parents[2]
    code = [sys.executable, "-m", "tests.contracts.on_jax"]
    done = subprocess.run(code, cwd=root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(map(str, EACH_HEAD)) <= set(done.stdout.splitlines())


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("case", EACH_HEAD, ids=str)
def test_mixed_precision_stays_near(case: Case, half_precision: None):
    head = build(case.config)
    x, y = case.batch(0)
    before = draw_weights(head)
    log = step(head, x, y)
    cases.check_log(log, cases.expected(case, x, y, before, case.config), rel=5e-3)
    assert {keras.backend.standardize_dtype(v.dtype) for v in head.model.weights} == {"float32"}
    after = weights_of(head)
    for v in head.model.trainable_weights:
        step_taken = before[name_of(v)] - after[name_of(v)]
        assert np.isfinite(step_taken).all()
        assert step_taken.any()


@pytest.mark.parametrize("head", CENTER_HEADS)
def test_centers_keep_single_precision_under_mixed_precision(head: str, half_precision: None):
    x, y = batch()
    y[:] = [0, 0, 0, 0, 0, 1, 1, 0]  # class 2 is absent
    built = build(TrainConfig(head=head, center_rate=0.5))
    before = draw_weights(built)["centers"]
    step(built, x, y)
    after = weights_of(built)["centers"]
    np.testing.assert_array_equal(after[2], before[2])
    np.testing.assert_allclose(after, oracles.moved_centers(x, y, before, 0.5), atol=2e-3)


@pytest.mark.parametrize("case", quick(EACH_HEAD[:4], first_of("head", "loss", "activity_penalty")), ids=str)
def test_training_model_survives_a_file(case: Case, tmp_path: Path):
    head = build(case.config)
    draw_weights(head)
    x, y = case.batch(0)
    head.model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    a, b = (
        model.test_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)
        for model in (head.model, copy)
    )
    assert a == pytest.approx(b)


@pytest.mark.parametrize(
    "layer",
    [
        DenseWithCenterLoss(4, 0.3, 0.25, name="head"),
        CenterDistance(4, 0.25, name="head"),
        CenterLoss(4, 0.3, 0.25, name="head"),
        ArcFace(4, 8.0, 0.3, 2, name="head"),
        CosFace(4, 8.0, 0.3, name="head"),
        ActivityPenalty(0.2, name="penalty"),
        TrackedVariables({"label_smoothing": 0.2}, name="numbers"),
        SplitHalves(name="halves"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_survive_serialization(layer: layers.Layer):
    x, y = batch()
    inputs = (x, y) if layer.name == "head" else (np.pad(x, ((0, 0), (0, 1))),)
    layer(*inputs)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(*inputs), layer(*inputs))
    out = copy(*inputs)
    shapes = tuple(map(tuple, (part.shape for part in out))) if isinstance(out, tuple) else tuple(out.shape)
    assert copy.compute_output_shape(*[array.shape for array in inputs]) == shapes


@pytest.mark.parametrize(
    "loss",
    [
        SmoothedCrossentropy(0.25),
        SoftFBeta(2.0),
        OneHotLoss(keras.losses.Poisson(reduction=None)),
        LossMean(SmoothedCrossentropy(0.25), name="softened_loss"),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_losses_survive_serialization(loss: keras.losses.Loss):
    x, y = batch()
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
    assert float(copy(y, x[:, :CLASSES])) == float(loss(y, x[:, :CLASSES]))


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_both_forms_take_the_same_steps(rate: float):
    ended = []
    for name in CENTER_HEADS:
        config = TrainConfig(head=name, center_weight=0.7, center_rate=rate)
        head = build(config, keras.optimizers.SGD(0.1))
        before = draw_weights(head)
        for number in range(5):
            x, y = batch(number)
            head.model.reset_metrics()
            log = step(head, x, y)
        ended.append((log["loss"], weights_of(head)))
    assert ended[0][0] == pytest.approx(ended[1][0], rel=1e-5)
    for part in ("kernel", "bias", "centers", "offset"):
        np.testing.assert_allclose(ended[0][1][part], ended[1][1][part], atol=1e-5)
        assert not np.allclose(ended[0][1][part], before[part])


def test_alpha_moves_centers_as_the_paper_says():
    x, y = batch()
    y[:] = [0, 0, 0, 0, 0, 1, 1, 0]  # class 2 is absent and must not move
    centers = np.random.default_rng(1).normal(size=(CLASSES, DIM)).astype("float32")
    expected = oracles.moved_centers(x, y, centers, 0.5)
    np.testing.assert_allclose(update_centers(keras.ops.array(centers), x, y, 0.5), expected, atol=1e-6)
    np.testing.assert_array_equal(expected[2], centers[2])


@pytest.mark.parametrize("name", CENTER_HEADS)
def test_centers_stay_where_they_are_in_evaluation(name: str):
    head = build(TrainConfig(head=name, center_rate=0.5))
    before = draw_weights(head)["centers"]
    x, y = batch()
    head.model.test_on_batch({"image": x, "label": y}, head.targets(y))
    np.testing.assert_array_equal(weights_of(head)["centers"], before)


def means_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x[y == k].mean(0) for k in range(CLASSES)])


@pytest.mark.parametrize("name", ["softmax", *CENTER_HEADS])
def test_starts_as_the_nearest_mean_classifier(name: str):
    x, y = batch()
    means = means_of(x, y)
    head = build(TrainConfig(head=name))
    head.init_from_class_means(means)
    nearest = ((x[:, None] - means[None]) ** 2).sum(2).argmin(1)
    np.testing.assert_array_equal(head.parts["predict"].predict_on_batch(x).argmax(1), nearest)
    if "centers" in (weights := weights_of(head)):
        np.testing.assert_allclose(weights["centers"], means, rtol=1e-6)


@pytest.mark.parametrize("name", ["arcface", "cosface", "subcenter-arcface"])
def test_margin_heads_start_from_the_directions_of_the_means(name: str):
    x, y = batch()
    means = means_of(x, y)
    head = build(TrainConfig(head=name, scale=8.0))
    head.init_from_class_means(means)
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    columns = weights_of(head)["kernel"].T.reshape(CLASSES, -1, DIM)
    cosine = (columns * unit[:, None]).sum(2) / np.linalg.norm(columns, axis=2)
    assert (cosine > 0.995).all()
    for k in range(CLASSES):  # sub-centers differ, or all photos would be nearest to the first
        assert len(np.unique(columns[k].round(4), axis=0)) == columns.shape[1]


@pytest.mark.parametrize("case", EACH_HEAD, ids=str)
def test_predict_gives_probabilities_and_shares_the_weights(case: Case):
    head = build(case.config)
    weights = draw_weights(head)
    x, y = case.batch(0)
    p = head.parts["predict"].predict_on_batch(x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    if "bias" in weights:
        logits = oracles.dense(x, weights)
    else:
        logits = oracles.cosines(x, y, weights, case.config.scale, lambda cosine: cosine, CLASSES)
    np.testing.assert_allclose(p, [oracles.softmax(row) for row in logits], atol=1e-5)
    step(head, x, y)
    assert abs(head.parts["predict"].predict_on_batch(x) - p).max() > 1e-3


def test_nearest_mean_classifier_is_the_gaussian_one():
    means, x = np.random.default_rng(0).normal(size=(2, CLASSES, DIM))
    kernel, bias = nearest_mean_classifier(means, sharpness=3.0)
    density = -3.0 / 2 * ((x[:, None] - means[None]) ** 2).sum(2)
    logits = x @ kernel + bias
    np.testing.assert_allclose(np.diff(logits), np.diff(density))


def test_layer_form_is_a_dense_layer_without_labels():
    x, _ = batch()
    layer = DenseWithCenterLoss(CLASSES)
    layer.build(x.shape)
    logits = x @ keras.ops.convert_to_numpy(layer.kernel) + keras.ops.convert_to_numpy(layer.bias)
    np.testing.assert_allclose(layer(x), logits, rtol=1e-5, atol=1e-6)
    assert layer.losses == []


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.5])
def test_own_logit_of_arcface_falls_with_the_angle_without_a_jump(margin: float):
    angles = np.linspace(0, np.pi, 10_001)
    logits = np.asarray(ArcFace(2, 1.0, margin).with_margin(np.cos(angles).astype("float32")))
    falls = np.diff(logits)
    assert (falls < 1e-6).all()
    assert falls.min() > -1e-3
    assert logits[-1] < logits[len(logits) // 2] - 0.4


@pytest.mark.parametrize("name", ["arcface", "subcenter-arcface"])
def test_gradient_of_arcface_is_finite_on_its_class_and_opposite(name: str):
    x, y = batch()
    head = build(TrainConfig(head=name))
    means = np.eye(CLASSES, DIM, dtype="float32")
    head.init_from_class_means(means)
    x[:] = means[y] * np.resize([1, -1], BATCH)[:, None]
    step(head, x, y)
    assert all(np.isfinite(weight).all() for weight in weights_of(head).values())


def test_unknown_head_is_refused():
    with pytest.raises(UsageError, match=r"dense-center.*got 'nothing'"):
        build(TrainConfig(head="nothing"))


def test_head_of_the_users_own(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from embedder.heads import build_head\n"
        "from dataclasses import replace\n"
        "def like_softmax(config, stem, classes):\n"
        "    return build_head(replace(config, head='softmax'), stem, classes)\n"
        "def wrong(config, stem, classes):\n"
        "    return 5\n"
    )
    head = build(TrainConfig(head=f"{file}:like_softmax"))
    assert isinstance(head, Head)
    with pytest.raises(UsageError, match=r"--head: expected .*mine.py:wrong to return .*Head, got a int"):
        build(TrainConfig(head=f"{file}:wrong"))


def test_noise_is_on_what_the_head_sees_in_training_only():
    image = keras.Input((DIM,), name="image")
    trunk = keras.Model(image, layers.Identity()(image))
    stem = build_stem(TrainConfig(feature_noise=0.3), trunk)
    seen = keras.Model(dict(stem.inputs), [stem.features, stem.clean])
    keras.utils.set_random_seed(0)
    x = np.ones((4000, DIM), "float32")
    for training in (True, False):
        features, clean = seen({"image": x, "label": np.zeros(len(x))}, training=training)
        np.testing.assert_array_equal(clean, x)
        assert np.std(features) == pytest.approx(0.3 * training, abs=0.01)
    np.testing.assert_array_equal(trunk(x, training=True), x)


def test_penalty_can_move_and_halves_train():
    image = keras.Input((DIM + 1,))
    left, right = SplitHalves()(ActivityPenalty(0.5, name="penalty")(image))
    model = keras.Model(image, [left, right])
    model.compile(keras.optimizers.SGD(1.0), jit_compile=False)
    x = np.random.default_rng(0).normal(size=(BATCH, DIM + 1)).astype("float32")
    log = model.test_on_batch(x, return_dict=True)
    assert log["penalty_loss"] == pytest.approx(oracles.activity(x), rel=1e-5)
    assert log["loss"] == pytest.approx(0.5 * oracles.activity(x), rel=1e-5)
    a, b = model.predict_on_batch(x)
    np.testing.assert_array_equal(np.hstack([a, b]), x)
    assert (left.shape, right.shape) == ((None, 3), (None, 3))


def test_odd_features_have_no_halves():
    with pytest.raises(ValueError, match="even length"):
        SplitHalves()(keras.Input((5,)))


def test_center_loss_of_an_epoch_weighs_each_photo_alike():
    x, y = batch()
    layer = DenseWithCenterLoss(CLASSES)
    layer(x[:6], y[:6])
    layer(x[6:], y[6:])
    wanted = (x**2).sum(1).mean()  # centers begin at zero
    assert float(layer.shown.result()) == pytest.approx(wanted, rel=1e-5)
