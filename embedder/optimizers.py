"""Build the optimizer of a training run: Adam with a learning rate by batch and by depth.

`freeze` keeps the first layers of a trunk as they are.
"""

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


class DepthAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam (Kingma and Ba 2015) whose learning rate differs from variable to variable.

    Args:
        factors: variable -> factor of its learning rate, by `id`; others have 1.
        options: of Adam.
    """

    def __init__(self, factors: dict[int, float], **options: Any) -> None:
        super().__init__(**options)
        self._factors = factors
        self._factor: list[float] = []

    def build(self, variables: list[Any]) -> None:
        """Make the moments of the variables."""
        super().build(variables)
        self._factor = [self._factors.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one step with one variable."""
        factor = self._factor[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)


def build_optimizer(config: FilledConfig, trunk: keras.Model, batches: int) -> keras.optimizers.Optimizer:
    """Make the optimizer.

    Args:
        config: resolved: learning rate and epochs are numbers.
        trunk: whose layers learn the slower the nearer they are to the picture.
        batches: per epoch.
    """
    return DepthAdam(
        depth_factors(trunk, config.depth_rate),
        learning_rate=find_pace(config, batches),
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
    )


def depth_factors(trunk: keras.Model, lowest: float) -> dict[int, float]:
    """Give factors of the learning rate, by equal ratios from `lowest` at the first layer to 1 at the last.

    Discriminative fine-tuning (Howard and Ruder 2018): what lies near the picture is general and is to stay.

    Args:
        trunk: its layers with weights stand in order.
        lowest: factor of the first layer; 0 keeps that one and moves the others evenly (0 has no ratios).

    Returns:
        By `id` of the variable.
    """
    layers = weighted_layers(trunk)
    last = max(1, len(layers) - 1)
    factors: dict[int, float] = {}
    for depth, layer in enumerate(layers):
        factor = lowest ** (1 - depth / last) if lowest else depth / last
        factors |= {id(variable): factor for variable in layer.trainable_variables}
    return factors


def freeze(trunk: keras.Model, share: float) -> None:
    """Keep the first layers of a trunk as they are.

    Args:
        trunk: changed in place.
        share: of the layers with weights.
    """
    layers = weighted_layers(trunk)
    for layer in layers[: round(share * len(layers))]:
        layer.trainable = False


def weighted_layers(trunk: keras.Model) -> list[Any]:
    """List the layers that have weights, from the picture on, also those of networks inside."""
    found: list[Any] = []
    for layer in trunk.layers:
        found += (
            weighted_layers(layer) if isinstance(layer, keras.Model) else [layer] if layer.weights else []
        )
    return found
