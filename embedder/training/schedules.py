"""The learning rate, batch by batch."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from embedder.config import FilledConfig


@keras.saving.register_keras_serializable(package="embedder")
class Pace(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up from zero (Goyal et al. 2017), then a constant, a cosine to zero or steps.

    Args:
        learning_rate: after the warm-up.
        warmup: batches over which it rises; 0 starts at the full rate.
        cosine: batches of the whole run, over which it falls to zero by half a cosine (Loshchilov and Hutter
            2017); 0 lets it stay.
        steps: pairs of (batch, rate): from that batch on it is that rate.
    """

    def __init__(
        self, learning_rate: float, warmup: int, cosine: int = 0, steps: list[tuple[int, float]] | None = None
    ) -> None:
        self.learning_rate = learning_rate
        self.warmup = warmup
        self.cosine = cosine
        self.steps = sorted(tuple(pair) for pair in steps or [])

    def __call__(self, step: Any) -> Any:
        """Give the rate of a batch, counted from 0."""
        step = ops.cast(step, "float32")
        rate: Any = self.learning_rate
        for start, later in self.steps:
            rate = ops.where(step >= start, later, rate)
        if self.cosine:
            done = ops.minimum(1.0, ops.maximum(0.0, step - self.warmup) / max(1, self.cosine - self.warmup))
            rate = rate * (1 + ops.cos(math.pi * done)) / 2
        return rate * ops.minimum(1.0, (step + 1) / max(1, self.warmup))

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same schedule."""
        return {
            "learning_rate": self.learning_rate,
            "warmup": self.warmup,
            "cosine": self.cosine,
            "steps": [list(pair) for pair in self.steps],
        }


def find_pace(config: FilledConfig, batches: int) -> Pace:
    """Make the schedule of a run.

    Args:
        config: resolved: learning rate and epochs are numbers.
        batches: per epoch.
    """
    return Pace(
        config.learning_rate,
        config.warmup,
        config.epochs * batches if config.schedule == "cosine" else 0,
        [(epoch * batches, rate) for epoch, rate in config.rates],
    )
