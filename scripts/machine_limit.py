"""What a network needs, and what the machine can do at most: multiply-adds against the matrix product."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

SIDES = (512, 1024, 2048, 3072)  # of the matrices that are multiplied
REPEATS = 6
INSTRUCTIONS = ("asimd", "asimddp", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


def multiply_adds(network: Any) -> int:
    """Count the multiply-adds of a Keras network for one input: kernels times the places they are applied at.

    Raises:
        ValueError: a layer has a kernel and is none of those that can be counted.
    """
    import keras

    counted = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif isinstance(layer, counted):
            total += math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        elif any(len(weight.shape) > 1 for weight in layer.weights):
            raise ValueError(
                f"{layer.name}: expected convolutions and dense layers, got {type(layer).__name__}"
            )
    return total


def matrix_product(threads: int) -> float:
    """Billions of float32 operations a second, a multiply-add being two: the best of several sizes.

    By the BLAS that numpy brings.
    """
    best = 0.0
    with threadpool_limits(threads, user_api="blas"):
        for side in SIDES:
            a, b = np.random.default_rng(0).random((2, side, side), np.float32)
            for _ in range(REPEATS):
                start = time.perf_counter()
                a @ b
                best = max(best, 2 * side**3 / (time.perf_counter() - start) / 1e9)
    return best


def blas() -> str:
    """Name what numpy multiplies matrices with, and for which processor its code is."""
    own = [info for info in threadpool_info() if info["user_api"] == "blas" and "numpy" in info["filepath"]]
    return ", ".join(f"{info['internal_api']} {info['version']} {info['architecture']}" for info in own)


def instructions() -> list[str]:
    """Those of the processor that matter to matrix products; none where /proc does not say."""
    path = Path("/proc/cpuinfo")
    words = set(path.read_text().split()) if path.exists() else set()
    return [name for name in INSTRUCTIONS if name in words]
