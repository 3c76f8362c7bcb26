"""A model folder at work: pictures to vectors on LiteRT, without TensorFlow."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder.bundle import Manifest, load_manifest, read_part
from embedder.config import DetectorConfig
from embedder.errors import ModelError
from embedder.faces.crops import Box, Crop, load_cropper
from embedder.faces.quality import Quality
from embedder.images import resize_to_square
from embedder.network import Network
from embedder.parallel import threads_here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BATCH = 32  # network inputs at a time; LiteRT's time per picture is flat from 8 upwards


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photo.

    Attributes:
        box: x, y, width and height in pixels of the upright photo; None when the whole picture is the
            sample, and so are the next two.
        points: (4, 2) float64 x and y of left eye, right eye, nose tip and mouth centre, as seen.
        quality: how well the face can be recognized.
        vector: (dim,) float32 of unit length.
    """

    box: Box | None
    points: NDArray[np.float64] | None
    quality: Quality | None
    vector: NDArray[np.float32]


class Extractor:
    """Turns pictures into unit vectors; the same picture gives the same vector in any batch.

    Threads may share it: each has a network and a detector of its own.

    Attributes:
        manifest: what the model is.
    """

    def __init__(
        self,
        manifest: Manifest,
        network: bytes,
        threads: int | None = None,
        finding: DetectorConfig | None = None,
    ) -> None:
        """Compile a network that was read and checked; see `load`."""
        self.manifest = manifest
        self._network, self._threads = network, threads
        self._own = threading.local()
        self._compiled()
        finding = finding or DetectorConfig(manifest.detector)
        self._cropper = load_cropper(manifest.crop, manifest.input_size, finding, threads)

    @classmethod
    def load(
        cls, folder: str | Path, threads: int | None = None, finding: DetectorConfig | None = None
    ) -> Extractor:
        """Read a model folder, checking what is used of it: the manifest and the network.

        Args:
            folder: as written by `embed train`.
            threads: of the network; None takes one a core that this process may use.
            finding: how faces are found; None: as in training.

        Raises:
            ModelError: the folder is no model, or the manifest or the network was changed.
        """
        manifest = load_manifest(folder)
        return cls(manifest, read_part(folder, manifest, "extractor"), threads, finding)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.manifest.dim

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides a vector."""
        return self.manifest.fingerprint

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Give the samples of a picture, not embedded: every face, the largest first, or the whole of it.

        Args:
            image: (height, width, 3) uint8 RGB.
        """
        return self._cropper.crops(image)

    def faces(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find, align and embed the faces of a picture, the largest first.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            The faces; none if there is none. With a model of whole pictures, the picture without a box.
        """
        crops = self.crops(image)
        vectors = self.embed([crop.chip for crop in crops])
        return [
            Face(crop.box, crop.points, crop.quality, vector)
            for crop, vector in zip(crops, vectors, strict=True)
        ]

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embed pictures, each as one sample.

        Args:
            images: (height, width, 3) uint8 RGB, of any sizes.

        Returns:
            (n, dim) float32, rows of unit length.

        Raises:
            ValueError: something that is no RGB picture.
            ModelError: the network gave numbers without a direction.
        """
        for index, image in enumerate(images):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ValueError(
                    f"images[{index}]: expected (height, width, 3) uint8, got {image.shape} {image.dtype}"
                )
        step = _BATCH // 2 if self.manifest.mirror else _BATCH
        size, network = self.manifest.input_size, self._compiled()
        vectors = np.empty((len(images), self.dim), np.float32)
        for start in range(0, len(images), step):
            chips = np.stack([resize_to_square(image, size) for image in images[start : start + step]])
            if self.manifest.mirror:
                features = network.run(np.concatenate([chips, chips[:, :, ::-1]]))
            else:
                features = network.run(chips)
            vectors[start : start + step] = unit_vectors(features, self.manifest.mirror)
        return vectors

    def _compiled(self) -> Network:
        """Give the network of this thread."""
        if not hasattr(self._own, "network"):
            size, dim = self.manifest.input_size, self.manifest.dim
            self._own.network = Network(self._network, size, dim, self._threads or threads_here())
        network: Network = self._own.network
        return network


def unit_vectors(features: NDArray[np.float32], mirrored: bool) -> NDArray[np.float32]:
    """Scale features to unit length, averaging each picture with its mirror picture.

    Args:
        features: (n, dim), or (2n, dim) if `mirrored`: all pictures, then all mirror pictures.
        mirrored: whether the second half belongs to mirror pictures.

    Returns:
        (n, dim) float32, rows of unit length.

    Raises:
        ModelError: a row is zero or not finite.
    """
    vectors = _unit(features)
    if mirrored:
        left, right = np.split(vectors, 2)
        vectors = _unit(left + right)
    return vectors


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise ModelError("the network gave a vector without a direction (zero or not finite); train it again")
    vectors: NDArray[np.float32] = features / lengths
    return vectors
