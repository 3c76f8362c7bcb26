"""Softmax + center loss, layer form: one Dense layer that owns its centers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from embedder.config import TrainConfig
from embedder.config.training import Schedule
from embedder.heads import Head, Stem
from embedder.heads.softmax import classifier_compile, hold, nearest_mean_classifier, predictor
from embedder.layers.added_loss import AddedLoss
from embedder.losses import find_loss


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build a `DenseWithCenterLoss` on the trunk."""
    loss = find_loss(config)
    layer = DenseWithCenterLoss(classes, weight_of(config), config.center_rate, name="softmax")

    def start_from(means: NDArray[np.float32]) -> None:
        kernel, bias = nearest_mean_classifier(means)
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
        layer.centers.assign(means)

    return Head(
        model=keras.Model(dict(stem.inputs), layer(hold(loss.parameters, stem.features), stem.label)),
        compile=classifier_compile(loss),
        targets=lambda labels: labels,
        start_from=start_from,
        parameters={**loss.parameters, "center_weight": layer.factor},
        parts={"predict": predictor(stem, layer)},
    )


@keras.saving.register_keras_serializable(package="embedder")
class DenseWithCenterLoss(AddedLoss):
    """A Dense classifier that also draws each feature to the center of its class.

    Returns W x + b and, when labels are given, adds λ · mean_i |x_i - c_{y_i}|^2 to the model's loss (Wen,
    Zhang, Li and Qiao 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition"). The
    square is summed over the feature, so λ means the same at every dimension, and averaged over the batch,
    so it means the same at every batch size: the paper's λ/2 · sum over a batch of B is λ·B/2 here. The log
    shows the mean without λ, as `center_loss`.

    Args:
        classes: number of identities.
        center_weight: λ to begin with; `factor` is the variable that holds it.
        center_rate: α; each training batch moves a center by α · sum(x - c) / (1 + count) over its own
            samples, as in the paper. 0 lets the optimizer move the centers by the gradient.

    Input shape:
        features (batch, dim) and labels (batch,) integer; without labels it is a Dense layer.

    Output shape:
        (batch, classes), the logits.

    Example:
        >>> layer = DenseWithCenterLoss(10, center_weight=0.5)
        >>> logits = layer(features, labels)
    """

    def __init__(
        self, classes: int, center_weight: float = 0.5, center_rate: float = 0.0, **kwargs: Any
    ) -> None:
        # In float32 also under mixed precision: a center moves by less than half precision can hold.
        super().__init__(center_weight, "center_loss", **kwargs)
        self.classes = classes
        self.center_weight = center_weight
        self.center_rate = center_rate

    def build(self, features_shape: tuple[int | None, ...], *_: object) -> None:
        """Make kernel (dim, classes), bias (classes,) and centers (classes, dim)."""
        super().build(features_shape)
        dim = features_shape[-1]
        self.kernel = self.add_weight(shape=(dim, self.classes), initializer="glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.classes,), initializer="zeros", name="bias")
        self.centers = self.add_weight(
            shape=(self.classes, dim),
            initializer="zeros",
            trainable=not self.center_rate,
            name="centers",
        )

    def call(self, features: Any, labels: Any = None, training: bool | None = False) -> Any:
        """Return the logits; with labels, add the center loss."""
        if labels is not None:
            self.add_mean(squared_distance(features, ops.take(self.centers, labels, axis=0)))
            if training and self.center_rate:
                self.centers.assign(moved_centers(self.centers, features, labels, self.center_rate))
        return ops.matmul(features, self.kernel) + self.bias

    def compute_output_shape(
        self, features_shape: tuple[int | None, ...], *_: object
    ) -> tuple[int | None, int]:
        """(batch, dim) -> (batch, classes)."""
        return (features_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {
            **super().get_config(),
            "classes": self.classes,
            "center_weight": self.center_weight,
            "center_rate": self.center_rate,
        }


def weight_of(config: TrainConfig) -> float:
    """Give λ; that of `Schedule` if neither the user nor the trunk has one."""
    return Schedule.center_weight if config.center_weight is None else config.center_weight


def squared_distance(features: Any, centers: Any) -> Any:
    """|x - c|^2 of each row: two (batch, dim) -> (batch,)."""
    return ops.sum(ops.square(features - centers), axis=-1)


def moved_centers(centers: Any, features: Any, labels: Any, rate: float) -> Any:
    """Move each center towards its samples as Wen et al. 2016, equation 4, do.

    c_j + α · sum_{i: y_i = j} (x_i - c_j) / (1 + n_j): without the count a person who appears ten times in
    a batch would move ten times as far.

    Args:
        centers: (classes, dim).
        features: (batch, dim); no gradient flows through them.
        labels: (batch,) integer.
        rate: α.

    Returns:
        (classes, dim).
    """
    features = ops.stop_gradient(features)
    classes = centers.shape[0]
    count = ops.segment_sum(ops.ones_like(features[:, :1]), labels, num_segments=classes)
    total = ops.segment_sum(features, labels, num_segments=classes)
    return centers + rate * (total - count * centers) / (1 + count)
