from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import keras
import numpy as np
import pytest

from embedder._internal.runtime import Advance, Progress
from embedder.callbacks import (
    BestWeights,
    OpenSetValidation,
    ShowProgress,
    StopEarly,
    TerminateOnDivergence,
    VariableSchedule,
    describe,
    plain_logs,
    ramp,
)
from embedder.errors import DivergedError


def trunk() -> keras.Model:
    image = keras.Input((2,))
    return keras.Model(image, keras.layers.Dense(1, kernel_initializer="zeros")(image))


def test_best_epoch_is_kept_by_any_number():
    numbers = iter([9.9, 0.5, 0.9, 0.9, 0.2])
    model = trunk()
    keep = BestWeights(model, lambda: next(numbers), lambda now, _, best: now > best)
    keep.measure_first()
    for epoch in range(4):
        model.set_weights([np.full((2, 1), epoch + 1.0), np.zeros(1)])
        keep.on_epoch_end(epoch)
    assert keep.best_epoch == 2  # the number before training does not compete
    assert keep.weights[0][0, 0] == 2.0
    assert keep.scores == [9.9, 0.5, 0.9, 0.9, 0.2]


def test_best_epoch_of_a_fit_of_ones_own():
    numbers = iter([0.9, 0.1, 0.8, 0.3])  # before training, then of three epochs
    model, seen = trunk(), []
    model.compile("sgd", "mse")
    keep = BestWeights(model, lambda: next(numbers), lambda now, _, best: now > best)
    see = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    model.fit(np.ones((4, 2)), np.ones(4), epochs=3, callbacks=[keep, see], verbose=0)
    assert (keep.scores, keep.best_epoch) == ([0.9, 0.1, 0.8, 0.3], 2)
    for kept, then in zip(keep.weights, seen[1], strict=True):
        np.testing.assert_array_equal(kept, then)


def test_other_weights_than_the_trunks_can_be_kept():
    keep = BestWeights(trunk(), lambda: 1, lambda *_: True, weights=lambda: [np.full(3, 7.0)])
    keep.measure_first()
    keep.on_epoch_end(0)
    assert [weight.tolist() for weight in keep.weights] == [[7.0] * 3]


def test_rule_sees_all_trained_epochs():
    seen = []
    keep = BestWeights(trunk(), iter([0, 1, 2, 3]).__next__, lambda *values: seen.append(values) or False)
    keep.measure_first()
    for epoch in range(3):
        keep.on_epoch_end(epoch)
    assert seen == [(2, [1], 1), (3, [1, 2], 1)]


@pytest.mark.parametrize("name", ["loss", "softmax_loss", "center_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_no_number_stops_with_advice(name: str, value: float):
    logs = {"loss": 1.0, "softmax_loss": 1.0, "center_loss": 1.0, name: value}
    with pytest.raises(DivergedError, match=rf"the {name.replace('_', ' ')} is .*--learning-rate"):
        TerminateOnDivergence().on_train_batch_end(4, logs)


def test_center_loss_that_runs_away_stops_with_advice():
    callback = TerminateOnDivergence()
    callback.on_train_batch_end(0, {"loss": 1.0, "center_loss": 2.0})
    callback.on_train_batch_end(1, {"loss": 1.0, "center_loss": 1999.0})
    with pytest.raises(DivergedError, match=r"from 2 to 2\.1e\+03.*--center-weight"):
        callback.on_train_batch_end(2, {"loss": 1.0, "center_loss": 2100.0})


LOGS = {
    "dense-center": {"accuracy": 0.5, "center_loss": 0.25, "loss": 1.5, "softmax_loss": 1.25},
    "center": {"center_loss": 0.25, "loss": 1.5, "softmax_accuracy": 0.5, "softmax_loss": 1.25},
}


@pytest.mark.parametrize("head", LOGS)
def test_every_head_shows_the_parts_apart(head: str):
    assert describe(LOGS[head]) == "loss 1.500  softmax 1.250  center 0.250  accuracy 0.500"
    assert plain_logs(LOGS[head]) == LOGS["dense-center"]


class Recorder(Progress):
    def __init__(self) -> None:
        self.events: list[str] = []

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        self.events.append(f"open {label} of {total}")
        yield lambda steps=1, detail="": self.events.append(detail)
        self.events.append("close")


def test_progress_hears_of_every_batch():
    recorder = Recorder()
    show = ShowProgress(recorder, epochs=3, batches=2)
    show.on_epoch_begin(1)
    show.on_train_batch_end(0, LOGS["dense-center"])
    show.on_epoch_end(1)
    show.close()
    assert recorder.events == ["open Epoch 2/3 of 2", describe(LOGS["dense-center"]), "close"]


def test_parameter_rises_by_epoch_and_is_logged():
    variable = keras.Variable(0.8)
    move = VariableSchedule("center_weight", variable, ramp(0.8, 4))
    seen = []
    for epoch in range(6):
        move.on_epoch_begin(epoch)
        logs: dict[str, float] = {}
        move.on_epoch_end(epoch, logs)
        seen.append(float(variable))
        assert logs == {"center_weight": pytest.approx(float(variable))}
    assert seen == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.8])
    assert ramp(0.8, 0)(0) == 0.8


