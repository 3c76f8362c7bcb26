"""Turn a photo into crops: each face, aligned, or the whole image; choose the main face."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedder._internal.runtime import threads_here
from embedder._internal.wording import count
from embedder.config import DetectorConfig, Landmarks
from embedder.faces.align import Similarity, warp_square
from embedder.faces.detection import RotationSearch, part_within
from embedder.faces.quality import Quality, assess_quality
from embedder.images import resize_to_square

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedder.faces.detection import Detection, Detector


Box = tuple[int, int, int, int]
NO_FACE = "no face found; --min-face looks for smaller ones, --any-rotation for turned ones"


def load_detector(config: DetectorConfig, network: bytes, threads: int = 1) -> Detector:
    """Load the detector that a configuration names.

    Args:
        config: how faces are looked for.
        network: the detector's, a LiteRT flatbuffer.
        threads: of the look at the largest size.
    """
    from embedder.faces.search import YuNetDetector

    detector: Detector = YuNetDetector(network, config, threads)
    return RotationSearch(detector, config.overlap) if config.any_rotation else detector


@dataclass(frozen=True)
class Cropping:
    """Which part of a picture is a sample, and how it is found.

    Attributes:
        crop: `face` or `whole`; what follows the size is for faces alone.
        size: side of a crop in pixels.
        landmarks: where `detection.POINTS` come to lie on it, as shares of its side.
        finding: how faces are looked for.
        network: the detector's, a LiteRT flatbuffer.
    """

    crop: str
    size: int
    landmarks: Landmarks | None = None
    finding: DetectorConfig = field(default_factory=DetectorConfig)
    network: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Crop:
    """The part of a picture that is one sample.

    Attributes:
        pixels: (size, size, 3) uint8 RGB, what the network sees.
        box: x, y, width and height of the face in pixels of the upright photo, within its border; None when
            the whole picture is the sample, and so are the next two.
        points: (5, 2) float64 x and y of `detection.POINTS`.
        quality: how well the face can be recognized.
    """

    pixels: NDArray[np.uint8]
    box: Box | None = None
    points: NDArray[np.float64] | None = None
    quality: Quality | None = None


class Cropper(Protocol):
    """Gives the samples of a picture."""

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Give the samples of a (height, width, 3) uint8 RGB picture, the largest first."""

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        """Say why `crops` gave none, if that can be told."""


class WholeImageCropper:
    """Every picture is one sample."""

    def __init__(self, size: int) -> None:
        """Make crops of `size` pixels."""
        self._size = size

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Give the picture, fitted into a square."""
        return [Crop(resize_to_square(image, self._size))]

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        """Say nothing: there is always a crop."""
        return None


class FaceCropper:
    """Every face of a picture is a sample. Threads may share it: each finds with a detector of its own."""

    def __init__(self, cropping: Cropping, threads: int | None = 1) -> None:
        """Prepare to cut faces.

        Args:
            cropping: with a template and a detector.
            threads: of the detector's largest network; None: one a core, or one where work is side by side.

        Raises:
            ValueError: there is no template or no detector.
        """
        if cropping.landmarks is None or cropping.network is None:
            raise ValueError("crops of faces take the trunk's landmarks and the detector's network")
        self._size, self._landmarks = cropping.size, np.array(cropping.landmarks)
        self._finding, self._network, self._threads = cropping.finding, cropping.network, threads
        self._own = threading.local()

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Give the aligned faces, the largest first; equally large ones from left to right."""
        detector = self._detector()
        target = self._landmarks * self._size
        crops = []
        for face in detector.find(image):
            if (part := part_within(face.box, image.shape)) is None:
                continue
            to_crop = Similarity.fit(face.points, target)
            pixels = warp_square(image, to_crop, self._size)
            quality = assess_quality(image, face)
            (left, top), (right, bottom) = map(math.floor, part[:2]), map(math.ceil, part[2:])
            crops.append(Crop(pixels, (left, top, right - left, bottom - top), face.points, quality))
        return sorted(crops, key=_largest_first)

    def why_missed(self, image: NDArray[np.uint8]) -> str:
        """Say why `crops` gave none; takes several times as long as they do."""
        from embedder.faces.missed import why_missed

        def find(picture: NDArray[np.uint8], config: DetectorConfig) -> list[Detection]:
            assert self._network is not None
            return load_detector(config, self._network, self._threads or threads_here()).find(picture)

        return why_missed(image, find, self._finding)

    def _detector(self) -> Detector:
        if not hasattr(self._own, "detector"):
            self._own.detector = load_detector(self._finding, self._network, self._threads or threads_here())
        detector: Detector = self._own.detector
        return detector


def load_cropper(cropping: Cropping, threads: int | None = 1) -> Cropper:
    """Give what turns pictures into samples.

    Args:
        cropping: which part of a picture is a sample.
        threads: of the detector's largest network; None: one a core, or one where work is side by side.
    """
    return WholeImageCropper(cropping.size) if cropping.crop == "whole" else FaceCropper(cropping, threads)


def main_face(crops: Sequence[Crop], shape: tuple[int, ...]) -> Crop:
    """Choose whom a photo shows: the largest face, one at the border counting half of one in the middle.

    Args:
        crops: of one photo, at least one.
        shape: height and width of the photo.
    """

    def weight(crop: Crop) -> float:
        if crop.box is None:
            return 0.0
        x, y, width, height = crop.box
        off = math.hypot(x + width / 2 - shape[1] / 2, y + height / 2 - shape[0] / 2)
        return max(width, height) * (1 - off / math.hypot(*shape[:2]))

    return max(crops, key=weight)


def main_or_at(crops: Sequence[Crop], shape: tuple[int, ...], box: Sequence[float] | None) -> Crop:
    """Give the crop whose middle is nearest to that of a box; without a box, the `principal` one.

    Args:
        crops: of one photo, at least one.
        shape: height and width of the photo.
        box: x, y, width and height in pixels.
    """
    if box is None:
        return main_face(crops, shape)
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2

    def off(crop: Crop) -> float:
        if crop.box is None:
            return 0.0
        return math.hypot(crop.box[0] + crop.box[2] / 2 - x, crop.box[1] + crop.box[3] / 2 - y)

    return min(crops, key=off)


def several_faces_note(faces: int) -> str | None:
    """Say that a photo of one person shows others too, and what was done about it."""
    return f"{count(faces, 'face')}; the largest, most central one is used" if faces > 1 else None


def in_short(reason: str | None) -> str | None:
    """Give what is wrong with a photo without the advice that follows it, for a caption."""
    return reason and reason.partition(";")[0]


def _largest_first(crop: Crop) -> tuple[float, ...]:
    assert crop.box is not None
    x, y, width, height = crop.box
    return (-width * height, x, y)
