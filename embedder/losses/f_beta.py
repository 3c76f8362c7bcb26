"""F-beta that has a gradient."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from embedder.config import TrainConfig
from embedder.losses import Loss


def build(config: TrainConfig) -> Loss:
    """Make it."""
    return Loss("f_beta", SoftFBeta(config.beta))


@keras.saving.register_keras_serializable(package="embedder")
class SoftFBeta(keras.losses.Loss):  # type: ignore[misc]
    """1 - mean_k F_k over the classes k of a batch, probabilities standing in for counts.

    F_k = (1 + β²) TP_k / (β² n_k + P_k), with TP_k = Σ_{i: y_i = k} p_ik, n_k the samples of class k and
    P_k = Σ_i p_ik what is called k: van Rijsbergen's 1979 measure, in which recall counts β times precision.

    Per class, not over all classes at once: where each sample has one label, every probability that a sample
    does not give its own class is a miss there and a false alarm elsewhere, so that the counts over all
    classes have precision = recall, whatever β. Only classes that are in the batch count; of another F is 0
    and has no gradient.

    Args:
        beta: β.

    Call arguments:
        y_true: (batch,) integer.
        y_pred: logits (batch, classes).
    """

    def __init__(self, beta: float = 1.0, name: str = "f_beta", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.beta = beta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of the batch, ()."""
        p = ops.softmax(y_pred, axis=-1)
        own = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), p.shape[-1], dtype=p.dtype)
        samples = ops.sum(own, axis=0)
        called = self.beta**2 * samples + ops.sum(p, axis=0)
        f = (1 + self.beta**2) * ops.sum(own * p, axis=0) / ops.maximum(called, keras.config.epsilon())
        there = ops.cast(samples > 0, p.dtype)
        return 1 - ops.sum(f * there) / ops.sum(there)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss."""
        return {**super().get_config(), "beta": self.beta}
