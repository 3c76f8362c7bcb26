"""What stands on a trunk during training, and is dropped afterwards; one file a head.

A head turns a trunk into a compiled-ready training model whose log says `loss`, `softmax_loss`, `accuracy`
and, where there are centers, `center_loss`. Symbols: x features (batch, dim), y labels (batch,), W (dim,
classes) and b (classes,) the classifier, c (classes, dim) the centers.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras
    import numpy as np
    from numpy.typing import NDArray

HEADS = {
    "center": "embedder.heads.center",
    "center-embedding": "embedder.heads.center_embedding",
    "softmax": "embedder.heads.softmax",
}


@dataclass(frozen=True)
class Head:
    """A trunk with a head on it, and how to train it.

    Attributes:
        model: takes {"image": (batch, size, size, 3), "label": (batch,)}; gives the logits (batch,
            classes), alone or as the output "softmax" beside others.
        compile: loss, weights and metrics for `keras.Model.compile`.
        targets: labels (batch,) -> what the outputs are compared with.
        start_from: sets classifier and centers from class means (classes, dim).
    """

    model: keras.Model
    compile: dict[str, Any]
    targets: Callable[[NDArray[np.int32]], Any]
    start_from: Callable[[NDArray[np.float32]], None]


def build_head(name: str, trunk: keras.Model, classes: int, center_weight: float, center_rate: float) -> Head:
    """Put a head on a trunk.

    Args:
        name: one of `HEADS`.
        trunk: pictures to features.
        classes: identities to tell apart.
        center_weight: λ; `softmax` has no centers and ignores it.
        center_rate: α, or 0: the optimizer moves the centers.

    Raises:
        UsageError: there is no head of this name.
    """
    if name not in HEADS:
        raise UsageError(f"--head: expected {', '.join(HEADS)}, got {name!r}")
    head: Head = importlib.import_module(HEADS[name]).build(trunk, classes, center_weight, center_rate)
    return head
