"""The table of what is checked of every head, and the checks that hold on every back end.

A new head gets a line in `CASES`: its options and what it should compute. Everything else follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from embedder.config import TrainConfig
from embedder.heads import Head, build_head, build_stem
from tests.contracts import oracles

CLASSES, DIM, BATCH = 3, 5, 8
NUMBERS = {"label_smoothing", "center_weight", "factor", "offset"}  # variables that keep their first value
ON_JAX = keras.backend.backend() == "jax"


def batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels; every class is there twice."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, 2, 2, rng.integers(0, CLASSES, BATCH - 6)]
    return rng.normal(size=(BATCH, DIM)).astype("float32"), rng.permutation(labels).astype("int32")


@dataclass(frozen=True, eq=False)
class Case:
    """A head with its options.

    Attributes:
        options: of `TrainConfig`.
        oracle: (x, y, weights by name, config) -> each term of the loss by its name in the log, and the
            factor by which it counts.
        batch: seed -> features and labels.
    """

    options: dict[str, Any]
    oracle: Callable[..., dict[str, tuple[float, float]]]
    batch: Callable[[int], tuple[np.ndarray, np.ndarray]] = field(default=batch)

    @property
    def config(self) -> TrainConfig:
        return TrainConfig(**self.options)

    def __str__(self) -> str:
        return " ".join(str(value) for value in self.options.values())


@keras.saving.register_keras_serializable(package="tests")
class Shift(keras.layers.Layer):
    """Stands in for a trunk: adds a weight to each feature, so that the gradient of features is seen."""

    def build(self, shape):
        self.offset = self.add_weight(shape=(BATCH, DIM), initializer="zeros", name="offset")

    def call(self, inputs):
        return inputs + self.offset


def build(config: TrainConfig, optimizer: Any = None, jit: bool = False) -> Head:
    image = keras.Input((DIM,), name="image", batch_size=BATCH)
    trunk = keras.Model(image, Shift()(image))
    head = build_head(config, build_stem(config, trunk), CLASSES)
    head.model.compile(optimizer or keras.optimizers.SGD(1.0), jit_compile=jit or ON_JAX, **head.compile)
    return head


def name_of(variable: Any) -> str:
    return {"embeddings": "centers"}.get(variable.path.split("/")[-1], variable.path.split("/")[-1])


def weights_of(head: Head) -> dict[str, np.ndarray]:
    return {name_of(v): np.array(keras.ops.convert_to_numpy(v)) for v in head.model.weights}


def draw_weights(head: Head, seed: int = 1) -> dict[str, np.ndarray]:
    """Set kernel, bias and centers to random numbers, the same ones for heads of the same shapes."""
    for variable in head.model.weights:
        if (name := name_of(variable)) not in NUMBERS:
            rng = np.random.default_rng([seed, sum(name.encode())])
            variable.assign(rng.normal(size=variable.shape).astype("float32"))
    return weights_of(head)


def step(head: Head, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Train on a batch; the log."""
    return head.model.train_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)


def expected(case: Case, x: np.ndarray, y: np.ndarray, weights: dict[str, np.ndarray], config: TrainConfig):
    """The log that the oracle expects."""
    double = {name: value.astype(float) for name, value in weights.items()}
    terms = case.oracle(x.astype(float), y, double, config)
    return {
        **{f"{name}_loss": value for name, (value, _) in terms.items()},
        "loss": sum(factor * value for value, factor in terms.values()),
    }


def check_log(log: dict[str, float], wanted: dict[str, float], rel: float = 1e-5) -> None:
    parts = {name for name in log if name == "loss" or name.endswith("_loss")}
    assert parts == set(wanted) or (ON_JAX and {"loss"} <= parts < set(wanted))
    for name in parts:
        np.testing.assert_allclose(float(log[name]), wanted[name], rtol=rel, err_msg=name)


def check_oracle(case: Case, jit: bool = False) -> None:
    """Loss, its parts, and the gradient of features and of each weight, by a step of SGD(1)."""
    config = case.config
    head = build(config, jit=jit)
    x, y = case.batch(0)
    before = draw_weights(head)
    double = {key: value.astype(float) for key, value in before.items()}
    check_log(step(head, x, y), expected(case, x, y, before, config))
    after = weights_of(head)
    trained = {name_of(v) for v in head.model.trainable_weights}
    assert "offset" in trained
    for name in trained:

        def loss(value, name=name):
            shifted = x + value if name == "offset" else x.astype(float)
            terms = case.oracle(shifted, y, {**double, name: value}, config)
            return sum(factor * term for term, factor in terms.values())

        gradient = oracles.slope(loss, double[name])
        assert abs(gradient).max() > 1e-3, name
        np.testing.assert_allclose(before[name] - after[name], gradient, atol=1e-5, err_msg=name)
    if "centers" in after and "centers" not in trained:
        moved = oracles.moved_centers(x, y, before["centers"], config.center_rate)
        np.testing.assert_allclose(after["centers"], moved, atol=1e-5)


