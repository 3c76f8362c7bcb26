"""What every head promises, and the two forms of center loss against each other and a slow oracle."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import HEADS, Head, build_head
from embedder.heads.center import DenseWithCenterLoss, moved_centers
from embedder.heads.center_embedding import CenterDistance
from embedder.heads.softmax import nearest_mean_classifier
from embedder.training.stem import build_stem

CLASSES, DIM, BATCH = 3, 5, 8
WEIGHT = 0.7
CENTER_HEADS = ["center", "center-embedding"]


def features_trunk() -> keras.Model:
    image = keras.Input((DIM,), name="image")
    return keras.Model(image, layers.Identity()(image))


def batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BATCH, DIM)).astype("float32"), rng.integers(0, CLASSES, BATCH).astype("int32")


def build(name: str, trunk: keras.Model, rate: float = 0.0) -> Head:
    config = TrainConfig(head=name, center_weight=WEIGHT, center_rate=rate)
    return build_head(config, build_stem(config, trunk), CLASSES)


def compiled(name: str, rate: float = 0.0, optimizer: object = "sgd") -> Head:
    head = build(name, features_trunk(), rate)
    head.model.compile(optimizer=optimizer, jit_compile=False, **head.compile)
    return head


def set_weights(head: Head, W: np.ndarray, b: np.ndarray, C: np.ndarray) -> None:
    for variable in head.model.variables:
        value = {"kernel": W, "bias": b, "centers": C, "embeddings": C}[variable.path.split("/")[-1]]
        variable.assign(value)


def get_weights(head: Head) -> dict[str, np.ndarray]:
    names = {"embeddings": "centers"}
    return {
        names.get(v.path.split("/")[-1], v.path.split("/")[-1]): keras.ops.convert_to_numpy(v)
        for v in head.model.variables
    }


def oracle(x, y, W, b, C, weight):
    """Loss, its parts, and gradients of W, b and C, one sample at a time in double precision."""
    x, W, b, C = (np.asarray(a, float) for a in (x, W, b, C))
    softmax = center = 0.0
    dW, db, dC = np.zeros_like(W), np.zeros_like(b), np.zeros_like(C)
    for i in range(len(x)):
        logits = [sum(x[i, d] * W[d, k] for d in range(DIM)) + b[k] for k in range(CLASSES)]
        total = sum(np.exp(value) for value in logits)
        p = [np.exp(value) / total for value in logits]
        softmax -= np.log(p[y[i]]) / len(x)
        center += sum((x[i, d] - C[y[i], d]) ** 2 for d in range(DIM)) / len(x)
        for k in range(CLASSES):
            error = (p[k] - (k == y[i])) / len(x)
            db[k] += error
            dW[:, k] += error * x[i]
        dC[y[i]] -= 2 * weight * (x[i] - C[y[i]]) / len(x)
    return softmax + weight * center, softmax, center, {"kernel": dW, "bias": db, "centers": dC}


def random_weights(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=s).astype("float32") for s in ((DIM, CLASSES), (CLASSES,), (CLASSES, DIM)))


@pytest.mark.parametrize("name", CENTER_HEADS)
def test_loss_and_gradients_are_those_of_the_oracle(name: str):
    x, y = batch()
    W, b, C = random_weights()
    head = compiled(name, optimizer=keras.optimizers.SGD(1.0))  # a step of SGD(1) is the gradient itself
    set_weights(head, W, b, C)
    logs = head.model.train_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)
    loss, softmax, center, gradients = oracle(x, y, W, b, C, WEIGHT)
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    assert logs["softmax_loss"] == pytest.approx(softmax, rel=1e-5)
    assert logs["center_loss"] == pytest.approx(center, rel=1e-5)
    after = get_weights(head)
    for part, before in (("kernel", W), ("bias", b), ("centers", C)):
        np.testing.assert_allclose(before - after[part], gradients[part], atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_both_forms_take_the_same_steps(rate: float):
    weights = random_weights()
    ended = []
    for name in CENTER_HEADS:
        head = compiled(name, rate, keras.optimizers.SGD(0.1))
        set_weights(head, *weights)
        for step in range(5):
            x, y = batch(step)
            logs = head.model.train_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)
        ended.append((logs["loss"], get_weights(head)))
    assert ended[0][0] == pytest.approx(ended[1][0], rel=1e-5)
    for part, value in ended[0][1].items():
        np.testing.assert_allclose(value, ended[1][1][part], atol=1e-5)
        assert not np.allclose(value, dict(zip(("kernel", "bias", "centers"), weights, strict=True))[part])


def test_gradient_reaches_the_trunk():
    x, y = batch()
    moved = []
    for name in HEADS:
        image, dense = keras.Input((DIM,), name="image"), layers.Dense(DIM, use_bias=False)
        trunk = keras.Model(image, dense(image))
        dense.set_weights([np.eye(DIM, dtype="float32")])
        head = build(name, trunk)
        head.model.compile(optimizer=keras.optimizers.SGD(1.0), jit_compile=False, **head.compile)
        W, b, C = random_weights()
        for variable in head.model.variables:
            if (
                value := {"bias": b, "centers": C, "embeddings": C}.get(variable.path.split("/")[-1])
            ) is not None:
                variable.assign(value)
            elif variable.shape == (DIM, CLASSES):
                variable.assign(W)
        head.model.train_on_batch({"image": x, "label": y}, head.targets(y))
        moved.append(np.eye(DIM) - dense.get_weights()[0])
    by_name = dict(zip(HEADS, moved, strict=True))
    np.testing.assert_allclose(by_name["center"], by_name["center-embedding"], atol=1e-5)
    # Center loss adds 2 λ/B · xᵀ(x - c) to what softmax alone does.
    _, _, C = random_weights()
    extra = 2 * WEIGHT / BATCH * x.T @ (x - C[y])
    np.testing.assert_allclose(by_name["center"] - by_name["softmax"], extra, atol=1e-4)


def test_alpha_moves_centers_as_the_paper_says():
    x, y = batch()
    y[:] = [0, 0, 0, 0, 0, 1, 1, 0]  # class 2 is absent and must not move
    _, _, C = random_weights()
    expected = C.astype(float)
    for j in range(CLASSES):
        own = x[y == j].astype(float)
        expected[j] -= 0.5 * sum((C[j] - row for row in own), np.zeros(DIM)) / (1 + len(own))
    np.testing.assert_allclose(moved_centers(keras.ops.array(C), x, y, 0.5), expected, atol=1e-6)
    np.testing.assert_array_equal(expected[2], C[2])


@pytest.mark.parametrize("name", CENTER_HEADS)
def test_alpha_takes_the_centers_from_the_optimizer(name: str):
    x, y = batch()
    W, b, C = random_weights()
    head = compiled(name, rate=0.5, optimizer=keras.optimizers.SGD(1.0))
    set_weights(head, W, b, C)
    head.model.train_on_batch({"image": x, "label": y}, head.targets(y))
    np.testing.assert_allclose(get_weights(head)["centers"], moved_centers(C, x, y, 0.5), atol=1e-5)
    head.model.evaluate({"image": x, "label": y}, head.targets(y), verbose=0)
    np.testing.assert_allclose(get_weights(head)["centers"], moved_centers(C, x, y, 0.5), atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_training_lowers_the_loss(name: str):
    keras.utils.set_random_seed(0)
    x, y = batch()
    head = compiled(name, 0.5, keras.optimizers.Adam(0.05))
    losses = [
        head.model.train_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)["softmax_loss"]
        for _ in range(100)
    ]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", HEADS)
def test_starts_as_the_nearest_mean_classifier(name: str):
    x, y = batch()
    means = np.stack([x[y == k].mean(0) for k in range(CLASSES)])
    head = compiled(name)
    head.start_from(means)
    outputs = head.model.predict({"image": x, "label": y}, verbose=0)
    logits = outputs["softmax"] if isinstance(outputs, dict) else outputs
    nearest = ((x[:, None] - means[None]) ** 2).sum(2).argmin(1)
    np.testing.assert_array_equal(logits.argmax(1), nearest)
    if "centers" in (weights := get_weights(head)):
        np.testing.assert_allclose(weights["centers"], means, rtol=1e-6)


def test_nearest_mean_classifier_is_the_gaussian_one():
    means, x = np.random.default_rng(0).normal(size=(2, CLASSES, DIM))
    kernel, bias = nearest_mean_classifier(means, sharpness=3.0)
    density = -3.0 / 2 * ((x[:, None] - means[None]) ** 2).sum(2)
    logits = x @ kernel + bias
    np.testing.assert_allclose(np.diff(logits), np.diff(density))


@pytest.mark.parametrize(
    "layer",
    [DenseWithCenterLoss(4, 0.3, 0.25, name="head"), CenterDistance(4, 0.25, name="head")],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_survive_serialization(layer: layers.Layer):
    x, y = batch()
    layer(x, y)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()
    copy(x, y)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x, y), layer(x, y))


@pytest.mark.parametrize("name", CENTER_HEADS)
def test_training_model_survives_a_file(name: str, tmp_path):
    head = compiled(name, 0.5)
    set_weights(head, *random_weights())
    x, y = batch()
    head.model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    a, b = (
        model.evaluate({"image": x, "label": y}, head.targets(y), return_dict=True, verbose=0)
        for model in (head.model, copy)
    )
    assert a == pytest.approx(b)


def test_layer_form_is_a_dense_layer_without_labels():
    x, _ = batch()
    W, b, _ = random_weights()
    layer = DenseWithCenterLoss(CLASSES)
    layer.build(x.shape)
    layer.kernel.assign(W)
    layer.bias.assign(b)
    np.testing.assert_allclose(layer(x), x @ W + b, rtol=1e-5)
    assert layer.losses == []


def test_unknown_head_is_refused():
    with pytest.raises(UsageError, match=r"center-embedding.*got 'nothing'"):
        build("nothing", features_trunk())


@pytest.mark.parametrize("name", CENTER_HEADS)
def test_centers_keep_single_precision_under_mixed_precision(name: str):
    x, y = batch()
    y[:] = [0, 0, 0, 0, 0, 1, 1, 0]  # class 2 is absent
    W, b, C = random_weights()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        head = compiled(name, rate=0.5)
        set_weights(head, W, b, C)
        head.model.train_on_batch({"image": x, "label": y}, head.targets(y))
    finally:
        keras.config.set_dtype_policy("float32")
    after = get_weights(head)["centers"]
    np.testing.assert_array_equal(after[2], C[2])
    np.testing.assert_allclose(after, moved_centers(keras.ops.array(C), x, y, 0.5), atol=2e-3)
