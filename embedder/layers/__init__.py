"""Keras layers for training embeddings: centers, margins, penalties, and losses with a memory.

All compute in float32, also under mixed precision: what they add up is too small or too large for half.
Importing this package imports Keras and lets `keras.models.load_model` know the layers.
"""

from __future__ import annotations

from embedder.layers.auxiliary import (
    ActivityPenalty,
    AuxiliaryLoss,
    CrossBatchMemory,
    Distillation,
    MetricLossLayer,
    SplitHalves,
    TrackedVariables,
    mean_of_output,
)
from embedder.layers.center import CenterDistance, CenterLoss, DenseWithCenterLoss
from embedder.layers.margin import ArcFace, CosFace, CosineClassifier

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
