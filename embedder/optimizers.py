"""Adam with a learning rate by batch and by depth, and layers that stay as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from embedder.config import FilledConfig

__all__ = ["LayerwiseAdam", "WarmupSchedule", "freeze_layers"]


@keras.saving.register_keras_serializable(package="embedder")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Raises the learning rate linearly from zero, then keeps it, lowers it by a cosine, or by steps.

    Goyal et al. 2017, "Accurate, Large Minibatch SGD"; Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient
    Descent with Warm Restarts".

    Args:
        learning_rate: after the warm-up.
        warmup_steps: batches over which it rises; 0 starts at the full rate.
        decay_steps: batches of the whole run, over which it falls to zero by half a cosine; 0 lets it stay.
        steps: pairs of (batch, rate): from that batch on it is that rate.

    Example:
        >>> schedule = WarmupSchedule(1e-3, warmup_steps=4)
        >>> [round(float(schedule(batch)), 6) for batch in (0, 1, 3, 100)]
        [0.00025, 0.0005, 0.001, 0.001]
    """

    def __init__(
        self,
        learning_rate: float,
        warmup_steps: int,
        decay_steps: int = 0,
        steps: Sequence[tuple[int, float]] = (),
    ) -> None:
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps
        self.steps = sorted((int(start), float(rate)) for start, rate in steps)

    def __call__(self, step: Any) -> Any:
        """Give the rate of a batch, counted from 0."""
        step = ops.cast(step, "float32")
        rate: Any = self.learning_rate
        for start, later in self.steps:
            rate = ops.where(step >= start, later, rate)
        if self.decay_steps:
            falling = max(1, self.decay_steps - self.warmup_steps)
            done = ops.minimum(1.0, ops.maximum(0.0, step - self.warmup_steps) / falling)
            rate = rate * (1 + ops.cos(math.pi * done)) / 2
        return rate * ops.minimum(1.0, (step + 1) / max(1, self.warmup_steps))

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same schedule."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "steps": [list(pair) for pair in self.steps],
        }


def build_schedule(config: FilledConfig, batches: int) -> WarmupSchedule:
    """Make the schedule of a run.

    Args:
        config: resolved: learning rate and epochs are numbers.
        batches: per epoch.
    """
    return WarmupSchedule(
        config.learning_rate,
        config.warmup_batches,
        config.epochs * batches if config.lr_schedule == "cosine" else 0,
        [(epoch * batches, rate) for epoch, rate in config.rates],
    )


@keras.saving.register_keras_serializable(package="embedder")
class LayerwiseAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam (Kingma and Ba 2015) whose learning rate is smaller near the input of a trunk.

    Discriminative fine-tuning (Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text
    Classification"): what lies near the picture is general and is to stay.

    Args:
        trunk: its layers learn the slower the nearer they are to the picture (`layer_factors`); variables
            that are not its own learn at the full rate. None: all do.
        lowest: factor of the learning rate at the trunk's first layer, 0 to 1.
        relative_step: most that a step of Adam, at the full learning rate, may be of the root mean square of
            a tensor; its rate is lowered for that. 0: no limit.
        factors: of a saved optimizer: one for each variable, in order; instead of a trunk.
        adam: options of `keras.optimizers.Adam`.

    Raises:
        ValueError: `lowest` is not from 0 to 1.

    Example:
        >>> trunk = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        >>> optimizer = LayerwiseAdam(trunk, lowest=0.1, learning_rate=1e-4)
    """

    def __init__(
        self,
        trunk: keras.Model | None = None,
        lowest: float = 1.0,
        relative_step: float = 0.0,
        *,
        factors: Sequence[float] | None = None,
        **adam: Any,
    ) -> None:
        super().__init__(**adam)
        if not 0 <= lowest <= 1:
            raise ValueError(f"LayerwiseAdam: expected lowest from 0 to 1, got {lowest}")
        self._by_id = {} if trunk is None else layer_factors(trunk, lowest)
        if trunk is not None and relative_step:
            rate = adam.get("learning_rate", 1e-3)
            limit_steps(self._by_id, trunk, relative_step, getattr(rate, "learning_rate", rate))
        self._factors = list(factors or [])

    def build(self, variables: list[Any]) -> None:
        """Make the moments of the variables."""
        super().build(variables)
        if len(self._factors) != len(variables):
            self._factors = [self._by_id.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one step with one variable."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same optimizer for a copy of the model."""
        return {**super().get_config(), "factors": self._factors}


def build_optimizer(config: FilledConfig, trunk: keras.Model, batches: int) -> keras.optimizers.Optimizer:
    """Make the optimizer.

    Args:
        config: resolved: learning rate and epochs are numbers.
        trunk: whose layers learn the slower the nearer they are to the picture.
        batches: per epoch.
    """
    return LayerwiseAdam(
        trunk,
        config.layer_decay,
        config.relative_step,
        learning_rate=build_schedule(config, batches),
        gradient_accumulation_steps=config.gradient_accumulation
        if config.gradient_accumulation > 1
        else None,
    )


def layer_factors(trunk: keras.Model, lowest: float) -> dict[int, float]:
    """Give factors of the learning rate, by equal ratios from `lowest` at the first layer to 1 at the last.

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


def limit_steps(factors: dict[int, float], trunk: keras.Model, share: float, rate: float) -> None:
    """Lower the factors of tensors whose weights are small beside a step of Adam.

    A step moves a weight by about the learning rate, however small the weight is. The dense layer of SFace
    has weights of .0015 root mean square: at 3e-4 they would be others after five batches, and training lost
    more than it gained (Adafactor, Shazeer and Stern 2018, scales steps likewise).

    Args:
        factors: of the learning rate by `id` of the variable; changed in place.
        trunk: whose trainable variables are looked at.
        share: most that a step may be of a tensor's root mean square.
        rate: the learning rate.
    """
    for variable in trunk.trainable_variables:
        size = float(np.sqrt(np.mean(np.square(ops.convert_to_numpy(variable)))))
        if size:  # a tensor of zeros has yet to become something
            factors[id(variable)] = factors.get(id(variable), 1.0) * min(1.0, share * size / rate)


def freeze_layers(trunk: keras.Model, share: float) -> None:
    """Keep the first layers of a trunk as they are; do so before compiling.

    Args:
        trunk: changed in place.
        share: share of the layers with weights, 0 to 1.

    Raises:
        ValueError: it is another number.

    Example:
        >>> trunk = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        >>> freeze_layers(trunk, 0.5)
        >>> [layer.trainable for layer in trunk.layers]
        [False, True]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"freeze_layers: expected a share from 0 to 1, got {share}")
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
