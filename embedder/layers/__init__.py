"""Define Keras layers for training: centers, margins, penalties, losses with a memory.

All compute in float32, also under mixed precision: their sums are too small or too large for float16.
Importing this package imports Keras and registers the layers for `keras.models.load_model`.
"""

from __future__ import annotations

from embedder.layers.auxiliary import (
    ActivityPenalty,
    AuxiliaryLoss,
    CrossBatchMemory,
    Distillation,
    MetricLossLayer,
    TrackedVariables,
    mean_of_output,
)
from embedder.layers.center import CenterDistance, CenterLoss, DenseWithCenterLoss
from embedder.layers.margin import ArcFace, CosFace, CosineClassifier
from embedder.layers.split import SplitHalves

__all__ = [
    "ActivityPenalty",
    "ArcFace",
    "AuxiliaryLoss",
    "CenterDistance",
    "CenterLoss",
    "CosFace",
    "CosineClassifier",
    "CrossBatchMemory",
    "DenseWithCenterLoss",
    "Distillation",
    "MetricLossLayer",
    "SplitHalves",
    "TrackedVariables",
    "mean_of_output",
]
