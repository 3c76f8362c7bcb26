"""Run a model folder: images to unit vectors on LiteRT, without TensorFlow."""

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
from embedder.model_folder import Manifest, load_manifest, read_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_BATCH = 32  # network inputs at a time; LiteRT's time per picture is flat from 8 upwards


class LiteRTNetwork:
    """A compiled network. Not safe to share between threads: the runtime keeps one set of buffers."""

    def __init__(self, content: bytes, size: int, dim: int, threads: int) -> None:
        """Compile a network that was read and checked.

        Args:
            content: of the LiteRT file.
            size: side of a crop in pixels, as it should be.
            dim: numbers of a feature vector, as it should be.
            threads: to compute with.

        Raises:
            ModelError: it is no LiteRT network, or another one than expected.
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
        """Give the features of crops.

        Args:
            crops: (n, size, size, 3) uint8 RGB.

        Returns:
            (n, dim) float32.

        Raises:
            ModelError: the network fails.
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
    reason = " ".join(str(error).split())  # LiteRT says it in several lines
    return ModelError(f"the extractor cannot be run: {reason}; train again or copy the folder afresh")


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photo.

    Attributes:
        box: x, y, width and height in pixels of the upright photo; None when the whole picture is the
            sample, and so are the next two.
        points: (5, 2) float64 x and y of left eye, right eye, nose tip and the corners of the mouth, left
            to right as seen.
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
        finding: how faces are found; None with a model of whole pictures.
    """

    def __init__(
        self,
        manifest: Manifest,
        network: bytes,
        detector: bytes | None = None,
        threads: int | None = None,
        finding: DetectorConfig | None = None,
    ) -> None:
        """Compile networks that were read and checked; see `load`.

        Args:
            manifest: what the model is.
            network: the extractor part of the model folder.
            detector: its detector part; without one, faces cannot be found, only crops embedded.
            threads: as for `load`.
            finding: as for `load`.
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
        """Read a model folder, checking what is used of it: the manifest and the network.

        Args:
            folder: as written by `embed train`. None and the text "built-in" stand for the built-in model,
                which is made on first use and then kept in the user's cache (docs/built-in.md).
            threads: of the network; None takes one a core that this process may use.
            finding: how faces are found; None: as in training.
            progress: hears that the built-in model is made.

        Raises:
            ModelError: the folder is no model, or the manifest or the network was changed.
            MissingPackageError: the built-in model's weights are not installed, or not the published ones.

        Example:
            >>> extractor = Extractor.load()  # or Extractor.load("embed-model")
            >>> faces = extractor.faces(load_image("photo.jpg"))
        """
        if folder is None or folder == BUILT_IN:
            model = load_built_in(progress)
            parts = model.parts
            return cls(model.manifest, parts["extractor"], parts.get("detector"), threads, finding)
        manifest = load_manifest(folder)
        detector = read_part(folder, manifest, "detector") if manifest.detector else None
        return cls(manifest, read_part(folder, manifest, "extractor"), detector, threads, finding)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.manifest.dim

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides a vector."""
        return self.manifest.fingerprint

    @property
    def parts(self) -> dict[str, bytes]:
        """Content of each network by its name, `extractor` and, if faces can be found, `detector`."""
        return {"extractor": self._network} | ({"detector": self._detector} if self._detector else {})

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        """Give the samples of a picture, not embedded: every face, the largest first, or the whole of it.

        Args:
            image: (height, width, 3) uint8 RGB.

        Raises:
            ModelError: this extractor was made without the network that finds faces.
        """
        if self._cropper is None:
            raise ModelError("expected the network that finds faces, got none; use Extractor.load")
        return self._cropper.crops(image)

    def why_missed(self, image: NDArray[np.uint8]) -> str | None:
        """Say of a picture of which `crops` gave none why: a face is too small, dark, uncertain or cut.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            The reason, as the end of a sentence; None if nothing can be told. It takes several times as long
            as `crops`, at most 2 megapixels are looked at.
        """
        return self._cropper.why_missed(image) if self._cropper is not None else None

    def faces(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find, align and embed the faces of a picture, the largest first.

        Args:
            image: (height, width, 3) uint8 RGB.

        Returns:
            The faces; none if there is none. With a model of whole pictures, the picture without a box.
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
            crops = np.stack([resize_to_square(image, size) for image in images[start : start + step]])
            if self.manifest.mirror:
                features = network.run(np.concatenate([crops, crops[:, :, ::-1]]))
            else:
                features = network.run(crops)
            vectors[start : start + step] = unit_vectors(features, self.manifest.mirror)
        return vectors

    def _compiled(self) -> LiteRTNetwork:
        """Give the network of this thread."""
        if not hasattr(self._own, "network"):
            size, dim = self.manifest.input_size, self.manifest.dim
            self._own.network = LiteRTNetwork(self._network, size, dim, self._threads or threads_here())
        network: LiteRTNetwork = self._own.network
        return network
