"""Turn photos into crops of aligned faces or whole pictures, and choose the main face."""

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
    """Load a face detector with the settings of a configuration.

    Args:
        config: settings of the detection.
        network: detector network, a LiteRT flatbuffer.
        threads: number of threads of the network at the largest picture size.
    """
    from embedder.faces.search import YuNetDetector

    detector: Detector = YuNetDetector(network, config, threads)
    return RotationSearch(detector, config.overlap) if config.any_rotation else detector


@dataclass(frozen=True)
class Cropping:
    """Holds the settings of a cropper.

    Attributes:
        crop: part of a picture that is a sample, `face` or `whole`.
        size: side of a crop in pixels.
        landmarks: positions of `detection.POINTS` in a crop of a face, in shares of its side; None with
            whole pictures.
        finding: settings of the detection.
        network: detector network, a LiteRT flatbuffer; None with whole pictures.
    """

    crop: str
    size: int
    landmarks: Landmarks | None = None
    finding: DetectorConfig = field(default_factory=DetectorConfig)
    network: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Crop:
    """Holds a sample of a picture: an aligned face, or the whole picture.

    Attributes:
        pixels: (size, size, 3) uint8 RGB, the input of the network.
        box: x, y, width and height of the face in pixels of the upright photo, within its border. Of a whole
            picture `box`, `points` and `quality` are None.
        points: (5, 2) float64 x and y of `detection.POINTS`, in pixels of the photo.
        quality: measures of how well the face can be recognized.
    """

    pixels: NDArray[np.uint8]
    box: Box | None = None
    points: NDArray[np.float64] | None = None
    quality: Quality | None = None


class Cropper(Protocol):
    """Finds the samples of a picture."""

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Find the samples of a (height, width, 3) uint8 RGB picture, the largest first."""

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        """Find out why `crops` found no face in a (height, width, 3) uint8 RGB picture, or None."""


class WholeImageCropper:
    """Turns each picture into one sample."""

    def __init__(self, size: int) -> None:
        """Set the side of the crops, `size` pixels."""
        self._size = size

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Fit a (height, width, 3) uint8 RGB picture into a square; one crop."""
        return [Crop(resize_to_square(image, self._size))]

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        """Return None, since every picture has a crop."""
        return None


class FaceCropper:
    """Turns each face of a picture into a crop, aligned for a network; makes a detector for each thread.

    Example:
        >>> from embedder import TRUNKS, FaceCropper
        >>> cropper = FaceCropper(112, TRUNKS["sface"].landmarks)
        >>> cropper.crops(np.zeros((240, 320, 3), np.uint8))
        []
    """

    def __init__(
        self,
        size: int,
        template: Landmarks,
        config: DetectorConfig | None = None,
        *,
        network: bytes | None = None,
        threads: int | None = 1,
    ) -> None:
        """Store the settings; a detector is loaded on first use in a thread.

        Args:
            size: side of the crops in pixels.
            template: (5, 2) positions of `detection.POINTS` in a crop, in shares of its side; a trunk's own
                are `TRUNKS[name].landmarks`.
            config: settings of the detection; None: the defaults.
            network: detector network, a LiteRT flatbuffer; None: that of the built-in model, which is made on
                first use.
            threads: number of threads of the detector at the largest picture size; None: one per core, or one
                within a worker of `map_in_order`.

        Raises:
            ValueError: the size is below 1, or the template has another shape or is not finite.
        """
        self._size, self._landmarks = size, np.array(template, np.float64)
        if size < 1:
            raise ValueError(f"size of a crop is at least 1 pixel, not {size}")
        if self._landmarks.shape != (5, 2) or not np.isfinite(self._landmarks).all():
            raise ValueError(f"template is 5 finite points, (5, 2), not {self._landmarks.shape}")
        self._config, self._network, self._threads = config or DetectorConfig(), network, threads
        self._own = threading.local()

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Find and align the faces of a (height, width, 3) uint8 RGB picture, largest first.

        Faces of the same size are sorted from left to right.
        """
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
        """Find out why `crops` found no face; takes several times as long as `crops`."""
        from embedder.faces.missed import why_missed

        def find(picture: NDArray[np.uint8], config: DetectorConfig) -> list[Detection]:
            return self._load(config).find(picture)

        return why_missed(image, find, self._config)

    def _detector(self) -> Detector:
        if not hasattr(self._own, "detector"):
            self._own.detector = self._load(self._config)
        detector: Detector = self._own.detector
        return detector

    def _load(self, config: DetectorConfig) -> Detector:
        if self._network is None:
            from embedder.built_in import load_built_in

            self._network = load_built_in().parts["detector"]
        return load_detector(config, self._network, self._threads or threads_here())


def load_cropper(cropping: Cropping, threads: int | None = 1) -> Cropper:
    """Make the cropper of some settings.

    Args:
        cropping: settings of the cropper.
        threads: number of threads of the detector at the largest picture size; None: one per core, or one
            within a worker of `map_in_order`.

    Raises:
        ValueError: faces are to be cropped, and there are no landmarks or no network.
    """
    if cropping.crop == "whole":
        return WholeImageCropper(cropping.size)
    if cropping.landmarks is None or cropping.network is None:
        raise ValueError("crops of faces take the trunk's landmarks and the detector's network")
    return FaceCropper(
        cropping.size, cropping.landmarks, cropping.finding, network=cropping.network, threads=threads
    )


def main_face(crops: Sequence[Crop], shape: tuple[int, ...]) -> Crop:
    """Choose the main face of a photo: the largest, weighted by its distance to the center.

    The weight of a face falls from 1 in the center of the photo to 1/2 in a corner.

    Args:
        crops: crops of the photo, at least one.
        shape: height and width of the photo.
    """

    def weight(crop: Crop) -> float:
        if crop.box is None:
            return 0.0
        x, y, width, height = crop.box
        distance = math.hypot(x + width / 2 - shape[1] / 2, y + height / 2 - shape[0] / 2)
        return max(width, height) * (1 - distance / math.hypot(*shape[:2]))

    return max(crops, key=weight)


def main_or_at(crops: Sequence[Crop], shape: tuple[int, ...], box: Sequence[float] | None) -> Crop:
    """Choose the face whose center is nearest to that of a box; without a box, the main face.

    Args:
        crops: crops of the photo, at least one.
        shape: height and width of the photo.
        box: x, y, width and height in pixels of the photo; None: the face of `main_face`.
    """
    if box is None:
        return main_face(crops, shape)
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2

    def distance(crop: Crop) -> float:
        if crop.box is None:
            return 0.0
        return math.hypot(crop.box[0] + crop.box[2] / 2 - x, crop.box[1] + crop.box[3] / 2 - y)

    return min(crops, key=distance)


def several_faces_note(faces: int) -> str | None:
    """Return a note that a photo has several faces and which is used; None with one face."""
    return f"{count(faces, 'face')}; the largest, most central one is used" if faces > 1 else None


def in_short(reason: str | None) -> str | None:
    """Return a reason without the advice behind its semicolon, for a caption."""
    return reason and reason.partition(";")[0]


def _largest_first(crop: Crop) -> tuple[float, ...]:
    assert crop.box is not None
    x, y, width, height = crop.box
    return (-width * height, x, y)
