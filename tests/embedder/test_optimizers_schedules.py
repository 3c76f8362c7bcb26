from __future__ import annotations

import keras
import pytest

from embedder.config import TrainConfig
from embedder.config.training import parse_steps
from embedder.errors import UsageError
from embedder.optimizers import WarmupSchedule, build_schedule


def rates(pace: WarmupSchedule, steps: list[int]) -> list[float]:
    return [float(pace(step)) for step in steps]


def test_rises_from_zero_then_stays():
    assert rates(WarmupSchedule(0.1, 4), [0, 1, 2, 3, 4, 5]) == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    )
    assert rates(WarmupSchedule(0.1, 0), [0]) == pytest.approx([0.1])


def test_cosine_falls_to_zero_after_the_warm_up():
    assert rates(WarmupSchedule(1.0, 10, decay_steps=110), [9, 10, 35, 60, 85, 110, 200]) == pytest.approx(
        [1.0, 1.0, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0.0, 0.0], abs=1e-6
    )


def test_steps_hold_from_their_batch_on():
    pace = WarmupSchedule(1e-2, 0, steps=[(800, 1e-4), (500, 1e-3)])
    assert rates(pace, [0, 499, 500, 799, 800, 10**6]) == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


@pytest.mark.parametrize(
    "pace", [WarmupSchedule(0.1, 4, decay_steps=40), WarmupSchedule(0.1, 4, steps=[(7, 0.02)])]
)
def test_survives_serialization(pace: WarmupSchedule):
    schedules = keras.optimizers.schedules
    copy = schedules.deserialize(schedules.serialize(pace))
    assert rates(copy, list(range(50))) == rates(pace, list(range(50)))


def test_options_count_epochs_and_the_schedule_batches():
    base = TrainConfig(learning_rate=1e-2, epochs=100, warmup_batches=3)
    assert build_schedule(base, 10).get_config() == {
        "learning_rate": 1e-2,
        "warmup_steps": 3,
        "decay_steps": 0,
        "steps": [],
    }
    cosine = TrainConfig(learning_rate=1e-2, epochs=100, lr_schedule="cosine")
    assert build_schedule(cosine, 10).decay_steps == 1000
    steps = TrainConfig(learning_rate=1e-2, epochs=100, lr_schedule="steps", lr_steps="50:1e-3,80:1e-4")
    assert build_schedule(steps, 10).steps == [(500, 1e-3), (800, 1e-4)]


@pytest.mark.parametrize("options", [{"lr_schedule": "steps"}, {"lr_steps": "5:1e-3"}])
def test_steps_belong_to_their_schedule(options: dict[str, str]):
    with pytest.raises(UsageError, match="only with it; got --lr-schedule"):
        TrainConfig(**options)


@pytest.mark.parametrize(
    "text", ["x", "5", "5:x", "5.5:1", "5:1e-3;6:1", "5:1,5:2", "6:1,5:2", "0:1", "5:0", "5:11"]
)
def test_steps_that_cannot_be_read_are_refused(text: str):
    with pytest.raises(UsageError, match="--lr-steps: expected"):
        parse_steps(text)
