"""The trunk as a head sees it: its features, with what training adds to them."""

from __future__ import annotations

import keras

from embedder.config import TrainConfig
from embedder.heads import Stem


def build_stem(config: TrainConfig, trunk: keras.Model) -> Stem:
    """Put the inputs of training on a trunk.

    Args:
        config: what is added.
        trunk: (batch, size, size, 3) -> (batch, dim).
    """
    label = keras.Input((), dtype="int32", name="label")
    return Stem({"image": trunk.input, "label": label}, trunk.output)
