"""Each loss and layer in a plain `model.fit`, against its oracle.

What `embed train` makes of them is compared with the same oracles in `test_heads` and `test_metric_heads`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import pytest

from embedder import layers, losses
from embedder.callbacks import TerminateOnDivergence
from embedder.errors import DivergedError, UsageError
from embedder.losses import OF_EMBEDDINGS, OF_LOGITS
from tests.contracts import fitting
from tests.contracts.fitting import CLASSES, FEATURES, LABELS, LAYERS, LOSSES, PHOTOS

pytestmark = pytest.mark.usefixtures("fresh_keras")
TAKING_LABELS = [  # called with labels, without any model
    *(lambda x, y, make=make: make()(y, x) for make, _ in list(LOSSES.values())[:-1]),
    lambda x, y: losses.OneHotLoss(keras.losses.mean_squared_error)(y, x),
    lambda x, y: layers.DenseWithCenterLoss(CLASSES)(x, y),
    lambda x, y: layers.CenterLoss(CLASSES)(x, y),
    lambda x, y: layers.CenterDistance(CLASSES)(x, y),
    lambda x, y: layers.ArcFace(CLASSES)(x, y),
    lambda x, y: layers.CosFace(CLASSES)(x, y),
    lambda x, y: layers.MetricLossLayer(losses.TripletLoss(), 4)(x, y),
    lambda x, y: layers.CrossBatchMemory(4)(x, y),
]
NAMES = [*LOSSES, *LAYERS, "CrossBatchMemory"]


def quick(every: Iterable[str], *some: str) -> list[object]:
    """Every name, those that are not among `some` when there is time."""
    return [name if name in some else pytest.param(name, marks=pytest.mark.slow) for name in every]


@pytest.mark.parametrize("name", quick(LOSSES, "triplet", "contrastive", "softened"))
def test_fit_gives_the_loss_of_the_oracle_whatever_the_labels_are(name: str):
    fitting.check_loss(name, fitting.FORMS if name == "triplet" else ["(batch, 1) int64"])


@pytest.mark.parametrize("name", quick(LAYERS, "DenseWithCenterLoss", "MetricLossLayer"))
def test_layers_train_alike_with_a_column_of_labels_and_survive_a_file(name: str, tmp_path: Path):
    fitting.check_layer(name, tmp_path)


@pytest.mark.parametrize("name", ["triplet", pytest.param("softened", marks=pytest.mark.slow)])
def test_losses_take_batches_of_unknown_size_from_tensorflow(name: str):
    import tensorflow as tf

    make, function = LOSSES[name]
    data = tf.data.Dataset.from_generator(
        lambda: iter([(FEATURES[:8], LABELS[:8]), (FEATURES[8:], LABELS[8:])]),
        output_signature=(tf.TensorSpec((None, CLASSES)), tf.TensorSpec(None, tf.int64)),
    )
    data = data.apply(tf.data.experimental.assert_cardinality(2))
    got = fitting.model_of(make()).fit(data, shuffle=False, verbose=0).history["loss"][0]
    assert got == pytest.approx(fitting.expected(function), rel=1e-5)


@pytest.mark.parametrize("name", ["triplet", pytest.param("f-beta", marks=pytest.mark.slow)])
def test_losses_stay_in_single_precision_under_mixed_precision(name: str):
    make, function = LOSSES[name]
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = fitting.model_of(make())
    finally:
        keras.config.set_dtype_policy("float32")
    got = model.evaluate(FEATURES, LABELS, batch_size=8, verbose=0)
    assert got == pytest.approx(fitting.expected(function), rel=5e-3)
    half = FEATURES.astype("float16")
    assert make()(LABELS, half).dtype == "float32"
    assert float(make()(LABELS, half)) == pytest.approx(function(half.astype(float), LABELS), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_compiled_loss_survives_a_file(name: str, tmp_path: Path):
    model = fitting.model_of(LOSSES[name][0]())
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.loss.get_config() == model.loss.get_config()
    assert float(again.loss(LABELS, FEATURES)) == float(model.loss(LABELS, FEATURES))


@pytest.mark.parametrize("call", TAKING_LABELS, ids=NAMES)
@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (np.eye(CLASSES)[LABELS], rf"expected labels of shape \(batch,\).*got shape \({PHOTOS}, {CLASSES}\)"),
        (LABELS[:4], rf"expected a label for each of {PHOTOS} rows, got labels of shape \(4,\)"),
        (np.full(PHOTOS, -1), "expected labels that are whole numbers from 0.*got -1"),
        (np.full(PHOTOS, 0.5), r"expected labels that are whole numbers from 0.*got 0\.5"),
    ],
    ids=["one-hot", "too few", "no one", "half"],
)
def test_wrong_labels_are_refused(call, labels: np.ndarray, got: str):
    with pytest.raises(ValueError, match=got):
        call(FEATURES, labels)


@pytest.mark.parametrize("call", TAKING_LABELS, ids=NAMES)
def test_features_that_are_no_rows_are_refused(call):
    with pytest.raises(ValueError, match=r"expected features of shape \(batch, dim\), got .*\(13, 1, 3\)"):
        call(FEATURES[:, None], LABELS)


def test_labels_beyond_the_classes_are_refused():
    for name, call in zip(NAMES, TAKING_LABELS, strict=True):
        if name in ("MetricLossLayer", "CrossBatchMemory", *OF_EMBEDDINGS):
            call(FEATURES, LABELS + 7)  # these know no number of classes
        else:
            with pytest.raises(ValueError, match=r"whole numbers from 0 to 2, got 7"):
                call(FEATURES, LABELS + 7)


@pytest.mark.parametrize("wrong", [-1, CLASSES])
def test_a_wrong_label_in_a_compiled_graph_ends_training_with_the_reason(wrong: int):
    labels = np.r_[LABELS[:-1], wrong]
    model = fitting.model_of(losses.SmoothedCrossentropy())
    with pytest.raises(DivergedError, match=r"the loss is nan .*labels outside of the classes"):
        model.fit(FEATURES, labels, batch_size=PHOTOS, verbose=0, callbacks=[TerminateOnDivergence()])


def test_losses_are_found_by_name():
    assert {type(losses.get(name)) for name in OF_EMBEDDINGS} == set(OF_EMBEDDINGS.values())
    assert losses.get("f-beta").beta == 1.0
    assert set(OF_LOGITS) == {"crossentropy", "softened", "f-beta"}
    loss = losses.TripletLoss()
    assert losses.get(loss) is loss
    with pytest.raises(UsageError, match=r"expected crossentropy, .*got 'nothing'"):
        losses.get("nothing")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.TripletLoss(-0.1), "TripletLoss: expected a margin of at least 0, got -0.1"),
        (lambda: losses.TripletLoss(mining="hard"), "expected mining to be .*batch-hard.*got 'hard'"),
        (lambda: losses.SmoothedCrossentropy(1.5), "expected smoothing from 0 to 1, got 1.5"),
        (lambda: losses.SoftFBeta(0.0), "expected beta above 0"),
        (lambda: layers.ArcFace(3, margin=2.0), "at most 1.57 radians, got 2.0"),
        (lambda: layers.CosFace(3, margin=2.0), "at most 1, got 2.0"),
        (lambda: layers.CenterLoss(3, weight=-1), "a weight of at least 0, got -1"),
        (lambda: layers.DenseWithCenterLoss(3, center_rate=2.0), "a center rate from 0 to 1, got 3 and 2.0"),
        (lambda: layers.CrossBatchMemory(0), "a size of at least 1"),
        (lambda: layers.MetricLossLayer(losses.SoftFBeta()), "a loss of embeddings, .*got SoftFBeta"),
        (lambda: layers.Distillation(1.0)([FEATURES] * 3), r"4 inputs \(batch, dim\) or 2 and \(batch,\)"),
        (lambda: layers.Distillation(1.0)([FEATURES] * 2), r"4 inputs \(batch, dim\) or 2 and \(batch,\)"),
    ],
)
def test_options_out_of_range_are_refused(make, message: str):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_on_jax_losses_and_layers_do_the_same(tmp_path: Path):
    pytest.importorskip("jax")
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'\n"
        "import pathlib; from tests.contracts import fitting as f\n"
        "[f.check_loss(name, list(f.FORMS)[1:3]) for name in f.LOSSES]\n"
        f"[f.check_layer(name, pathlib.Path({str(tmp_path)!r})) for name in f.LAYERS]\n"
        "print('done')"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=600)
    assert done.stdout.split()[-1:] == ["done"], done.stderr[-3000:]
