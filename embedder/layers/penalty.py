"""A penalty on activations."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from embedder.layers.added_loss import AddedLoss


@keras.saving.register_keras_serializable(package="embedder")
class ActivityPenalty(AddedLoss):
    """Passes its input on and adds λ · mean_i Σ_d |x_id| to the total, shown as `penalty_loss`.

    It draws features towards zeros (Tibshirani 1996, the lasso, on activations). The sum runs over the
    feature, the mean over the batch, so that λ means the same at every batch size.

    Args:
        penalty: λ.

    Input shape:
        (batch, ...), any float type.

    Output shape:
        The same, float32.

    Example:
        >>> features = ActivityPenalty(0.01)(features)
    """

    def __init__(self, penalty: float, **kwargs: Any) -> None:
        super().__init__(penalty, "penalty_loss", **kwargs)
        self.penalty = penalty

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        axes = tuple(range(1, len(inputs.shape)))
        self.add_mean(ops.sum(ops.abs(inputs), axis=axes))
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "penalty": self.penalty}
