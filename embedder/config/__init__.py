"""Define all options of a user, each with its default and the reason for it."""

from embedder.config.devices import DeviceConfig
from embedder.config.faces import (
    ARCFACE_LANDMARKS,
    CROPS,
    DLIB_LANDMARKS,
    DetectorConfig,
    ImageLimits,
    Landmarks,
    QualityLimits,
    limits_in_force,
    use_limits,
)
from embedder.config.models import BUILT_IN, FORMATS, WEIGHTS
from embedder.config.schedule import FACES, FINE_TUNING, FROM_SCRATCH, TrunkDefaults
from embedder.config.training import FilledConfig, TrainConfig

__all__ = [
    "ARCFACE_LANDMARKS",
    "BUILT_IN",
    "CROPS",
    "DLIB_LANDMARKS",
    "FACES",
    "FINE_TUNING",
    "FORMATS",
    "FROM_SCRATCH",
    "WEIGHTS",
    "DetectorConfig",
    "DeviceConfig",
    "FilledConfig",
    "ImageLimits",
    "Landmarks",
    "QualityLimits",
    "TrainConfig",
    "TrunkDefaults",
    "limits_in_force",
    "use_limits",
]
