"""Split a trunk behind its frozen layers, whose output is computed once for each view."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np


@dataclass(frozen=True)
class CutTrunk:
    """Holds the two parts of a trunk, which share its weights.

    Attributes:
        early: frozen layers, from pictures (batch, size, size, 3) to the input of `late`; None without frozen
            layers.
        late: other layers, from the output of `early` to features (batch, dim); the trunk itself if `early`
            is None.
    """

    early: keras.Model | None
    late: keras.Model

    @property
    def nbytes(self) -> int:
        """Bytes of the output of `early` for a picture, in float16; without it of the picture."""
        if self.early is None:
            return int(np.prod(self.late.input_shape[1:]))
        return 2 * int(np.prod(self.early.output_shape[1:]))


def cut_trunk(trunk: keras.Model) -> CutTrunk:
    """Split a trunk at the last tensor before any trainable weight that all paths go through.

    Args:
        trunk: trunk whose first layers are frozen (`embedder.optimizers.freeze_layers`).

    Example:
        >>> trunk = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(2)])
        >>> trunk.layers[0].trainable = False
        >>> cut_trunk(trunk).early.output_shape
        (None, 2)
    """
    network = getattr(trunk, "_functional", None) or trunk  # the functional model of a Sequential
    layers = list(getattr(network, "operations", ()))
    if not layers:  # a subclassed model, whose layers have no known order
        return CutTrunk(None, trunk)
    places = {id(layer): place for place, layer in enumerate(layers)}
    first_trained = next(
        (place for place, layer in enumerate(layers) if getattr(layer, "trainable_variables", ())),
        len(layers) - 1,
    )
    best = 0
    for place in range(1, first_trained):
        later = (
            places[id(tensor._keras_history.operation)]
            for layer in layers[place + 1 :]
            for node in layer._inbound_nodes
            for tensor in node.input_tensors
            if id(tensor._keras_history.operation) in places
        )
        if all(source >= place for source in later) and len(layers[place]._inbound_nodes) >= 1:
            best = place
    if not any(getattr(layer, "weights", ()) for layer in layers[: best + 1]):
        return CutTrunk(None, trunk)
    between = layers[best].output
    rest = keras.Model(between, network.output)
    given = keras.Input(between.shape[1:], name="image")
    return CutTrunk(keras.Model(network.input, between), keras.Model(given, rest(given)))
