"""The only home of what a user may choose, each default with its reason."""

from embedder.config.faces import (
    CROPS,
    DETECTORS,
    DetectorConfig,
    ImageLimits,
    QualityLimits,
    limits_in_force,
    use_limits,
)
from embedder.config.training import FACES, FINE_TUNING, FROM_SCRATCH, FilledConfig, Schedule, TrainConfig

__all__ = [
    "CROPS",
    "DETECTORS",
    "FACES",
    "FINE_TUNING",
    "FROM_SCRATCH",
    "DetectorConfig",
    "FilledConfig",
    "ImageLimits",
    "QualityLimits",
    "Schedule",
    "TrainConfig",
    "limits_in_force",
    "use_limits",
]
