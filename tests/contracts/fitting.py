"""The losses and layers in plain Keras: `compile`, `fit`, `save` and load; what holds on every back end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from embedder import layers, losses
from tests.contracts import oracles
from tests.contracts.metric_oracle import oracle

CLASSES, BATCH, PHOTOS = 3, 8, 13  # the last batch has 5
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 1, 2, 2, 1, 0, 0], "int32")
FEATURES = np.random.default_rng(0).normal(size=(PHOTOS, CLASSES)).astype("float32")
JIT = keras.backend.backend() == "jax"


def _metric(name: str, mining: str) -> Callable[..., float]:
    return lambda x, y: oracle(name, mining, x, y)


def _logits(function: Callable[..., float], *options: float) -> Callable[..., float]:
    return lambda x, y: function(x.astype(float), y, *options)


LOSSES: dict[str, tuple[Callable[[], keras.losses.Loss], Callable[..., float]]] = {
    "triplet": (losses.TripletLoss, _metric("triplet", "semi-hard")),
    "triplet-cosine": (losses.CosineTripletLoss, _metric("triplet-cosine", "semi-hard")),
    "quadruplet": (losses.QuadrupletLoss, _metric("quadruplet", "semi-hard")),
    "contrastive": (losses.ContrastiveLoss, _metric("contrastive", "all")),
    "softened": (losses.SmoothedCrossentropy, _logits(oracles.softened, 0.1)),
    "f-beta": (lambda: losses.SoftFBeta(2.0), _logits(oracles.f_beta, 2.0)),
    "mean_squared_logarithmic_error": (
        lambda: losses.get("mean_squared_logarithmic_error"),
        _logits(oracles.squared_logarithmic),
    ),
}
FORMS: dict[str, Callable[[], np.ndarray]] = {
    "(batch,) int32": lambda: LABELS,
    "(batch, 1) int64": lambda: LABELS[:, None].astype("int64"),
    "(batch,) float32": lambda: LABELS.astype("float32"),
    "(batch, 1) float32": lambda: LABELS[:, None].astype("float32"),
    "(batch,) uint8": lambda: LABELS.astype("uint8"),
}


class Photos(keras.utils.PyDataset):
    """Batches of the photos, the last a short one."""

    def __init__(self, labels: np.ndarray, with_label: bool = False) -> None:
        super().__init__()
        self._labels, self._with_label = labels, with_label

    def __len__(self) -> int:
        return -(-PHOTOS // BATCH)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        rows = slice(index * BATCH, (index + 1) * BATCH)
        x, y = FEATURES[rows], self._labels[rows]
        return ({"image": x, "label": y} if self._with_label else x), y


def model_of(loss: Any) -> keras.Model:
    """A trunk that changes nothing at first."""
    image = keras.Input((CLASSES,), name="image")
    model = keras.Model(image, keras.layers.Dense(CLASSES, kernel_initializer="identity", name="d")(image))
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=JIT)
    return model


def expected(function: Callable[..., float]) -> float:
    """The loss of an epoch: the mean over batches, each by its photos."""
    batches = np.split(np.arange(PHOTOS), [BATCH])
    return sum(function(FEATURES[rows], LABELS[rows]) * len(rows) for rows in batches) / PHOTOS


def check_loss(name: str, forms: Any = FORMS) -> None:
    """By `fit`, with labels of every form, from arrays and from a PyDataset."""
    make, function = LOSSES[name]
    model = model_of(make())
    wanted = expected(function)
    for form in forms:
        labels = FORMS[form]()
        got = model.fit(FEATURES, labels, batch_size=BATCH, shuffle=False, verbose=0).history["loss"][0]
        np.testing.assert_allclose(got, wanted, rtol=1e-5, err_msg=f"{name}, {form}")
    got = model.fit(Photos(LABELS), shuffle=False, verbose=0).history["loss"][0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, err_msg=f"{name}, PyDataset")


def layer_models() -> Iterator[tuple[str, Callable[[], keras.Model]]]:
    """Each layer that takes labels, in a model of picture and label."""

    def build(put: Callable[[Any, Any], Any], loss: Any) -> keras.Model:
        image, label = keras.Input((CLASSES,), name="image"), keras.Input((), dtype="int32", name="label")
        features = keras.layers.Dense(CLASSES, kernel_initializer="identity", name="d")(image)
        model = keras.Model({"image": image, "label": label}, put(features, label))
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=JIT)
        return model

    def logits(put: Callable[[Any, Any], Any]) -> Callable[[], keras.Model]:
        return lambda: build(put, losses.get("crossentropy"))

    def output(put: Callable[[Any, Any], Any]) -> Callable[[], keras.Model]:
        return lambda: build(put, layers.mean_of_output)

    yield "DenseWithCenterLoss", logits(lambda x, y: layers.DenseWithCenterLoss(CLASSES, name="l")(x, y))
    yield "CenterLoss", logits(lambda x, y: layers.CenterLoss(CLASSES, name="l")(x, y))
    yield "CenterDistance", output(lambda x, y: layers.CenterDistance(CLASSES, 0.5, name="l")(x, y))
    yield "ArcFace", logits(lambda x, y: layers.ArcFace(CLASSES, 8.0, sub_centers=2, name="l")(x, y))
    yield "CosFace", logits(lambda x, y: layers.CosFace(CLASSES, 8.0, name="l")(x, y))
    yield (
        "MetricLossLayer",
        output(lambda x, y: layers.MetricLossLayer(losses.TripletLoss(), 4, name="l")(x, y)),
    )


LAYERS = dict(layer_models())


def check_layer(name: str, folder: Path) -> None:
    """Labels of both shapes give the same steps, and the model survives a file."""
    ended = []
    for form in ("(batch,) int32", "(batch, 1) int64"):
        keras.utils.set_random_seed(0)
        model = LAYERS[name]()
        photos = Photos(FORMS[form](), with_label=True)
        history = model.fit(photos, shuffle=False, verbose=0).history
        ended.append([*history["loss"], *(float(np.abs(w).sum()) for w in model.get_weights())])
    assert np.isfinite(ended).all(), name
    np.testing.assert_allclose(ended[0], ended[1], rtol=1e-5, err_msg=name)
    model.save(folder / f"{name}.keras")
    again = keras.models.load_model(folder / f"{name}.keras")
    inputs = {"image": FEATURES, "label": LABELS}
    np.testing.assert_allclose(
        model.predict(inputs, verbose=0), again.predict(inputs, verbose=0), atol=1e-6, err_msg=name
    )
