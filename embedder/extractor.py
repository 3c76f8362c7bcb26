"""Turn images into unit vectors with the networks of a model folder, on LiteRT."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.runtime import Progress, quiet, threads_here
from embedder._internal.wording import count
from embedder.built_in import load_built_in
from embedder.config import BUILT_IN, DetectorConfig
from embedder.errors import ModelError
from embedder.faces.crop import Box, Crop, Cropping, load_cropper
from embedder.faces.quality import Quality
from embedder.images import resize_to_square
from embedder.metrics import unit_vectors
from embedder.model_folder import Manifest, read_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_BATCH = 32  # network inputs at a time; from 8 upwards LiteRT's time per picture is the same


class LiteRTNetwork:
    """Runs a compiled network on LiteRT, in one thread: the runtime has one set of buffers."""

    def __init__(self, content: bytes, size: int, dim: int, threads: int) -> None:
        """Load a compiled network, and check its shapes.

        Args:
            content: content of the LiteRT file.
            size: expected side of a crop in pixels.
            dim: expected length of a feature vector.
            threads: number of threads of the network.

        Raises:
            ModelError: the file is no LiteRT network, or has other shapes or types.
        """
        from ai_edge_litert.interpreter import Interpreter

        if content[4:8] != b"TFL3":
            raise ModelError("the extractor is not a LiteRT network; train again or copy the folder afresh")
        try:
            with quiet():  # LiteRT announces its delegate on standard error
                self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise _cannot_run(error) from error
        shapes = list(self._input["shape"][1:]), list(self._output["shape"][1:])
        if shapes != ([size, size, 3], [dim]):
            raise ModelError(f"the extractor maps {shapes}; its manifest says {[size, size, 3]}, {[dim]}")
        kinds = {self._input["dtype"], self._output["dtype"]}
        if kinds != {np.float32}:
            raise ModelError(f"the extractor computes with {kinds}, expected float32; train again")
        self._batch, self._dim = 0, dim

    def run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the features of crops.

        Args:
            crops: (n, size, size, 3) uint8 RGB.

        Returns:
            (n, dim) float32 features.

        Raises:
            ModelError: the network fails, or its result has another shape.
        """
        index = self._input["index"]
        try:
            if len(crops) != self._batch:
                self._interpreter.resize_tensor_input(index, crops.shape)
                self._interpreter.allocate_tensors()
                self._batch = len(crops)
            self._interpreter.set_tensor(index, crops.astype(np.float32))
            self._interpreter.invoke()
            features: NDArray[np.float32] = self._interpreter.get_tensor(self._output["index"])
        except (ValueError, RuntimeError) as error:
            raise _cannot_run(error) from error
        if features.shape != (len(crops), self._dim):
            raise ModelError(
                f"the extractor gave {features.shape} for {count(len(crops), 'picture')}, expected "
                f"{(len(crops), self._dim)}; train again or copy the folder afresh"
            )
        return features


def _cannot_run(error: Exception) -> ModelError:
    reason = " ".join(str(error).split())  # LiteRT's messages have several lines
    return ModelError(f"the extractor cannot be run: {reason}; train again or copy the folder afresh")


@dataclass(frozen=True, eq=False)
class Face:
    """Holds a face of a photo with its vector.

    Attributes:
        box: x, y, width and height in pixels of the upright photo. With a model of whole pictures `box`,
            `points` and `quality` are None.
        points: (5, 2) float64 x and y, in pixels, of left eye, right eye, nose tip, left and right mouth
            corner, as the viewer sees them.
        quality: measures of how well the face can be recognized.
        vector: (dim,) float32 of unit length.

    Example:
        >>> faces = Extractor.load().faces(load_image("photo.jpg"))
        >>> boxes = [face.box for face in faces]
    """

    box: Box | None
    points: NDArray[np.float64] | None
    quality: Quality | None
    vector: NDArray[np.float32]


