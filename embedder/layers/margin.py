"""Define classifiers of cosines with a margin: ArcFace, sub-center ArcFace, CosFace."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from embedder.losses.labels import check_features, check_labels

Shape = tuple[int | None, ...]

# As in the papers. Features of a trunk trained with distances have similar directions: with face-resnet,
# class means of people 1-20 of ORL have a median cosine of .95 with each other, and a photo has one of .985
# with its own mean and of .970 with the next. At 64 these logits differ by about 1 (64 · .015), at 16 by .24.
SCALE = 64.0
# Radians. The first cross-entropy of these photos is 13 with the paper's .5, 1.8 with .1, .8 without a
# margin. After 5 epochs on them at 24 pixels (one seed), TPIR (true positive identification rate) at 1 % FPIR
# (false positive identification rate) on people 21-40 was .69 with .5 and .79 with .1, and .67 before. For a
# trunk with random weights, or with thousands of people, try .5.
ARCFACE_MARGIN = 0.1
# The first cross-entropy is 2, about that of ArcFace with .1; the paper's .35 has 22. For a trunk with random
# weights, or with thousands of people, try .35.
COSFACE_MARGIN = 0.03
# Initial distance of sub-centers from their class mean, of length 1: small beside the distance to other
# classes, but enough for photos of a class to have different nearest sub-centers, which alone get gradients.
_APART = 0.05


class CosineClassifier(layers.Layer):  # type: ignore[misc]
    """Base class of classifiers with logits s · cos(x, w_k), and a margin on the own class.

    Features and the columns w of the kernel are scaled to length 1 (Wang, Xiang, Cheng and Yuille 2017,
    "NormFace: L2 Hypersphere Embedding for Face Verification"). With K sub-centers a class has K columns, and
    its cosine is the largest of K. A sub-class defines `with_margin`, which lowers the cosine of the label's
    class.

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

    Example:
        >>> class HalfCosine(CosineClassifier):
        ...     def with_margin(self, cosines):
        ...         return cosines / 2
        >>> logits = HalfCosine(3, scale=16.0, margin=0.0)(ops.ones((2, 4)), ops.array([0, 2]))
        >>> tuple(logits.shape)
        (2, 3)
    """

    def __init__(self, units: int, scale: float, margin: float, sub_centers: int = 1, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # cosines near 1 need more digits than float16 has
        if units < 1 or not scale > 0 or not margin >= 0 or sub_centers < 1:
            raise ValueError(
                f"{type(self).__name__}: expected units and sub_centers of at least 1, a scale above 0 and a "
                f"margin of at least 0, got {units}, {sub_centers}, {scale} and {margin}"
            )
        self.units, self.scale, self.margin, self.sub_centers = units, scale, margin, sub_centers

    def build(self, features_shape: Shape, *_: object) -> None:
        """Create the kernel, (dim, units · K); the K columns of a class lie side by side."""
        self.kernel = self.add_weight(
            shape=(features_shape[-1], self.units * self.sub_centers),
            initializer="glorot_uniform",
            name="kernel",
        )

    def call(self, features: Any, labels: Any = None) -> Any:
        """Return the logits (batch, units); with labels, with the margin."""
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
        """Lower cosines of any shape by the margin."""
        raise NotImplementedError

    def init_from_class_means(self, means: NDArray[np.float32]) -> None:
        """Set the kernel to class means (units, dim) float32, sub-centers at a small distance."""
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
        """Return the arguments of `from_config`."""
        return {
            **super().get_config(),
            "units": self.units,
            "scale": self.scale,
            "margin": self.margin,
            "sub_centers": self.sub_centers,
        }


@keras.saving.register_keras_serializable(package="embedder")
class ArcFace(CosineClassifier):
    """Returns logits with an angular margin: s · cos(θ + m) of the own class, else s · cos θ.

    Deng, Guo, Xue and Zafeiriou 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition".
    Beyond θ + m = π the cosine rises again, and would move a photo away from its class; there the logit is
    s · (cos θ + cos m - 1), which equals it at -s and falls with the angle.

    With K > 1 sub-centers θ is the angle to the nearest of K (Deng, Guo, Liu, Gong and Zafeiriou 2020,
    "Sub-center ArcFace: Boosting Face Recognition by Large-scale Noisy Web Faces"), so that a photo with a
    wrong label, or an unusual one, does not move the center of the others. See `CosineClassifier` for shapes,
    dtypes and errors.

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
        """Turn cos θ into cos(θ + m), for any shape."""
        # At sine 0, where a photo lies on its class, the gradient of the root is infinite.
        sines = ops.sqrt(ops.maximum(1 - ops.square(cosines), keras.config.epsilon()))
        with_angle = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines + math.cos(self.margin) - 1
        return ops.where(cosines > -math.cos(self.margin), with_angle, beyond)


@keras.saving.register_keras_serializable(package="embedder")
class CosFace(CosineClassifier):
    """Returns logits with a cosine margin: s · (cos θ - m) of the own class, else s · cos θ.

    Wang, Wang, Zhou, Ji, Gong, Zhou, Li and Liu 2018, "CosFace: Large Margin Cosine Loss for Deep Face
    Recognition". See `CosineClassifier` for shapes, dtypes and errors.

    Args:
        units: number of classes.
        scale: s, above 0.
        margin: m, 0 to 1.
        sub_centers: number of columns of each class, of which the largest cosine counts; at least 1.

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
        """Turn cos θ into cos θ - m, for any shape."""
        return cosines - self.margin
