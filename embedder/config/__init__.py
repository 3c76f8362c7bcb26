"""The only home of what a user may choose, each default with its reason."""

from embedder.config.answers import EvaluationConfig, IdentifyConfig
from embedder.config.faces import CROPS, DETECTORS, DetectorConfig, QualityLimits
from embedder.config.images import ImageLimits
from embedder.config.training import FACES, FINE_TUNING, FROM_SCRATCH, FilledConfig, Schedule, TrainConfig

__all__ = [
    "CROPS",
    "DETECTORS",
    "FACES",
    "FINE_TUNING",
    "FROM_SCRATCH",
    "DetectorConfig",
    "EvaluationConfig",
    "FilledConfig",
    "IdentifyConfig",
    "ImageLimits",
    "QualityLimits",
    "Schedule",
    "TrainConfig",
]
