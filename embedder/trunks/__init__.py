"""The networks before the head: pictures in, features out; one file a trunk.

A trunk is a `keras.Model` from (batch, size, size, 3) float32 RGB in 0..255 to (batch, dim) float32; its
preprocessing is part of it, so that no caller can forget it.
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


# Places of five points in a crop, left to right as the viewer sees them: left eye, right eye, nose tip,
# left mouth corner, right mouth corner; each as (x, y) in shares of the crop's side.
BATCH = 16  # pictures that a trunk is given at a time: of 32, a small set would be half padding


def features_of(trunk: keras.Model, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a trunk over pictures: (n, size, size, 3) uint8 -> (n, dim) float32.

    The last batch is filled up with black, so that all are of one shape: TensorFlow traces the network once
    then, and JAX compiles it once, not again for each number of pictures that is left over.
    """
    features = np.empty((len(crops), *trunk.output_shape[1:]), np.float32)
    for start in range(0, len(crops), BATCH):
        some = crops[start : start + BATCH]
        batch = np.zeros((BATCH, *crops.shape[1:]), np.float32)
        batch[: len(some)] = some
        # `predict` makes a dataset in each call: .06 s, more than a small trunk needs.
        features[start : start + BATCH] = trunk.predict_on_batch(batch)[: len(some)]
    return features


def embed_crops(trunk: keras.Model, crops: NDArray[np.uint8], mirror: bool) -> NDArray[np.float32]:
    """Unit vectors (n, dim) of crops, as the extractor will give them."""
    views = np.concatenate([crops, crops[:, :, ::-1]]) if mirror else crops
    return unit_vectors(features_of(trunk, views), mirror)


@dataclass(frozen=True)
class Trunk:
    """What is known of a trunk before it is built.

    Attributes:
        name: as given to `--trunk`.
        module: what builds it, or FILE.py:FUNCTION of the user's own, called with the side of the input.
        input_size: side of its square input in pixels, unless chosen otherwise.
        pretrained: whether its weights already tell identities apart.
        schedule: learning rate and epochs that suit it.
        crop: which part of a picture it is made for, unless chosen otherwise.
        mirror: whether its vectors are means with those of the mirror picture, unless chosen otherwise.
        landmarks: where it expects the points of a face, in shares of the side.
        weights_as: what the weights of the compiled network are stored as, float32 or float16.
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
            input_size: side of the square input in pixels; None takes the trunk's own.
            weights: a file with the weights, for trunks that fetch theirs.
            load_weights: False opens and fetches no file: for a model that brings its own tensors.

        Raises:
            UsageError: the trunk cannot be built at this size, or takes no file of weights.
            MissingPackageError: the weights are not there.
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
            # The mirror picture adds nothing to its vectors; in float16: 19 MB instead of 39, as fast,
            # and a distance moves by .0013 at most (400 faces of ORL).
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
    """Look a trunk up by name.

    Raises:
        UsageError: there is none of this name.
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
    """Build a trunk with its starting weights, as a Keras model to train or to put a head on.

    Args:
        name: as given to `embed train --trunk`: `sface`, `face-resnet`, `small-cnn`, `imagenet:<name>` or
            FILE.py:FUNCTION.
        input_size: side of the square input in pixels; None takes the trunk's own.
        weights: a file with the weights, for trunks that fetch theirs.

    Returns:
        A model from (batch, size, size, 3) RGB in 0..255, any dtype, to (batch, dim) float32 features.

    Raises:
        UsageError: there is no such trunk, or it cannot be built so.
        MissingPackageError: the weights are not there.

    Example:
        >>> load_trunk("small-cnn", input_size=32).output_shape
        (None, 128)
    """
    return find_trunk(name).build(input_size, weights)
