"""Convert a Keras network to LiteRT, the format that enroll and identify run.

TensorFlow's converter takes networks of Keras on TensorFlow alone, so what was trained on another back end is
built again and converted in a process of its own (`compile_apart`). `check_agreement` compares the vectors.
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

# Largest difference between Keras and LiteRT in any number of a unit vector, by what weights are stored as:
# that of other sums, and for float16 that of rounding (SFace on ORL: .0011), several times over.
AGREEMENT = {FLOAT32: 1e-4, "float16": 5e-3}


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
    """Refuse a compiled network that does not compute what was trained.

    Args:
        trained: (n, dim) unit vectors of some pictures by Keras.
        compiled: the same by LiteRT.
        weights_as: what the compiled network's weights are stored as, float32 or float16.

    Raises:
        EmbedError: two unit vectors of the same picture differ by more than `AGREEMENT`.
    """
    difference, limit = float(np.abs(trained - compiled).max()), AGREEMENT[weights_as]
    if not difference <= limit:
        raise EmbedError(
            f"the compiled network differs from the trained one by {difference:.2g} (rounding is at "
            f"most {limit:g}); this is a bug of the converter, please report it with the trunk's name"
        )


def compile_apart(trunk: str, input_size: int, weights: bytes) -> bytes:
    """Build a trunk on TensorFlow in another process, give it weights, and convert it.

    It takes as long as importing TensorFlow, and works whatever back end this process has.

    Args:
        trunk: as given to `--trunk`.
        input_size: side of its square input in pixels.
        weights: safetensors, named so that their order is that of `get_weights`.

    Returns:
        A LiteRT flatbuffer with weights as the trunk wants them, `Trunk.weights_as`.

    Raises:
        EmbedError: the other process failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "weights.safetensors"), Path(folder, "extractor.tflite")
        given.write_bytes(weights)
        done = subprocess.run(
            [sys.executable, "-m", __name__, trunk, str(input_size), given, made],
            env={
                **os.environ,
                "KERAS_BACKEND": "tensorflow",
                "CUDA_VISIBLE_DEVICES": "",  # their memory is with the process that trains
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
