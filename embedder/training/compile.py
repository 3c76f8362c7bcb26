"""Trunk to LiteRT: the network that enroll and identify run."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from embedder.bundle import FLOAT32
from embedder.errors import EmbedError
from embedder.quiet import quiet

AGREEMENT = 1e-4  # largest difference between Keras and LiteRT in any number of a unit vector


def compile_trunk(trunk: keras.Model, weights_as: str = FLOAT32) -> bytes:
    """Convert a trunk with TensorFlow's own converter.

    Args:
        trunk: (batch, size, size, 3) -> (batch, dim).
        weights_as: float32, or one of `WEIGHTS`. With int8, one scale a filter, each picture's activations
            are rounded to 8 bits too, by their own range: what else is in the batch changes nothing.

    Returns:
        A LiteRT flatbuffer with float32 input and output.
    """
    import tensorflow as tf

    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(trunk)
        if weights_as != FLOAT32:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weights_as == "float16":
            converter.target_spec.supported_types = [tf.float16]
        converted: bytes = converter.convert()
    return converted


def check_agreement(trained: NDArray[np.float32], compiled: NDArray[np.float32]) -> None:
    """Refuse a compiled network that does not compute what was trained.

    Args:
        trained: (n, dim) unit vectors of some pictures by Keras.
        compiled: the same by LiteRT.

    Raises:
        EmbedError: two unit vectors of the same picture differ by more than `AGREEMENT`.
    """
    difference = float(np.abs(trained - compiled).max())
    if not difference <= AGREEMENT:
        raise EmbedError(
            f"the compiled network differs from the trained one by {difference:.2g} (rounding is at "
            f"most {AGREEMENT:g}); this is a bug of the converter, please report it with the trunk's name"
        )
