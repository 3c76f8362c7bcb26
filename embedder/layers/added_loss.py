"""What layers that add a loss of their own have in common: a weight that can move, and a line in the log."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


class AddedLoss(layers.Layer):  # type: ignore[misc]
    """Base of layers that add λ · mean_i v_i of a batch to the total, and show mean_i v_i unweighted.

    λ is the layer's weight `factor`, not trainable: assigning to it takes effect in the next batch without
    compiling again. The mean over the batch lets λ mean the same at every batch size (docs/decisions/001).

    On the JAX back end the log has only the total: Keras (3.15) gives a layer no state there in which a
    metric could be kept.

    Args:
        factor: λ.
        shown: name in the log; it ends in `_loss`.
    """

    def __init__(self, factor: float, shown: str, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self._first = factor
        self.shown = None if keras.backend.backend() == "jax" else keras.metrics.Mean(name=shown)

    def build(self, _shape: tuple[int | None, ...], *_: object) -> None:
        """Make λ."""
        self.factor = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(self._first), trainable=False, name="factor"
        )

    def add_mean(self, values: Any) -> None:
        """Add λ · mean of the values (batch,) to the total."""
        self.add_loss(self.factor * ops.mean(values))
        if self.shown is not None:
            self.shown.update_state(values)
