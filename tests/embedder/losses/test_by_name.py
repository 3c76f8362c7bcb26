"""Losses of Keras, and of the user's own, in the place of cross-entropy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.heads import find_loss
from embedder.losses.classification import keras_losses
from tests.contracts import oracles

pytestmark = pytest.mark.usefixtures("fresh_keras")
LABELS = np.array([0, 2, 1, 1], "int32")
LOGITS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
UNFIT = {  # and the reason
    "ctc": "it raised ValueError",
    "circle": "expected less where answers are right",
    "mean_absolute_percentage_error": "its gradient is 2e.07 already at an even guess",
}
P = np.array([oracles.softmax(row) for row in LOGITS.astype(float)])
OWN = P[np.arange(4), LABELS]
ONE_HOT = np.eye(3)[LABELS]


def value(name: object) -> float:
    return float(find_loss(TrainConfig(loss=name)).function(LABELS, LOGITS))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", ((P - ONE_HOT) ** 2).mean()),
        ("MeanAbsoluteError", abs(P - ONE_HOT).mean()),
        ("kl-divergence", -np.log(OWN).mean()),
        ("categorical_crossentropy", -np.log(OWN).mean()),
        ("SparseCategoricalCrossentropy", -np.log(OWN).mean()),
        ("poisson", (P - ONE_HOT * np.log(P)).mean()),
        ("categorical_focal_crossentropy", (0.25 * (1 - OWN) ** 2 * -np.log(OWN)).mean()),
        ("cosine_similarity", -(OWN / np.sqrt((P**2).sum(1))).mean()),
        ("hinge", np.maximum(1 - (2 * ONE_HOT - 1) * LOGITS, 0).mean()),
    ],
    ids=str,
)
def test_it_is_what_keras_documents_of_the_right_targets(name: str, expected: float):
    assert value(name) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(keras_losses()) - set(UNFIT)))
def test_every_other_loss_of_keras_can_stand_in(name: str):
    loss = find_loss(TrainConfig(loss=name))
    assert loss.name == name
    assert np.isfinite(float(loss.function(LABELS, LOGITS)))


@pytest.mark.parametrize("name", UNFIT)
def test_a_loss_that_cannot_stand_in_is_refused_with_the_reason(name: str):
    with pytest.raises(UsageError, match=f"--loss: {name} cannot stand in .*: {UNFIT[name]}"):
        find_loss(TrainConfig(loss=name))


def test_unknown_name_lists_those_there_are():
    with pytest.raises(UsageError, match=r"crossentropy, softened, f-beta.*poisson.*got 'triplet'"):
        find_loss(TrainConfig(loss="triplet"))


def squared_logarithmic(y_true, y_pred):
    """The custom loss of the source: a number per class, so it takes the mean itself."""
    return ops.mean(ops.square(ops.log1p(y_true) - ops.log1p(y_pred)), axis=-1)


def test_a_function_from_python():
    loss = find_loss(TrainConfig(loss=squared_logarithmic))
    assert loss.name == "squared_logarithmic"
    expected = oracles.squared_logarithmic(LOGITS.astype(float), LABELS)
    assert float(loss.function(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)


def test_a_function_from_a_file(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from keras import ops\ndef center_loss(y, p):\n    return ops.sum(ops.abs(y - p), axis=-1)\n"
    )
    loss = find_loss(TrainConfig(loss=f"{file}:center_loss"))
    assert loss.name == "own_center"  # the log's center_loss is something else
    assert float(loss.function(LABELS, LOGITS)) == pytest.approx(abs(P - ONE_HOT).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda y, p: ops.square(y - p), r"the shape \(6, 3\)"),
        (lambda y, p: ops.sum(y * p, axis=-1), "expected less where answers are right"),
        (lambda y, p: ops.log(ops.mean(y, axis=-1) - 1), "got nan where answers are right"),
        (lambda y, p: -ops.mean(ops.cast(ops.argmax(y, -1) == ops.argmax(p, -1), "float32")), "no gradient"),
        (lambda y, p: ops.mean(ops.stop_gradient(ops.square(y - p)), axis=-1), "no gradient"),
        (lambda y, p: np.mean(np.square(np.asarray(y) - np.asarray(p)), axis=-1), "it raised|no gradient"),
        (lambda y: y, "it raised TypeError"),
    ],
    ids=["matrix", "upside down", "not a number", "steps", "stopped", "numpy", "one argument"],
)
def test_functions_that_cannot_train_are_refused_with_the_reason(function, reason: str):
    with pytest.raises(UsageError, match=f"cannot stand in .*({reason})"):
        find_loss(TrainConfig(loss=function))


def test_f_beta_weighs_recall_by_beta():
    # With β large only recall counts: misses; with β small only precision.
    def loss(beta: float, labels: np.ndarray) -> float:
        logits = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5], [0.1, 0.9]], "float32"))
        function = find_loss(TrainConfig(loss="f-beta", beta=beta)).function
        return 1 - float(function(labels, logits))

    labels = np.array([0, 0, 1, 1], "int32")
    assert loss(100.0, labels) == pytest.approx((0.9 + 0.7) / 2, abs=1e-3)
    assert loss(0.01, labels) == pytest.approx((1.8 / 2.4 + 1.4 / 1.6) / 2, abs=1e-3)


def test_f_beta_is_finite_where_an_absent_class_has_no_probability():
    function = find_loss(TrainConfig(loss="f-beta")).function
    assert float(function(np.array([0, 0]), np.array([[200.0, 0, 0], [200.0, 0, 0]], "float32"))) == 0.0
