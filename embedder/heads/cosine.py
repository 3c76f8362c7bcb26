"""What the heads with a margin have in common: a classifier that sees directions alone."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from embedder.heads import Head, Stem
from embedder.heads.softmax import classifier_compile, hold, predictor
from embedder.losses import Loss

# Sub-centers of a class begin this far from its mean, of length 1: near enough to be the same class, apart
# enough that each photo has one it is nearest to, which alone moves.
APART = 0.05


def build_cosine_head(stem: Stem, layer: CosineClassifier, loss: Loss) -> Head:
    """Build a classifier with a margin on the trunk; to predict it leaves the margin out."""
    return Head(
        model=keras.Model(dict(stem.inputs), layer(hold(loss.parameters, stem.features), stem.label)),
        compile=classifier_compile(loss),
        targets=lambda labels: labels,
        start_from=layer.start_from,
        parameters=loss.parameters,
        parts={"predict": predictor(stem, layer)},
    )


class CosineClassifier(layers.Layer):  # type: ignore[misc]
    """s · cos(x, w_k), where the cosine with the own class is made smaller by a margin if labels are given.

    Features and the columns w of the kernel are taken at length 1 (Wang et al. 2017, "NormFace"). With K
    sub-centers a class has K columns, and its cosine is the largest (Deng et al. 2020). What a sub-class does
    to the own cosine is its `with_margin`.

    Args:
        classes: number of identities.
        scale: s.
        margin: m.
        sub_centers: K.

    Input shape:
        features (batch, dim) and labels (batch,) integer; without labels there is no margin.

    Output shape:
        (batch, classes), the logits.
    """

    def __init__(
        self, classes: int, scale: float, margin: float, sub_centers: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # a cosine near 1 has no digits to spare
        self.classes, self.scale, self.margin, self.sub_centers = classes, scale, margin, sub_centers

    def build(self, features_shape: tuple[int | None, ...], *_: object) -> None:
        """Make the kernel, (dim, classes · K); the K columns of a class lie side by side."""
        self.kernel = self.add_weight(
            shape=(features_shape[-1], self.classes * self.sub_centers),
            initializer="glorot_uniform",
            name="kernel",
        )

    def call(self, features: Any, labels: Any = None) -> Any:
        """Return the logits."""
        cosines = ops.matmul(ops.normalize(features, axis=-1), ops.normalize(self.kernel, axis=0))
        if self.sub_centers > 1:
            cosines = ops.max(ops.reshape(cosines, (-1, self.classes, self.sub_centers)), axis=-1)
        if labels is not None:
            own = ops.one_hot(labels, self.classes, dtype="bool")
            cosines = ops.where(own, self.with_margin(cosines), cosines)
        return self.scale * cosines

    def with_margin(self, cosines: Any) -> Any:
        """Make cosines smaller, of any shape."""
        raise NotImplementedError

    def start_from(self, means: NDArray[np.float32]) -> None:
        """Set the kernel from class means (classes, dim); sub-centers are set a little apart."""
        unit = means / np.linalg.norm(means, axis=1, keepdims=True)
        columns = np.repeat(unit, self.sub_centers, axis=0)
        if self.sub_centers > 1:
            noise = np.random.default_rng(0).normal(size=columns.shape)
            columns = columns + APART * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        self.kernel.assign(columns.T)

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
            "scale": self.scale,
            "margin": self.margin,
            "sub_centers": self.sub_centers,
        }
