"""Softmax alone: the control that center loss is compared with."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from embedder.config import TrainConfig
from embedder.heads import Head, Stem

# Sharpness of the first classifier: at 20 the nearest class mean of the frozen face trunk gets a
# probability that leaves something to learn; the raw statistics would make it certain at once.
SHARPNESS = 20.0


def build(config: TrainConfig, stem: Stem, classes: int) -> Head:
    """Build W x + b on the trunk, trained by cross-entropy."""
    classifier = layers.Dense(classes, name="softmax")
    return Head(
        model=keras.Model(dict(stem.inputs), classifier(stem.features)),
        compile=softmax_compile(),
        targets=lambda labels: labels,
        start_from=lambda means: classifier.set_weights(list(nearest_mean_classifier(means))),
    )


def softmax_compile() -> dict[str, object]:
    """Cross-entropy from logits and its log, for a model whose only output is the logits."""
    return {
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": [
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="softmax_loss"),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    }


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
