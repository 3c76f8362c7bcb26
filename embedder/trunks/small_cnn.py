"""Build a small convolutional network with random weights, for unusual kinds of pictures."""

from __future__ import annotations

import keras
from keras import layers

from embedder.errors import UsageError

DIM = 128
_FILTERS = (
    32,
    64,
    128,
    256,
)  # doubled each time the picture is halved, as in VGG (Simonyan and Zisserman 2015)


def build_trunk(
    name: str, input_size: int, weights: str | None = None, load_weights: bool = True
) -> keras.Model:
    """Build the trunk: (batch, input_size, input_size, 3) in 0..255 -> (batch, 128).

    Args:
        name: name of the model.
        input_size: side of the square input in pixels.
        weights: must be None; this trunk takes no file of weights.
        load_weights: ignored; the weights are random.

    Raises:
        UsageError: a file of weights was given.
    """
    if weights is not None:
        raise UsageError(f"--trunk-weights: {name} starts from nothing; use it with imagenet:<name>")
    image = keras.Input((input_size, input_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters in _FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(DIM, use_bias=False)(x), name=name)
