"""What stands on a trunk during training, and is dropped afterwards; one file a head.

A head turns features into a training model. Its log says `loss`, the parts of it by names that end in
`_loss`, and, of a head that classifies, `accuracy`. Symbols: x features (batch, dim), y labels (batch,), W
(dim, classes) and b (classes,) the classifier, c (classes, dim) the centers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embedder._internal.plugins import is_function, load_function
from embedder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras
    import numpy as np
    from numpy.typing import NDArray

    from embedder.config import FilledConfig

HEADS = {
    "softmax": "embedder.heads.softmax",
    "center": "embedder.heads.center",
    "center-embedding": "embedder.heads.center_embedding",
    "arcface": "embedder.heads.arcface",
    "cosface": "embedder.heads.cosface",
    "subcenter-arcface": "embedder.heads.subcenter_arcface",
    "triplet": "embedder.heads.triplet",
    "triplet-cosine": "embedder.heads.triplet_cosine",
    "quadruplet": "embedder.heads.quadruplet",
    "contrastive": "embedder.heads.contrastive",
}


@dataclass(frozen=True)
class Stem:
    """What a head stands on.

    Attributes:
        inputs: of the training model so far, by name; "image" (batch, size, size, 3) and "label" (batch,)
            int32 are among them.
        features: (batch, dim), what the head is given.
        clean: (batch, dim), made from the picture alone, without what training adds; None: `features`.
    """

    inputs: Mapping[str, keras.KerasTensor]
    features: keras.KerasTensor
    clean: keras.KerasTensor | None = None

    @property
    def label(self) -> keras.KerasTensor:
        """Whose picture each is, (batch,) int32."""
        return self.inputs["label"]


@dataclass(frozen=True)
class Head:
    """A trunk with a head on it, and how to train it.

    Attributes:
        model: takes the inputs of the stem; what it gives is compared with `targets`.
        compile: loss, weights and metrics for `keras.Model.compile`.
        targets: labels (batch,) -> what the outputs are compared with.
        start_from: sets classifier and centers from class means (classes, dim); None if there are none.
        parameters: numbers of the loss that may move during training, by the option that sets them.
        parts: models that share weights with the training model, for use by themselves: "predict" gives
            probabilities (batch, classes) from pictures alone.
    """

    model: keras.Model
    compile: Mapping[str, Any]
    targets: Callable[[NDArray[np.int32]], Any]
    start_from: Callable[[NDArray[np.float32]], None] | None = None
    parameters: Mapping[str, keras.Variable] = field(default_factory=dict)
    parts: Mapping[str, keras.Model] = field(default_factory=dict)


def build_head(config: FilledConfig, stem: Stem, classes: int) -> Head:
    """Put a head on features; `embedder.training.validation` says which options go with which head.

    Args:
        config: which head, and its options. `FILE.py:FUNCTION` is a function of the user's own that is called
            as this one is.
        stem: the features and what they are made from.
        classes: identities to tell apart.

    Raises:
        UsageError: there is no such head, or an option has a value that it cannot use.
    """
    if is_function(config.head):
        head = load_function(config.head, "--head")(config, stem, classes)
        if not isinstance(head, Head):
            made = type(head).__name__
            raise UsageError(f"--head: expected {config.head} to return an embedder.heads.Head, got a {made}")
        return head
    if config.head not in HEADS:
        raise UsageError(f"--head: expected {', '.join(HEADS)} or FILE.py:FUNCTION, got {config.head!r}")
    built: Head = importlib.import_module(HEADS[config.head]).build(config, stem, classes)
    return built
