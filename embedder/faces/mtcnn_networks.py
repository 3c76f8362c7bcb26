"""MTCNN's three networks, run by numpy.

They are the files that the wheel `mtcnn` carries (MIT). Only these files are used: its code needs TensorFlow
and gigabytes for the photo of a phone, and unpickles files of their names from the current folder if there
are any. The networks are so small that numpy is as fast.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedder.errors import MissingPackageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# joblib unpickles, which can run code: only what is known byte for byte is given to it.
_SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


class Network:
    """Convolutions with PReLU, a pool after some of them, at most one dense layer, and linear outputs."""

    def __init__(self, name: str, pools: tuple[int, ...]) -> None:
        """Load the weights.

        Args:
            name: `pnet`, `rnet` or `onet`.
            pools: for each convolution, the side of the pool that follows; 0 is none.

        Raises:
            MissingPackageError: the package that carries them is not there.
        """
        weights = _weights(name)
        self._pools = pools
        self._convolutions = [weights[3 * i : 3 * i + 3] for i in range(len(pools))]
        rest = weights[3 * len(pools) :]  # pairs, one for each output; before them, a dense layer's three
        self._dense, pairs = (rest[:3], rest[3:]) if len(rest) % 2 else ([], rest)
        self._outputs = list(zip(pairs[::2], pairs[1::2], strict=True))

    def __call__(self, pixels: NDArray[np.uint8]) -> list[Floats]:
        """Run the network.

        Args:
            pixels: (n, height, width, 3) uint8 RGB.

        Returns:
            Its outputs, the last of them two logits: no face, a face. (n, k) of networks with a dense layer,
            else (n, rows, columns, k).
        """
        x = np.multiply(pixels, np.float32(1 / 128), dtype=np.float32)
        x -= np.float32(127.5 / 128)
        for (kernel, bias, slope), pool in zip(self._convolutions, self._pools, strict=True):
            x = _prelu(_convolve(x, kernel, bias), slope)
            if pool:
                x = _pool(x, pool)
        if self._dense:
            kernel, bias, slope = self._dense
            columns_first = x.transpose(0, 2, 1, 3)  # as in the package, which transposes too
            x = _prelu(columns_first.reshape(len(x), len(kernel)) @ kernel + bias, slope)
        return [x @ kernel.reshape(kernel.shape[-2:]) + bias for kernel, bias in self._outputs]


def _convolve(x: Floats, kernel: Floats, bias: Floats) -> Floats:
    side, _, channels, outputs = kernel.shape
    height, width = x.shape[1] - side + 1, x.shape[2] - side + 1
    shifted = [x[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    columns = np.concatenate(shifted, axis=-1).reshape(-1, side * side * channels)
    y = columns @ kernel.reshape(-1, outputs)
    y += bias
    return y.reshape(len(x), height, width, outputs)


def _prelu(x: Floats, slope: Floats) -> Floats:
    """Multiply what is negative by the slope, in place."""
    negative = np.minimum(x, 0)
    negative *= slope - 1
    x += negative
    return x


def _pool(x: Floats, side: int) -> Floats:
    """Give the largest of each square, every second row and column; the last square may be cut off."""
    n, height, width, channels = x.shape
    rows, columns = ((length - side + 1) // 2 + 1 for length in (height, width))
    padded = np.full((n, 2 * rows + side - 2, 2 * columns + side - 2, channels), -np.inf, np.float32)
    padded[:, :height, :width] = x
    shifted = (
        padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
        for i in range(side)
        for j in range(side)
    )
    y = next(shifted).copy()
    for other in shifted:
        np.maximum(y, other, out=y)
    return y


@lru_cache
def _weights(name: str) -> list[Floats]:
    spec = importlib.util.find_spec("mtcnn")  # found, not imported: the package would load TensorFlow
    files = [
        Path(folder) / "assets" / "weights" / f"{name}.lz4"
        for folder in (spec and spec.submodule_search_locations) or ()
    ]
    file = next((file for file in files if file.is_file()), None)
    if file is None or not importlib.util.find_spec("lz4"):
        raise MissingPackageError(
            "finding faces with MTCNN needs the package mtcnn; `pip install 'embedder-enroll[mtcnn]'`"
        )
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise MissingPackageError(
            f"{file}: expected the networks of mtcnn 1.0.0, got others; `pip install mtcnn==1.0.0`"
        )
    import joblib

    weights: list[Floats] = joblib.load(io.BytesIO(content))
    return weights
