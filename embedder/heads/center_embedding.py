"""Softmax + center loss, Embedding form: a two-input, two-output model whose centers are an Embedding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from embedder.config import TrainConfig
from embedder.heads import Head, Stem
from embedder.heads.center import moved_centers, squared_distance, weight_of
from embedder.heads.softmax import hold, nearest_mean_classifier, predictor
from embedder.layers.numbers import number
from embedder.losses import find_loss


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build two outputs, the logits and |x - c_y|^2, so that the log shows both losses apart."""
    loss = find_loss(config)
    parameters = {**loss.parameters, "center_weight": number(weight_of(config), "center_weight")}
    features = hold(parameters, stem.features)
    classifier = layers.Dense(classes, dtype="float32", name=loss.name)
    distance = CenterDistance(classes, config.center_rate, name="center")

    def start_from(means: NDArray[np.float32]) -> None:
        classifier.set_weights(list(nearest_mean_classifier(means)))
        distance.centers.embeddings.assign(means)

    return Head(
        model=keras.Model(
            dict(stem.inputs),
            {loss.name: classifier(features), "center": distance(features, stem.label)},
        ),
        compile={
            "loss": {loss.name: loss.function, "center": mean_distance},
            "loss_weights": {loss.name: 1.0, "center": parameters["center_weight"]},
            "metrics": {loss.name: keras.metrics.SparseCategoricalAccuracy(name="accuracy")},
        },
        targets=lambda labels: {loss.name: labels, "center": np.zeros(len(labels), np.float32)},
        start_from=start_from,
        parameters=parameters,
        parts={"predict": predictor(stem, classifier)},
    )


@keras.saving.register_keras_serializable(package="embedder")  # type: ignore[untyped-decorator]
def mean_distance(_target: Any, distance: Any) -> Any:
    """Take the second output as a loss as it is; there is nothing to compare it with."""
    return ops.mean(distance)


@keras.saving.register_keras_serializable(package="embedder")
class CenterDistance(layers.Layer):  # type: ignore[misc]
    """Squared distance of each feature to the center of its class.

    The centers are the rows of an `Embedding` that is looked up with the label.

    Args:
        classes: number of identities.
        center_rate: α of Wen et al. 2016, or 0: the optimizer moves the centers.

    Input shape:
        features (batch, dim) and labels (batch,) integer.

    Output shape:
        (batch,), |x - c_y|^2.
    """

    def __init__(self, classes: int, center_rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # as in DenseWithCenterLoss
        self.classes = classes
        self.center_rate = center_rate

    def build(self, features_shape: tuple[int | None, ...], *_: object) -> None:
        """Make the Embedding, (classes, dim)."""
        self.centers = layers.Embedding(
            self.classes,
            features_shape[-1],
            embeddings_initializer="zeros",
            trainable=not self.center_rate,
            dtype=self.dtype_policy,
            name="centers",
        )
        self.centers.build(())

    def call(self, features: Any, labels: Any, training: bool | None = False) -> Any:
        """Return the distances; in training with α, move the centers."""
        distance = squared_distance(features, self.centers(labels))
        if training and self.center_rate:
            table = self.centers.embeddings
            table.assign(moved_centers(table, features, labels, self.center_rate))
        return distance

    def compute_output_shape(self, features_shape: tuple[int | None, ...], *_: object) -> tuple[int | None]:
        """(batch, dim) -> (batch,)."""
        return (features_shape[0],)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "classes": self.classes, "center_rate": self.center_rate}
