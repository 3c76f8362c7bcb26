"""Classifiers that see directions alone and ask for a margin: ArcFace, sub-center ArcFace, CosFace."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from embedder.losses.labels import check_features, check_labels

Shape = tuple[int | None, ...]

# The papers'. Features of a trunk that was trained with distances point almost the same way: of the face
# trunk, the means of people 1-20 of ORL have a median cosine of .95, and a photo has one of .985 with its own
# mean and of .970 with the next. 64 · .015 is about 1, a logit that says something; at 16 all are much alike.
SCALE = 64.0
# Radians. With the paper's .5 the cross-entropy of these photos is 13 at first, with .1 it is 1.8, without a
# margin .8. Trained on them for 5 epochs, at 24 pixels, one seed, TPIR at FPIR 1 % of people 21-40 was .69
# with .5 and .79 with .1, before .67. For a trunk from nothing, or with thousands of people, try .5.
ARCFACE_MARGIN = 0.1
# Where the face trunk starts about as hard as with the .1 of ArcFace: a cross-entropy of 2, where the paper's
# .35 has 22. For a trunk from nothing, or with thousands of people, try .35.
COSFACE_MARGIN = 0.03
# Sub-centers of a class begin this far from its mean, of length 1: near enough to be the same class, apart
# enough that each photo has one it is nearest to, which alone moves.
_APART = 0.05


class CosineClassifier(layers.Layer):  # type: ignore[misc]
    """Base class: logits s · cos(x, w_k), the own cosine made smaller by a margin if labels are given.

    Features and the columns w of the kernel are taken at length 1 (Wang, Xiang, Cheng and Yuille 2017,
    "NormFace"). With K sub-centers a class has K columns, and its cosine is the largest. What a sub-class
    does to the own cosine is its `with_margin`.

    Args:
        units: number of classes.
        scale: s, above 0.
        margin: m, at least 0.
        sub_centers: K, at least 1.

    Input shape:
        features (batch, dim), any float dtype, and labels (batch,) or (batch, 1), 0 to units - 1; without
        labels there is no margin.

    Output shape:
        (batch, units) float32, the logits.

    Raises:
        ValueError: an option, a shape or a label is wrong.
    """

    def __init__(self, units: int, scale: float, margin: float, sub_centers: int = 1, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # a cosine near 1 has no digits to spare
        if units < 1 or not scale > 0 or not margin >= 0 or sub_centers < 1:
            raise ValueError(
                f"{type(self).__name__}: expected units and sub_centers of at least 1, a scale above 0 and a "
                f"margin of at least 0, got {units}, {sub_centers}, {scale} and {margin}"
            )
        self.units, self.scale, self.margin, self.sub_centers = units, scale, margin, sub_centers

    def build(self, features_shape: Shape, *_: object) -> None:
        """Make the kernel, (dim, units · K); the K columns of a class lie side by side."""
        self.kernel = self.add_weight(
            shape=(features_shape[-1], self.units * self.sub_centers),
            initializer="glorot_uniform",
            name="kernel",
        )

    def call(self, features: Any, labels: Any = None) -> Any:
        """Return the logits."""
        check_features(features, type(self).__name__)
        cosines = ops.matmul(ops.normalize(features, axis=-1), ops.normalize(self.kernel, axis=0))
        if self.sub_centers > 1:
            cosines = ops.max(ops.reshape(cosines, (-1, self.units, self.sub_centers)), axis=-1)
        if labels is not None:
            labels, outside = check_labels(labels, features, type(self).__name__, self.units)
            own = ops.one_hot(labels, self.units, dtype="bool")
            cosines = ops.where(own, self.with_margin(cosines), cosines) + outside[:, None]
        return self.scale * cosines

    def with_margin(self, cosines: Any) -> Any:
        """Make cosines smaller, of any shape."""
        raise NotImplementedError

    def init_from_class_means(self, means: NDArray[np.float32]) -> None:
        """Set the kernel from class means (units, dim); sub-centers are set a little apart."""
        unit = means / np.linalg.norm(means, axis=1, keepdims=True)
        columns = np.repeat(unit, self.sub_centers, axis=0)
        if self.sub_centers > 1:
            noise = np.random.default_rng(0).normal(size=columns.shape)
            columns = columns + _APART * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        self.kernel.assign(columns.T)

    def compute_output_shape(self, features_shape: Shape, *_: object) -> tuple[int | None, int]:
        """(batch, dim) -> (batch, units)."""
        return (features_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same layer."""
        return {
            **super().get_config(),
            "units": self.units,
            "scale": self.scale,
            "margin": self.margin,
            "sub_centers": self.sub_centers,
        }


