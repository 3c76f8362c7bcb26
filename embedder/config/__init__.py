"""The only home of what a user may choose, each default with its reason."""

from embedder.config.faces import (
    CROPS,
    DetectorConfig,
    ImageLimits,
    Landmarks,
    QualityLimits,
)
from embedder.config.training import FACES, FINE_TUNING, FROM_SCRATCH, FilledConfig, Schedule, TrainConfig

__all__ = [
    "CROPS",
    "FACES",
    "FINE_TUNING",
    "FROM_SCRATCH",
    "DetectorConfig",
    "FilledConfig",
    "ImageLimits",
    "Landmarks",
    "QualityLimits",
    "Schedule",
    "TrainConfig",
]
