"""Convert a Keras network to LiteRT, the format that enrollment and identification run.

TensorFlow's converter needs networks of Keras on TensorFlow, so a network trained on another back end is
built again and converted in a separate process (`compile_apart`). `check_agreement` compares the vectors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedder._internal.runtime import quiet
from embedder.errors import EmbedError
from embedder.model_folder import FLOAT32

if TYPE_CHECKING:
    import keras

# Largest allowed difference of a number of a unit vector between Keras and LiteRT, by the type of stored
# weights: several times the one measured, by the order of sums, and for float16 by rounding (SFace on ORL:
# .0011).
AGREEMENT = {FLOAT32: 1e-4, "float16": 5e-3}


def compile_trunk(trunk: keras.Model, weights_as: str = FLOAT32) -> bytes:
    """Convert a trunk with TensorFlow's converter.

    Args:
        trunk: network from (batch, size, size, 3) to (batch, dim).
        weights_as: type of the stored weights, `float32` or one of `WEIGHTS`. With int8 each filter has a
            scale, and activations are rounded to 8 bits by the range of each picture, so that vectors do not
            depend on the batch.

    Returns:
        A LiteRT flatbuffer with float32 input and output.
    """
    import tensorflow as tf

    image = trunk.inputs[0]
    signature = [tf.TensorSpec(image.shape, tf.float32, name=image.name)]
    variables = tf.Module()
    variables.all = [variable.value for variable in trunk.variables]
    with quiet():
        # `from_keras_model` traces the network three times: for face-resnet 9 s instead of 4.
        run = tf.function(lambda image: trunk(image, training=False), signature, autograph=False)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], variables)
        if weights_as != FLOAT32:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if weights_as == "float16":
            converter.target_spec.supported_types = [tf.float16]
        converted: bytes = converter.convert()
    return converted


def check_agreement(
    trained: NDArray[np.float32], compiled: NDArray[np.float32], weights_as: str = FLOAT32
) -> None:
    """Check that a compiled network computes the same vectors as the trained one.

    Args:
        trained: (n, dim) float32 unit vectors of pictures by Keras.
        compiled: (n, dim) float32 unit vectors of the same pictures by LiteRT.
        weights_as: type of the compiled network's stored weights, `float32` or `float16`.

    Raises:
        EmbedError: two numbers differ by more than `AGREEMENT`.
    """
    difference, limit = float(np.abs(trained - compiled).max()), AGREEMENT[weights_as]
    if not difference <= limit:
        raise EmbedError(
            f"the compiled network differs from the trained one by {difference:.2g} (rounding is at "
            f"most {limit:g}); this is a bug of the converter, please report it with the trunk's name"
        )


def compile_apart(trunk: str, input_size: int, weights: bytes) -> bytes:
    """Build a trunk with some weights on TensorFlow in another process, and convert it.

    It works with any back end of this process.

    Args:
        trunk: name of the trunk, as given to `--trunk`.
        input_size: side of the square input in pixels.
        weights: tensors in the format safetensors, with names sorted in the order of `get_weights`.

    Returns:
        A LiteRT flatbuffer with weights of the type `Trunk.weights_as`.

    Raises:
        EmbedError: the other process failed; the message has the end of its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "weights.safetensors"), Path(folder, "extractor.tflite")
        given.write_bytes(weights)
        done = subprocess.run(
            [sys.executable, "-m", __name__, trunk, str(input_size), given, made],
            env={
                **os.environ,
                "KERAS_BACKEND": "tensorflow",
                "CUDA_VISIBLE_DEVICES": "",  # the training process holds the memory of the GPUs
            },
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode or not made.exists():
            raise EmbedError(
                f"compiling {trunk} failed in a process of its own, with exit code {done.returncode}: "
                f"{done.stderr.strip()[-2000:]}"
            )
        return made.read_bytes()


def _main(trunk: str, input_size: str, given: str, made: str) -> None:
    from safetensors.numpy import load_file

    from embedder._internal.runtime import import_keras
    from embedder.trunks import find_trunk

    import_keras()

    facts = find_trunk(trunk)
    network = facts.build(int(input_size), load_weights=False)
    tensors = load_file(given)
    network.set_weights([tensors[name] for name in sorted(tensors)])
    Path(made).write_bytes(compile_trunk(network, facts.weights_as))


if __name__ == "__main__":
    _main(*sys.argv[1:])