class Extractor:
    """Turns pictures into unit vectors; a picture has the same vector in any batch.

    Threads may share an extractor: it makes a network and a detector for each thread.

    Attributes:
        manifest: manifest of the model folder.
        finding: settings of the face detection; None with a model of whole pictures.

    Example:
        >>> extractor = Extractor.load()
        >>> vectors = [face.vector for face in extractor.faces(load_image("photo.jpg"))]
    """

    def __init__(
        self,
        manifest: Manifest,
        network: bytes,
        detector: bytes | None = None,
        threads: int | None = None,
        finding: DetectorConfig | None = None,
    ) -> None:
        """Load networks that were read and checked; see `load`.

        Args:
            manifest: manifest of the model folder.
            network: content of the file `extractor` of the model folder.
            detector: content of the file `detector`; None: faces cannot be found, only crops embedded.
            threads: number of threads of each network; None: as for `load`.
            finding: settings of the face detection; None: those of training.

        Raises:
            ModelError: a network cannot be used.
        """
        self.manifest = manifest
        self._network, self._detector, self._threads = network, detector, threads
        self._own = threading.local()
        self._compiled()
        self._cropper = None
        self.finding = (finding or manifest.detector.settings) if manifest.detector else None
        if manifest.detector is None or detector is not None:
            finding = self.finding or DetectorConfig()
            size, landmarks = manifest.input_size, manifest.landmarks
            self._cropper = load_cropper(Cropping(manifest.crop, size, landmarks, finding, detector), threads)

    @classmethod
    def load(
        cls,
        folder: str | Path | None = None,
        threads: int | None = None,
        finding: DetectorConfig | None = None,
        progress: Progress | None = None,
    ) -> Extractor:
        """Read a model folder, and check the files that are used: manifest and networks.

        Args:
            folder: model folder, as written by `embed train`. None and the text "built-in" stand for the
                built-in model, which is made on first use and then kept in the user's cache
                (docs/built-in.md).
            threads: number of threads of each network; None: one per core that this process may use.
            finding: settings of the face detection; None: those of training.
            progress: gets a message when the built-in model is made.

        Raises:
            ModelError: the folder is no model folder, or its manifest or a network was changed.
            MissingPackageError: the weights of the built-in model are not installed, or in another version.

        Example:
            >>> extractor = Extractor.load()  # or Extractor.load("embed-model")
            >>> faces = extractor.faces(load_image("photo.jpg"))
        """
        if folder is None or folder == BUILT_IN:
            model = load_built_in(progress)
            parts = model.parts
            return cls(model.manifest, parts["extractor"], parts.get("detector"), threads, finding)
        manifest, parts = read_model(folder, ("extractor", "detector"))
        return cls(manifest, parts["extractor"], parts.get("detector"), threads, finding)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.manifest.dim

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that determines a vector; see `Manifest.fingerprint`."""
        return self.manifest.fingerprint

    @property
    def parts(self) -> dict[str, bytes]:
        """Content of the network files by name: `extractor` and, if there is one, `detector`."""
        return {"extractor": self._network} | ({"detector": self._detector} if self._detector else {})

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Find the samples of a picture: crops of all faces, the largest first; or the picture.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            The crops; with a model of whole pictures one, the picture.

        Raises:
            ModelError: this extractor was made without the network that finds faces.
        """
        if self._cropper is None:
            raise ModelError("expected the network that finds faces, got none; use Extractor.load")
        return self._cropper.crops(image)

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        """Find out why `crops` found no face: it is too small, dark, uncertain or cut off.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            The reason, as the end of a sentence; None if no reason was found. The search takes several times
            as long as `crops`, in the picture reduced to at most 2 megapixels.
        """
        return self._cropper.why_missed(image) if self._cropper is not None else None

    def faces(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find, align and embed the faces of a picture, the largest first.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            The faces, an empty list if there is none. With a model of whole pictures one, without a box.

        Raises:
            ModelError: this extractor was made without the network that finds faces.
        """
        crops = self.crops(image)
        vectors = self.embed([crop.pixels for crop in crops])
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
            ValueError: an array has another shape or dtype.
            ModelError: the network returned zeros, or numbers that are not finite.
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
            crops = np.stack([resize_to_square(image, size) for image in images[start : start + step]])
            if self.manifest.mirror:
                features = network.run(np.concatenate([crops, crops[:, :, ::-1]]))
            else:
                features = network.run(crops)
            vectors[start : start + step] = unit_vectors(features, self.manifest.mirror)
        return vectors

    def _compiled(self) -> LiteRTNetwork:
        """Return the network of this thread; it is loaded on first use."""
        if not hasattr(self._own, "network"):
            size, dim = self.manifest.input_size, self.manifest.dim
            self._own.network = LiteRTNetwork(self._network, size, dim, self._threads or threads_here())
        network: LiteRTNetwork = self._own.network
        return network
