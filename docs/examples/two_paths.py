"""A trunk of one's own: fine detail and the large picture side by side."""

import keras
from keras import layers


def two_paths(input_size):
    """Side of the square input in pixels -> model from (batch, side, side, 3) in 0..255 to (batch, 64)."""
    image = keras.Input((input_size, input_size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    fine = layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    large = layers.Conv2D(32, 9, strides=4, activation="relu")(x)
    paths = [layers.GlobalMaxPooling2D()(layers.Conv2D(64, 3)(path)) for path in (fine, large)]
    return keras.Model(image, layers.Dense(64)(layers.Concatenate()(paths)))
