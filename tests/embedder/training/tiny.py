"""A small network of one's own: what tests of training wait for is mostly the tracing of its layers."""

from __future__ import annotations

from dataclasses import replace

import keras

from tests.conftest import SMALL


def build(input_size: int) -> keras.Model:
    """Build it with random weights: pictures (n, input_size, input_size, 3) in 0..255 -> (n, 16)."""
    image = keras.Input((input_size, input_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(16, use_bias=False)(x), name="tiny")


TINY = replace(SMALL, trunk=f"{__file__}:build")
