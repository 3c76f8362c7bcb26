"""The list of detectors: names to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedder.faces.turned import AnyRotation

if TYPE_CHECKING:
    from embedder.config import DetectorConfig
    from embedder.faces.detection import Detector


def load_detector(config: DetectorConfig, threads: int = 1) -> Detector:
    """Load the detector that a configuration names."""
    from embedder.faces.search import BlazeFaceDetector

    detector: Detector = BlazeFaceDetector(config, threads)
    return AnyRotation(detector, config.overlap) if config.any_rotation else detector