def test_stops_after_epochs_that_were_no_better():
    numbers = iter([0, 1, 3, 2, 2, 9])
    model = trunk()
    keep = BestWeights(model, lambda: next(numbers), lambda now, _, best: now > best)
    keep.measure_first()
    stop = StopEarly(keep, 2)
    stop.set_model(model)
    model.stop_training = False
    stopped = []
    for epoch in range(4):
        keep.on_epoch_end(epoch)
        stop.on_epoch_end(epoch)
        stopped.append(model.stop_training)
    assert stopped == [False, False, False, True]


def test_people_not_trained_on_are_scored_after_each_epoch():
    image = keras.Input((2,))
    model = keras.Model(image, keras.layers.Dense(2, kernel_initializer="identity", use_bias=False)(image))
    model.compile("sgd", "mse")
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.05]], "float32")
    validation = OpenSetValidation(model, x, np.array([[5], [5], [8], [8], [9]]), fpir=0.0)
    history = model.fit(
        np.zeros((2, 2)), np.zeros((2, 2)), epochs=2, callbacks=[validation], verbose=0
    ).history
    # 9 lies between both photos of 5 and is the nearest to either; so it is named, as the nearest of all.
    assert history["val_rank1"] == [0.5, 0.5]
    assert history["val_tpir"] == [0.0, 0.0]
    validation = OpenSetValidation(model, x[:4], [5, 5, 8, 8], fpir=0.0)
    assert validation.measure() == {"val_tpir": 1.0, "val_rank1": 1.0}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "expected a label for each of 3 images"),
        ([0, 0, 0], "two people at least.*got 1"),
        ([0, 1, 2], "one of them with two photos, got 3 with at most 1"),
    ],
)
def test_too_few_people_to_score_are_refused(labels: list[int], message: str):
    with pytest.raises(ValueError, match=message):
        OpenSetValidation(trunk(), np.zeros((3, 2)), labels)


def test_the_largest_number_is_the_best_unless_something_else_is_said():
    keep = BestWeights(trunk(), iter([0.0, 0.3, 0.9, 0.9]).__next__)
    keep.measure_first()
    for epoch in range(3):
        keep.on_epoch_end(epoch)
    assert keep.best_epoch == 2


def test_only_a_loss_lost_at_once_speaks_of_labels():
    callback = TerminateOnDivergence()
    with pytest.raises(DivergedError, match="labels outside of the classes"):
        callback.on_train_batch_end(0, {"loss": math.nan})
    callback.on_epoch_begin(1)
    with pytest.raises(DivergedError) as caught:
        callback.on_train_batch_end(0, {"loss": math.nan})
    assert "labels" not in str(caught.value)
