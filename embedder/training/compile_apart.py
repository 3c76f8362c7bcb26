"""Trunk to LiteRT in a process of its own: the converter takes networks of Keras on TensorFlow alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from embedder.errors import EmbedError


def compile_apart(trunk: str, input_size: int, trunk_weights: str | None, weights: bytes) -> bytes:
    """Build a trunk anew on TensorFlow, give it weights, and convert it.

    It takes as long as importing TensorFlow, and works whatever back end this process has.

    Args:
        trunk: as given to `--trunk`.
        input_size: side of its square input in pixels.
        trunk_weights: as given to `--trunk-weights`; the trunk may not be built without.
        weights: safetensors, named so that their order is that of `get_weights`.

    Returns:
        A LiteRT flatbuffer in float32.

    Raises:
        EmbedError: the other process failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "weights.safetensors"), Path(folder, "extractor.tflite")
        given.write_bytes(weights)
        done = subprocess.run(
            [sys.executable, "-m", __name__, trunk, str(input_size), trunk_weights or "", given, made],
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


def _main(trunk: str, input_size: str, trunk_weights: str, given: str, made: str) -> None:
    from safetensors.numpy import load_file

    from embedder.quiet import import_keras
    from embedder.trunks import find_trunk

    import_keras()
    from embedder.training.compile import compile_trunk

    network = find_trunk(trunk).build(int(input_size), trunk_weights or None)
    tensors = load_file(given)
    network.set_weights([tensors[name] for name in sorted(tensors)])
    Path(made).write_bytes(compile_trunk(network))


if __name__ == "__main__":
    _main(*sys.argv[1:])
