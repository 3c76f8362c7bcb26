"""Define an Adam with learning rates by batch and by layer, and freeze layers."""

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
    """Raises the learning rate linearly from 0, then keeps it or lowers it by cosine or steps.

    Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour"; Loshchilov and Hutter
    2017, "SGDR: Stochastic Gradient Descent with Warm Restarts".

    Args:
        learning_rate: learning rate after the warm-up.
        warmup_steps: number of batches over which the rate rises; 0 starts at the full rate.
        decay_steps: number of batches of the whole run, at whose end the rate reaches 0 by half a cosine; 0
            keeps the rate.
        steps: pairs (batch, learning rate): the rate from that batch on.

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
        """Return the learning rate of a batch, counted from 0, as a float32 scalar."""
        step = ops.cast(step, "float32")
        rate: Any = self.learning_rate
        for start, new_rate in self.steps:
            rate = ops.where(step >= start, new_rate, rate)
        if self.decay_steps:
            batches = max(1, self.decay_steps - self.warmup_steps)
            progress = ops.minimum(1.0, ops.maximum(0.0, step - self.warmup_steps) / batches)
            rate = rate * (1 + ops.cos(math.pi * progress)) / 2
        return rate * ops.minimum(1.0, (step + 1) / max(1, self.warmup_steps))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
            "steps": [list(pair) for pair in self.steps],
        }


def build_schedule(config: FilledConfig, batches: int) -> WarmupSchedule:
    """Build the learning rate schedule of a run.

    Args:
        config: options of the run.
        batches: number of batches per epoch.
    """
    return WarmupSchedule(
        config.learning_rate,
        config.warmup_batches,
        config.epochs * batches if config.lr_schedule == "cosine" else 0,
        [(epoch * batches, rate) for epoch, rate in config.rates],
    )


@keras.saving.register_keras_serializable(package="embedder")
class LayerwiseAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Runs Adam with smaller learning rates in the first layers of a trunk.

    Adam: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization". Discriminative fine-tuning: Howard
    and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification"; the first layers compute
    general features, which training should change least.

    Args:
        trunk: trunk whose layers get rising factors of the learning rate, from first to last
            (`layer_factors`); other variables have the factor 1. None: all variables have the factor 1.
        lowest: factor of the learning rate at the trunk's first layer, 0 to 1.
        relative_step: largest step of Adam at the full learning rate, as a share of the tensor's root mean
            square; the factor of a tensor is lowered to this. 0: no limit.
        factors: factors of a saved optimizer, one for each variable in order; used instead of `trunk`.
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
        """Create the moments of the variables."""
        super().build(variables)
        if len(self._factors) != len(variables):
            self._factors = [self._by_id.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable by its gradient, with its factor of the learning rate."""
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`, for a copy of the model."""
        return {**super().get_config(), "factors": self._factors}


def build_optimizer(config: FilledConfig, trunk: keras.Model, batches: int) -> keras.optimizers.Optimizer:
    """Build the optimizer of a run.

    Args:
        config: options of the run.
        trunk: trunk whose first layers get smaller learning rates.
        batches: number of batches per epoch.
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
    """Compute factors of the learning rate, in a geometric series from first to last layer.

    Args:
        trunk: network whose layers are listed from input to output.
        lowest: factor of the first layer, 0 to 1; with 0 the factors rise linearly. The last has 1.

    Returns:
        Factors by `id` of the variable.
    """
    layers = weighted_layers(trunk)
    last = max(1, len(layers) - 1)
    factors: dict[int, float] = {}
    for depth, layer in enumerate(layers):
        factor = lowest ** (1 - depth / last) if lowest else depth / last
        factors |= {id(variable): factor for variable in layer.trainable_variables}
    return factors


def limit_steps(factors: dict[int, float], trunk: keras.Model, share: float, rate: float) -> None:
    """Lower the factors of tensors whose weights are small compared to a step of Adam.

    A step moves a weight by about the learning rate, however small the weight is. The dense layer of SFace
    has weights of .0015 root mean square: at a rate of 3e-4 they change completely in five batches, and
    training lost more than it gained. Shazeer and Stern 2018, "Adafactor: Adaptive Learning Rates with
    Sublinear Memory Cost", scale steps in the same way.

    Args:
        factors: factors of the learning rate by `id` of the variable; changed in place.
        trunk: network whose trainable variables are limited.
        share: largest step, as a share of a tensor's root mean square.
        rate: learning rate.
    """
    for variable in trunk.trainable_variables:
        size = float(np.sqrt(np.mean(np.square(ops.convert_to_numpy(variable)))))
        if size:  # a tensor of zeros would never change
            factors[id(variable)] = factors.get(id(variable), 1.0) * min(1.0, share * size / rate)


def freeze_layers(trunk: keras.Model, share: float) -> None:
    """Freeze the first layers of a trunk, before it is compiled.

    Args:
        trunk: network to change in place.
        share: share of the layers with weights to freeze, 0 to 1.

    Raises:
        ValueError: `share` is not from 0 to 1.

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
    """List the layers with weights from input to output, those of nested networks too."""
    found: list[Any] = []
    for layer in trunk.layers:
        found += (
            weighted_layers(layer) if isinstance(layer, keras.Model) else [layer] if layer.weights else []
        )
    return found
