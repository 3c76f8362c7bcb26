"""Train a network on photos of people, and turn photos into unit vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder._internal import lazy_names

if TYPE_CHECKING:
    from embedder import callbacks, layers, losses, metrics, optimizers
    from embedder._internal.runtime import Progress
    from embedder.config import DetectorConfig, DeviceConfig, TrainConfig
    from embedder.errors import EmbedError
    from embedder.export.formats import export_model
    from embedder.export.quantize import quantize_model
    from embedder.export.saving import save_model
    from embedder.extractor import Extractor, Face
    from embedder.faces.crop import FaceCropper
    from embedder.faces.quality import assess_quality
    from embedder.folders import LabelledFolder, scan_folder
    from embedder.images import load_image
    from embedder.model_folder import load_manifest
    from embedder.training.run import TrainResult, train
    from embedder.trunks import TRUNKS, load_trunk

    __version__: str

__all__ = [
    "TRUNKS",
    "DetectorConfig",
    "DeviceConfig",
    "EmbedError",
    "Extractor",
    "Face",
    "FaceCropper",
    "LabelledFolder",
    "Progress",
    "TrainConfig",
    "TrainResult",
    "__version__",
    "assess_quality",
    "callbacks",
    "export_model",
    "layers",
    "load_image",
    "load_manifest",
    "load_trunk",
    "losses",
    "metrics",
    "optimizers",
    "quantize_model",
    "save_model",
    "scan_folder",
    "train",
]

__getattr__ = lazy_names(
    __name__,
    {
        "DetectorConfig": "config",
        "DeviceConfig": "config",
        "EmbedError": "errors",
        "Extractor": "extractor",
        "Face": "extractor",
        "FaceCropper": "faces.crop",
        "LabelledFolder": "folders",
        "Progress": "_internal.runtime",
        "TRUNKS": "trunks",
        "TrainConfig": "config",
        "TrainResult": "training.run",
        "assess_quality": "faces.quality",
        "export_model": "export.formats",
        "load_image": "images",
        "load_manifest": "model_folder",
        "load_trunk": "trunks",
        "quantize_model": "export.quantize",
        "save_model": "export.saving",
        "scan_folder": "folders",
        "train": "training.run",
    },
    modules=("callbacks", "layers", "losses", "metrics", "optimizers"),
)
