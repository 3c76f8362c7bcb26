"""How many bits training computes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras

FLOAT32, MIXED = "float32", "mixed_float16"


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Let what is built in this block compute as asked; weights are float32 in any case.

    Mixed precision (Micikevicius et al. 2018) computes layers in float16 and scales the loss so that small
    gradients do not vanish; heads stay in float32.

    Args:
        name: `float32`, `mixed`, or `auto`: mixed on a GPU. On a CPU float16 is emulated and slower.
    """
    mixed = name == "mixed" or (name == "auto" and _has_gpu())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(MIXED if mixed else FLOAT32)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _has_gpu() -> bool:
    return any(device.startswith("gpu") for device in keras.distribution.list_devices())


def in_float32(trunk: keras.Model, build: Callable[[], keras.Model]) -> keras.Model:
    """Give a trunk that computes in float32 with the weights of this one.

    Args:
        trunk: trained.
        build: makes the same network anew.
    """
    if trunk.compute_dtype == FLOAT32 and trunk.output.dtype == FLOAT32:
        return trunk
    plain = build()
    plain.set_weights(trunk.get_weights())
    return plain