def check_moved(case: Case) -> None:
    """Numbers of the loss move between batches; the compiled step sees it, the parts stay unweighted."""
    head = build(case.config, keras.optimizers.SGD(0.0))
    x, y = case.batch(0)
    draw_weights(head)
    step(head, x, y)
    options = dict(case.options)
    for name, variable in head.parameters.items():
        for value in (0.0, 0.3):
            variable.assign(value)
            options[name] = value
            wanted = expected(case, x, y, weights_of(head), TrainConfig(**options))
            head.model.reset_metrics()
            check_log(step(head, x, y), wanted)


def check_training(case: Case) -> None:
    """Training lowers the loss; on JAX by `fit`, which hands state around differently than single steps."""
    keras.utils.set_random_seed(0)
    head = build(case.config, keras.optimizers.Adam(0.05))
    x, y = case.batch(0)
    first = head.model.test_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)["loss"]
    if ON_JAX:
        inputs = {"image": np.tile(x, (40, 1)), "label": np.tile(y, 40)}
        head.model.fit(inputs, head.targets(np.tile(y, 40)), batch_size=BATCH, verbose=0, shuffle=False)
    else:
        for _ in range(40):
            step(head, x, y)
    head.model.reset_metrics()
    last = head.model.test_on_batch({"image": x, "label": y}, head.targets(y), return_dict=True)["loss"]
    assert last < 0.7 * first


def _classifier(logits, term):
    return lambda x, y, w, config: term(logits(x, y, w, config), y, config)


def _dense(x, y, w, config):
    return oracles.dense(x, w)


def _arc(m):
    return lambda x, y, w, config: oracles.cosines(
        x, y, w, config.scale, oracles.arc_margin(m if config.margin is None else config.margin), CLASSES
    )


def _cos(m):
    return lambda x, y, w, config: oracles.cosines(
        x, y, w, config.scale, lambda c: c - (m if config.margin is None else config.margin), CLASSES
    )


def _plain(z, y, config):
    return {"softmax": (oracles.crossentropy(z, y), 1.0)}


def _softened(z, y, config):
    return {"softened": (oracles.softened(z, y, config.label_smoothing), 1.0)}


def _f_beta(z, y, config):
    return {"f_beta": (oracles.f_beta(z, y, config.beta), 1.0)}


def _msle(z, y, config):
    return {"mean_squared_logarithmic_error": (oracles.squared_logarithmic(z, y), 1.0)}


def _center(oracle):
    return lambda x, y, w, config: {
        **oracle(x, y, w, config),
        "center": (oracles.center_distance(x, y, w), config.center_weight),
    }


def _penalty(oracle):
    return lambda x, y, w, config: {
        **oracle(x, y, w, config),
        "penalty": (oracles.activity(x), config.activity_penalty),
    }


def _case(oracle, **options: Any) -> Case:
    return Case(options, oracle)


_SOFTMAX = _classifier(_dense, _plain)
_FREE = {"center_weight": 0.7, "center_rate": 0.0}
CASES = [
    _case(_SOFTMAX, head="softmax"),
    _case(_classifier(_dense, _softened), head="softmax", loss="softened", label_smoothing=0.2),
    _case(_classifier(_dense, _f_beta), head="softmax", loss="f-beta", beta=2.0),
    _case(_classifier(_dense, _msle), head="softmax", loss="mean_squared_logarithmic_error"),
    _case(_penalty(_SOFTMAX), head="softmax", activity_penalty=0.3),
    _case(_center(_SOFTMAX), head="dense-center", **_FREE),
    _case(_center(_SOFTMAX), head="dense-center", center_weight=0.5, center_rate=0.5),
    _case(_center(_classifier(_dense, _softened)), head="dense-center", loss="softened", **_FREE),
    _case(_center(_SOFTMAX), head="center", **_FREE),
    _case(_center(_SOFTMAX), head="center", center_weight=0.5, center_rate=0.5),
    _case(_penalty(_center(_SOFTMAX)), head="center", activity_penalty=0.3, **_FREE),
    _case(_center(_classifier(_dense, _softened)), head="center", loss="softened", **_FREE),
    _case(_classifier(_arc(0.1), _plain), head="arcface", scale=8.0),
    _case(_classifier(_arc(0.1), _plain), head="arcface", scale=2.0, margin=1.5),
    _case(_classifier(_arc(0.1), _softened), head="arcface", scale=8.0, loss="softened"),
    _case(_classifier(_cos(0.03), _plain), head="cosface", scale=8.0, margin=0.35),
    _case(_classifier(_arc(0.1), _plain), head="subcenter-arcface", scale=8.0, sub_centers=2),
]


def first_of(*options: str) -> list[Case]:
    """The first case of each value of these options."""
    found: dict[object, Case] = {}
    for case in CASES:
        for option in options:
            found.setdefault((option, case.options.get(option)), case)
    return list(dict.fromkeys(found.values()))
