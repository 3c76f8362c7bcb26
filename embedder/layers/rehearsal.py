"""What keeps a pretrained trunk from forgetting."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from embedder.layers.added_loss import AddedLoss


@keras.saving.register_keras_serializable(package="embedder")
class Rehearsal(AddedLoss):
    """Passes features on and adds μ · mean_i (|x_i - t_i|² + |x'_i - t'_i|²), shown as `rehearsal_loss`.

    t are features that the trunk gave before training; x is what it gives now for a poor view of the same
    photo, x' what it gives for the very view that t' was made from. The second term is rehearsal by
    distillation (Li and Hoiem 2016, "Learning without Forgetting"), the first draws poor views to good ones.

    Args:
        weight: μ.

    Input shape:
        A list of four (batch, dim): x, t, x', t'; no gradient flows to t and t'.

    Output shape:
        (batch, dim) float32: x.
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(weight, "rehearsal_loss", **kwargs)
        self.weight = weight

    def call(self, inputs: list[Any]) -> Any:
        """Return x."""
        poor, target, kept, before = inputs
        distance = ops.square(poor - target) + ops.square(kept - before)
        self.add_mean(ops.sum(distance, axis=-1))
        return poor

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """The shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "weight": self.weight}
