"""The features of earlier batches, to compare with more photos than fit into one."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

NOBODY = -1  # label of an empty place


@keras.saving.register_keras_serializable(package="embedder")
class Memory(layers.Layer):  # type: ignore[misc]
    """First in, first out queue of the last photos' features and labels.

    The cross-batch memory of Wang, Zhang, Huang and Scott 2020 ("Cross-Batch Memory for Embedding
    Learning"): features change slowly, so those of the last batches are nearly what the trunk would give
    now, and cost nothing. No gradient flows through them; they are weights that no optimizer sees, so a
    resumed run remembers what an unbroken one would.

    Args:
        size: photos to remember.

    Input shape:
        features (batch, dim) float32 and labels (batch,) integer.

    Output shape:
        Features (batch + size, dim) and labels (batch + size,), the batch first; the label of a place that
        is still empty is `NOBODY`. In training the batch is remembered for the next one.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size

    def build(self, features_shape: tuple[int | None, ...], *_: object) -> None:
        """Make features (size, dim) and labels (size,), all empty."""
        self.features = self.add_weight(
            shape=(self.size, features_shape[-1]), initializer="zeros", trainable=False, name="features"
        )
        self.labels = self.add_weight(
            shape=(self.size,),
            dtype="int32",
            initializer=keras.initializers.Constant(NOBODY),
            trainable=False,
            name="labels",
        )

    def call(self, features: Any, labels: Any, training: bool | None = False) -> tuple[Any, Any]:
        """Put the remembered behind the batch; in training, remember the batch."""
        labels = ops.cast(labels, "int32")
        every_feature = ops.concatenate([features, ops.convert_to_tensor(self.features)])
        every_label = ops.concatenate([labels, ops.convert_to_tensor(self.labels)])
        if training:
            self.features.assign(ops.stop_gradient(every_feature[: self.size]))
            self.labels.assign(every_label[: self.size])
        return every_feature, every_label

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "size": self.size}
