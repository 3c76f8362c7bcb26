"""Cross-entropy with a share of doubt."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from embedder.config import TrainConfig
from embedder.layers.numbers import number
from embedder.losses import Loss


def build(config: TrainConfig) -> Loss:
    """Make it, with ε in a variable that may move during training."""
    function = SoftenedCrossentropy(config.softening)
    return Loss("softened", function, {"softening": function.softening})


@keras.saving.register_keras_serializable(package="embedder")
class SoftenedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """(1 - ε) · CE(y, p) + ε · CE(uniform, p) of each sample.

    CE(y, p) = -log p_y, CE(uniform, p) = -mean_k log p_k: label smoothing (Szegedy et al. 2016, "Rethinking
    the Inception Architecture for Computer Vision"). A classifier that is less sure of itself, so that its
    scores can carry a threshold.

    Args:
        softening: ε. A variable of the model, or a number, of which one is made.

    Call arguments:
        y_true: (batch,) integer.
        y_pred: logits (batch, classes).

    Example:
        >>> loss = SoftenedCrossentropy(0.1)
        >>> loss.softening.assign(0.05)
    """

    def __init__(self, softening: float, name: str = "softened", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.softening = number(softening, "softening")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sample, (batch,)."""
        log_p = ops.log_softmax(y_pred, axis=-1)
        labels = ops.cast(ops.reshape(y_true, (-1, 1)), "int32")
        own = -ops.squeeze(ops.take_along_axis(log_p, labels, axis=-1), axis=-1)
        uniform = -ops.mean(log_p, axis=-1)
        return (1 - self.softening) * own + self.softening * uniform

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss, with ε as it is now."""
        return {**super().get_config(), "softening": float(ops.convert_to_numpy(self.softening))}