@keras.saving.register_keras_serializable(package="embedder")
class ArcFace(CosineClassifier):
    """Classifies with an angular margin: s · cos(θ + m) of the own class, s · cos θ of others.

    Deng, Guo, Xue and Zafeiriou 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition".
    Beyond θ + m = π the cosine would rise again, and draw a photo away from its class; there the own logit
    goes on as s · (cos θ + cos m - 1), which meets it at -s and keeps falling with the angle.

    With K > 1 sub-centers θ is the angle to the nearest of K (Deng, Guo, Liu, Gong and Zafeiriou 2020,
    "Sub-center ArcFace: Boosting Face Recognition by Large-scale Noisy Web Faces"), so that a wrongly
    labelled photo, or an unlike one, does not spoil the center of the others. See `CosineClassifier` for
    shapes, dtypes and errors.

    Args:
        units: number of classes.
        scale: s, above 0.
        margin: m in radians, 0 to π / 2.
        sub_centers: K, at least 1.

    Example:
        >>> import numpy as np
        >>> layer = ArcFace(20, scale=64.0, margin=0.1)
        >>> tuple(layer(np.ones((2, 3), "float32"), np.array([0, 19])).shape)
        (2, 20)
    """

    def __init__(
        self,
        units: int,
        scale: float = SCALE,
        margin: float = ARCFACE_MARGIN,
        sub_centers: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, scale, margin, sub_centers, **kwargs)
        if margin > math.pi / 2:
            raise ValueError(f"ArcFace: expected a margin of at most {math.pi / 2:.2f} radians, got {margin}")

    def with_margin(self, cosines: Any) -> Any:
        """Cos θ -> cos(θ + m)."""
        # The sine's slope is infinite where a photo lies on its class, at sine 0.
        sines = ops.sqrt(ops.maximum(1 - ops.square(cosines), keras.config.epsilon()))
        turned = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines + math.cos(self.margin) - 1
        return ops.where(cosines > -math.cos(self.margin), turned, beyond)


@keras.saving.register_keras_serializable(package="embedder")
class CosFace(CosineClassifier):
    """Classifies with a margin of the cosine: s · (cos θ - m) of the own class, s · cos θ of others.

    Wang, Wang, Zhou, Ji, Gong, Zhou, Li and Liu 2018, "CosFace: Large Margin Cosine Loss for Deep Face
    Recognition". See `CosineClassifier` for shapes, dtypes and errors.

    Args:
        units: number of classes.
        scale: s, above 0.
        margin: m, 0 to 1.
        sub_centers: columns of each class, of which the nearest counts, at least 1.

    Example:
        >>> import numpy as np
        >>> layer = CosFace(20, scale=64.0, margin=0.03)
        >>> tuple(layer(np.ones((2, 3), "float32"), np.array([0, 19])).shape)
        (2, 20)
    """

    def __init__(
        self,
        units: int,
        scale: float = SCALE,
        margin: float = COSFACE_MARGIN,
        sub_centers: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, scale, margin, sub_centers, **kwargs)
        if margin > 1:
            raise ValueError(f"CosFace: expected a margin of at most 1, got {margin}")

    def with_margin(self, cosines: Any) -> Any:
        """Cos θ -> cos θ - m."""
        return cosines - self.margin
