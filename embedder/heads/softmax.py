"""Softmax alone: the control that center loss is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.layers.numbers import HoldNumbers
from embedder.losses import Loss, find_loss

# Sharpness of the first classifier: at 20 the nearest class mean of the frozen face trunk gets a
# probability that leaves something to learn; the raw statistics would make it certain at once.
SHARPNESS = 20.0


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build W x + b on the trunk, trained by the classification loss alone."""
    loss = find_loss(config)
    # Logits in float32 also under mixed precision: half would round the loss before it is taken.
    classifier = layers.Dense(classes, dtype="float32", name="softmax")
    return Head(
        model=keras.Model(dict(stem.inputs), classifier(hold(loss.parameters, stem.features))),
        compile=classifier_compile(loss),
        targets=lambda labels: labels,
        start_from=lambda means: classifier.set_weights(list(nearest_mean_classifier(means))),
        parameters=loss.parameters,
        parts={"predict": predictor(stem, classifier)},
    )


def classifier_compile(loss: Loss) -> dict[str, Any]:
    """Loss and log of a model whose only output is the logits."""
    return {
        "loss": loss.function,
        "metrics": [
            *([] if _out_of_sight(loss) else [LossMean(loss.function, name=f"{loss.name}_loss")]),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    }


def predictor(stem: Stem, classifier: layers.Layer) -> keras.Model:
    """Make the model picture -> probabilities (batch, classes); it shares the classifier and the trunk."""
    features = stem.features if stem.clean is None else stem.clean
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(classifier(features))
    return keras.Model(stem.inputs["image"], probabilities, name="predict")


def hold(parameters: Mapping[str, keras.Variable], features: Any) -> Any:
    """Make the numbers of a loss known to the model; features pass through."""
    return HoldNumbers(parameters, name="numbers")(features) if parameters else features


@keras.saving.register_keras_serializable(package="embedder")
class LossMean(keras.metrics.Mean):  # type: ignore[misc]
    """Mean of a loss over an epoch: the classification term apart from what layers add to the total.

    Args:
        loss: (labels (batch,), logits (batch, classes)) -> a number, or one per sample. One number counts as
            often as the batch has samples, as in the total.
    """

    def __init__(self, loss: keras.losses.Loss, name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = loss

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch in."""
        count = keras.ops.cast(keras.ops.shape(y_pred)[0], "float32")
        super().update_state(self.loss(y_true, y_pred), sample_weight=count)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same metric."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"name": self.name, "dtype": self.dtype, "loss": loss}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LossMean:
        """Make the same metric."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def nearest_mean_classifier(
    means: NDArray[np.float32], sharpness: float = SHARPNESS
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make the classifier whose softmax is that of -sharpness/2 · |x - mean|^2.

    It is the classifier of equal, round class densities (linear discriminant analysis); the part
    -sharpness/2 · |x|^2 is the same for all classes and falls out of the softmax.

    Args:
        means: (classes, dim).
        sharpness: inverse variance of the densities.

    Returns:
        Kernel (dim, classes) and bias (classes,).
    """
    return sharpness * means.T, -sharpness / 2 * (means**2).sum(axis=1)


def _out_of_sight(loss: Loss) -> bool:
    """Whether a metric cannot read the loss's numbers: on JAX it sees no variable but its own."""
    return bool(loss.parameters) and keras.backend.backend() == "jax"
