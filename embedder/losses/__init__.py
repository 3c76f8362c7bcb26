"""What a head that classifies is trained by; one file a loss.

A loss compares labels y (batch,) int32 with logits z (batch, classes) float32; p = softmax(z).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from embedder.config import TrainConfig

LOSSES = {
    "crossentropy": "embedder.losses.crossentropy",
    "softened": "embedder.losses.softened",
    "f-beta": "embedder.losses.f_beta",
}


@dataclass(frozen=True)
class Loss:
    """The classification term of a training model.

    Attributes:
        name: in the log, before `_loss`: "softmax" for cross-entropy, as softmax loss is what papers call it.
        function: (labels, logits) -> a number, or one per sample.
        parameters: numbers of the loss that may move during training, by the option that sets them.
    """

    name: str
    function: keras.losses.Loss
    parameters: Mapping[str, keras.Variable] = field(default_factory=dict)


def find_loss(config: TrainConfig) -> Loss:
    """Find the loss that `config.loss` asks for.

    It is one of `LOSSES`, a loss of `keras.losses` by its class or function name, `FILE.py:FUNCTION`, or,
    from Python, a function itself; see `embedder.losses.by_name` for what such a function is given.

    Raises:
        UsageError: there is no such loss, or it cannot stand in for the classification term.
    """
    home = LOSSES.get(str(config.loss), "embedder.losses.by_name")
    loss: Loss = importlib.import_module(home).build(config)
    return loss
