"""Cross-entropy: mean_i -log p_{i, y_i}."""

from __future__ import annotations

import keras

from embedder.config import TrainConfig
from embedder.losses import Loss


def build(config: TrainConfig) -> Loss:
    """Make it; from logits, so that no probability is rounded to zero before its logarithm."""
    return Loss("softmax", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
