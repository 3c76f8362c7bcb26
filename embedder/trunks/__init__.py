"""List the trunks, build them with their starting weights, and run them.

A trunk is a `keras.Model` from (batch, size, size, 3) float32 RGB in 0..255 to (batch, dim) float32 features;
it includes its preprocessing. Each trunk has a module of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedder._internal.plugins import is_function, load_function
from embedder.config import (
    ARCFACE_LANDMARKS,
    DLIB_LANDMARKS,
    FACES,
    FINE_TUNING,
    FROM_SCRATCH,
    Landmarks,
    TrunkDefaults,
)
from embedder.errors import UsageError
from embedder.metrics import unit_vectors

if TYPE_CHECKING:
    import keras


BATCH = 16  # pictures at a time: with 32, half of what a small set needs would be padding


def features_of(trunk: keras.Model, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the features of pictures with a trunk.

    The last batch is filled up with black pictures to the same shape: TensorFlow then traces the network
    once, and JAX compiles it once, not again for each number of remaining pictures.

    Args:
        trunk: network from (batch, size, size, 3) to (batch, dim).
        crops: (n, size, size, 3) uint8 RGB.

    Returns:
        (n, dim) float32 features.
    """
    features = np.empty((len(crops), *trunk.output_shape[1:]), np.float32)
    for start in range(0, len(crops), BATCH):
        pictures = crops[start : start + BATCH]
        batch = np.zeros((BATCH, *crops.shape[1:]), np.float32)
        batch[: len(pictures)] = pictures
        # `predict` makes a dataset in each call: .06 s, more than a small trunk needs.
        features[start : start + BATCH] = trunk.predict_on_batch(batch)[: len(pictures)]
    return features


def embed_crops(trunk: keras.Model, crops: NDArray[np.uint8], mirror: bool) -> NDArray[np.float32]:
    """Compute unit vectors of crops with a trunk, equal to those of the extractor.

    Args:
        trunk: network from (batch, size, size, 3) to (batch, dim).
        crops: (n, size, size, 3) uint8 RGB.
        mirror: whether each vector is averaged with that of the mirror picture.

    Returns:
        (n, dim) float32, rows of unit length.
    """
    views = np.concatenate([crops, crops[:, :, ::-1]]) if mirror else crops
    return unit_vectors(features_of(trunk, views), mirror)


@dataclass(frozen=True)
class Trunk:
    """Describes a trunk that can be built.

    Attributes:
        name: name of the trunk, as given to `--trunk`.
        module: module whose `build_trunk` builds the trunk; or the user's FILE.py:FUNCTION, which is called
            with the side of the input.
        input_size: default side of the square input, in pixels.
        pretrained: whether its weights are trained, so that its vectors already separate people or things.
        schedule: training defaults of this kind of trunk.
        crop: default part of a picture that is a sample: `face` or `whole`.
        mirror: whether vectors are averaged with those of the mirror picture by default.
        landmarks: positions of five points of a face in a crop, (x, y) in shares of the side: left eye, right
            eye, nose tip, left and right mouth corner, as the viewer sees them.
        weights_as: type of the stored weights of the compiled network, `float32` or `float16`.
    """

    name: str
    module: str
    input_size: int
    pretrained: bool
    schedule: TrunkDefaults
    crop: str
    mirror: bool = True
    landmarks: Landmarks = ARCFACE_LANDMARKS
    weights_as: str = "float32"

    def build(
        self, input_size: int | None = None, weights: str | None = None, load_weights: bool = True
    ) -> keras.Model:
        """Build the network with its starting weights.

        Args:
            input_size: side of the square input in pixels; None: the default of the trunk.
            weights: file with the weights, for trunks that would download theirs.
            load_weights: whether weights are read or downloaded; False for a network whose weights are set
                afterwards.

        Returns:
            Network from (batch, size, size, 3) RGB in 0..255 to (batch, dim) float32 features.

        Raises:
            UsageError: the trunk cannot be built at this size, or takes no file of weights.
            MissingPackageError: the weights are not installed, or cannot be downloaded.
        """
        size = input_size or self.input_size
        if is_function(self.module):
            return _users_own(self.module, size, weights)
        model: keras.Model = importlib.import_module(self.module).build_trunk(
            self.name, size, weights, load_weights
        )
        return model


def _users_own(function: str, size: int, weights: str | None) -> keras.Model:
    if weights is not None:
        raise UsageError(f"--trunk-weights: {function} brings its own weights; use it with imagenet:<name>")
    build = load_function(function, "--trunk")
    try:
        model = build(size)
    except Exception as error:  # whatever a function of the user's own may raise
        raise UsageError(f"--trunk: {function} raised {type(error).__name__}: {error}") from error
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if shapes[0] != (None, size, size, 3) or not (isinstance(shapes[1], tuple) and len(shapes[1]) == 2):
        raise UsageError(
            f"--trunk: expected {function} to return a keras.Model from (batch, {size}, {size}, 3) to "
            f"(batch, dim), got {type(model).__name__} from {shapes[0]} to {shapes[1]}"
        )
    import keras

    image = keras.Input((size, size, 3), name="image")
    return keras.Model(image, model(image))


TRUNKS: Mapping[str, Trunk] = MappingProxyType(
    {
        trunk.name: trunk
        for trunk in (
            Trunk(
                "face-resnet", "embedder.trunks.face_resnet", 150, True, FACES, "face", True, DLIB_LANDMARKS
            ),
            # The mirror picture does not improve its vectors. In float16 it has 19 MB instead of 39, is as
            # fast, and distances change by .0013 at most (400 faces of ORL).
            Trunk(
                "sface",
                "embedder.trunks.sface",
                112,
                True,
                FACES,
                "face",
                mirror=False,
                weights_as="float16",
            ),
            Trunk("small-cnn", "embedder.trunks.small_cnn", 64, False, FROM_SCRATCH, "whole"),
        )
    }
)
IMAGENET = "imagenet:"


def find_trunk(name: str) -> Trunk:
    """Return the trunk of a name.

    Raises:
        UsageError: there is no trunk of this name.
    """
    if name in TRUNKS:
        return TRUNKS[name]
    if is_function(name):
        return Trunk(name, name, 64, False, FROM_SCRATCH, "whole")
    if name.startswith(IMAGENET) and len(name) > len(IMAGENET):
        return Trunk(name, "embedder.trunks.imagenet", 224, True, FINE_TUNING, "whole")
    raise UsageError(
        f"--trunk: expected {', '.join(TRUNKS)}, {IMAGENET}<name> or FILE.py:FUNCTION, got {name!r}"
    )


def load_trunk(name: str = "sface", input_size: int | None = None, weights: str | None = None) -> keras.Model:
    """Build a trunk with its starting weights, as a Keras model to train.

    Args:
        name: name of the trunk, as for `embed train --trunk`: `sface`, `face-resnet`, `small-cnn`,
            `imagenet:<name>` or FILE.py:FUNCTION.
        input_size: side of the square input in pixels; None: the default of the trunk.
        weights: file with the weights, for trunks that would download theirs.

    Returns:
        A model from (batch, size, size, 3) RGB in 0..255, any dtype, to (batch, dim) float32 features.

    Raises:
        UsageError: there is no such trunk, it cannot be built at this size, or takes no file of weights.
        MissingPackageError: the weights are not installed, or cannot be downloaded.

    Example:
        >>> load_trunk("small-cnn", input_size=32).output_shape
        (None, 128)
    """
    return find_trunk(name).build(input_size, weights)
