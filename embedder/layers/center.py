"""Define the layers of center loss, which draws features to the center of their class.

Wen, Zhang, Li and Qiao 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition". Symbols:
x features (batch, dim), y labels (batch,), c centers (classes, dim), λ the weight of the loss, α the rate at
which centers move.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from embedder.layers.auxiliary import AuxiliaryLoss
from embedder.losses.labels import check_features, check_labels

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="embedder")
class CenterDistance(layers.Layer):  # type: ignore[misc]
    """Computes squared distances of features to the center of their class, as a model output.

    The centers are the rows of an `Embedding`, indexed by the label. With α above 0 each training batch moves
    them (`update_centers`); they stay equal on all replicas and devices.

    Args:
        num_classes: number of classes.
        center_rate: α, 0 to 1; 0: the optimizer moves the centers by the gradient.

    Input shape:
        features (batch, dim), any float dtype, and labels (batch,) or (batch, 1), 0 to num_classes - 1.

    Output shape:
        (batch,) float32: |x - c_y|².

    Raises:
        ValueError: a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> distance = CenterDistance(5)(np.ones((2, 3), "float32"), np.array([0, 4]))
        >>> [float(row) for row in distance]
        [3.0, 3.0]
    """

    def __init__(self, num_classes: int, center_rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # steps of centers are too small for float16
        _check_options(type(self).__name__, num_classes, center_rate)
        self.num_classes = num_classes
        self.center_rate = center_rate

    def build(self, features_shape: Shape, *_: object) -> None:
        """Create the Embedding of the centers, (classes, dim), all zeros."""
        self.centers = layers.Embedding(
            self.num_classes,
            features_shape[-1],
            embeddings_initializer="zeros",
            trainable=not self.center_rate,
            dtype=self.dtype_policy,
            name="centers",
        )
        self.centers.build(())

    def call(self, features: Any, labels: Any, training: bool | None = False) -> Any:
        """Return the squared distances (batch,); in training with α above 0, move the centers."""
        labels, outside = check_labels(labels, features, type(self).__name__, self.num_classes)
        distance = squared_distance(features, self.centers(labels)) + outside
        if training and self.center_rate:
            table = self.centers.embeddings
            table.assign(update_centers(table, features, labels, self.center_rate))
        return distance

    def compute_output_shape(self, features_shape: Shape, *_: object) -> tuple[int | None]:
        """Return (batch,) for (batch, dim)."""
        return (features_shape[0],)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {**super().get_config(), "num_classes": self.num_classes, "center_rate": self.center_rate}


@keras.saving.register_keras_serializable(package="embedder")
class CenterLoss(AuxiliaryLoss):
    """Returns its features and adds λ · mean_i |x_i - c_{y_i}|² to the loss.

    Put it between a trunk and any classifier; the centers are the Embedding of a `CenterDistance`. The mean
    is logged as `center_loss`. The square is summed over the dimensions of a feature and averaged over the
    batch, so that λ does not depend on the batch size: the paper's λ/2 · sum over a batch of B is λ·B/2 here.

    Args:
        num_classes: number of classes.
        weight: initial λ; `factor` is the variable that holds it.
        center_rate: α, 0 to 1; 0: the optimizer moves the centers by the gradient.

    Input shape:
        features (batch, dim), any float dtype, and labels (batch,) or (batch, 1), 0 to num_classes - 1;
        without labels nothing is added.

    Output shape:
        (batch, dim) float32, the features.

    Raises:
        ValueError: an option, a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> layer = CenterLoss(5, weight=0.5)
        >>> features = layer(np.ones((2, 3), "float32"), np.array([0, 4]))
        >>> float(layer.losses[0])
        1.5
    """

    def __init__(
        self, num_classes: int, weight: float = 0.5, center_rate: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(weight, "center_loss", **kwargs)
        self.num_classes = num_classes
        self.weight = weight
        self.center_rate = center_rate
        self.distance = CenterDistance(num_classes, center_rate, name="center")

    def build(self, features_shape: Shape, *_: object) -> None:
        """Create the variables of λ and of the centers."""
        super().build(features_shape)
        self.distance.build(features_shape)

    @property
    def centers(self) -> keras.Variable:
        """The centers, (classes, dim) float32."""
        return self.distance.centers.embeddings

    def call(self, features: Any, labels: Any = None, training: bool | None = False) -> Any:
        """Return the features; with labels, add the center loss."""
        check_features(features, "CenterLoss")
        if labels is not None:
            self.add_mean(self.distance(features, labels, training=training))
        return features

    def compute_output_shape(self, features_shape: Shape, *_: object) -> Shape:
        """Return the shape of the features."""
        return features_shape

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "weight": self.weight,
            "center_rate": self.center_rate,
        }


@keras.saving.register_keras_serializable(package="embedder")
class DenseWithCenterLoss(AuxiliaryLoss):
    """Returns logits W x + b and, given labels, adds λ · mean_i |x_i - c_{y_i}|² to the loss.

    A Dense layer with centers; the mean without λ is logged as `center_loss`. λ is defined as in
    `CenterLoss`. The centers stay equal on all replicas and devices.

    Args:
        units: number of classes.
        center_weight: initial λ; `factor` is the variable that holds it.
        center_rate: α, 0 to 1; each training batch moves a center by α · sum(x - c) / (1 + count) over the
            samples of its class, as in the paper. 0: the optimizer moves the centers by the gradient.

    Input shape:
        features (batch, dim), any float dtype, and labels (batch,) or (batch, 1), 0 to units - 1; without
        labels it computes the logits alone.

    Output shape:
        (batch, units) float32, the logits.

    Raises:
        ValueError: an option, a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> layer = DenseWithCenterLoss(5, center_weight=0.5)
        >>> logits = layer(np.ones((2, 3), "float32"), np.array([0, 4]))
        >>> tuple(logits.shape), float(layer.losses[0])
        ((2, 5), 1.5)
    """

    def __init__(
        self, units: int, center_weight: float = 0.5, center_rate: float = 0.5, **kwargs: Any
    ) -> None:
        # In float32 also under mixed precision: steps of centers are too small for float16.
        super().__init__(center_weight, "center_loss", **kwargs)
        _check_options("DenseWithCenterLoss", units, center_rate)
        self.units = units
        self.center_weight = center_weight
        self.center_rate = center_rate

    def build(self, features_shape: Shape, *_: object) -> None:
        """Create kernel (dim, units), bias (units,) and centers (units, dim)."""
        super().build(features_shape)
        dim = features_shape[-1]
        self.kernel = self.add_weight(shape=(dim, self.units), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.centers = self.add_weight(
            shape=(self.units, dim),
            initializer="zeros",
            trainable=not self.center_rate,
            name="centers",
        )

    def call(self, features: Any, labels: Any = None, training: bool | None = False) -> Any:
        """Return the logits; with labels, add the center loss."""
        check_features(features, "DenseWithCenterLoss")
        if labels is not None:
            labels, outside = check_labels(labels, features, "DenseWithCenterLoss", self.units)
            distance = squared_distance(features, ops.take(self.centers, labels, axis=0)) + outside
            # Before `add_loss`: the sum over replicas switches between their threads, which mixes up losses.
            if training and self.center_rate:
                self.centers.assign(update_centers(self.centers, features, labels, self.center_rate))
            self.add_mean(distance)
        return ops.matmul(features, self.kernel) + self.bias

    def compute_output_shape(self, features_shape: Shape, *_: object) -> tuple[int | None, int]:
        """Return (batch, units) for (batch, dim)."""
        return (features_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "center_weight": self.center_weight,
            "center_rate": self.center_rate,
        }


def squared_distance(features: Any, centers: Any) -> Any:
    """Compute |x - c|² of each row: two (batch, dim) -> (batch,)."""
    return ops.sum(ops.square(features - centers), axis=-1)


def update_centers(centers: Any, features: Any, labels: Any, rate: float) -> Any:
    """Compute the centers after a batch, each moved towards its samples (equation 4).

    c_j + α · sum_{i: y_i = j} (x_i - c_j) / (1 + n_j): without the count n_j, the center of a person with ten
    photos in a batch would move ten times as far. The samples of all replicas count, so that centers stay
    equal. Under `tf.distribute` no earlier layer may call `add_loss`: Keras would mix the replicas' losses.

    Args:
        centers: (classes, dim) float32.
        features: (batch, dim) float32; no gradient flows through them.
        labels: (batch,) int32 labels of `features`.
        rate: α.

    Returns:
        The new centers, (classes, dim) float32.
    """
    features = ops.stop_gradient(features)
    classes = centers.shape[0]
    count = ops.segment_sum(ops.ones_like(features[:, :1]), labels, num_segments=classes)
    total = ops.segment_sum(features, labels, num_segments=classes)
    count, total = _sum_over_replicas(count, total)
    return centers + rate * (total - count * centers) / (1 + count)


def _sum_over_replicas(*values: Any) -> Any:
    """Sum values over the replicas of `tf.distribute`; on JAX an array spans all devices."""
    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(values))


def _check_options(owner: str, classes: int, rate: float) -> None:
    if classes < 1 or not 0 <= rate <= 1:
        raise ValueError(
            f"{owner}: expected at least one class and a center rate from 0 to 1, got {classes} and {rate}"
        )
