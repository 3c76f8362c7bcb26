"""Define losses for `model.compile(loss=...)`: of embeddings or logits, by integer labels.

Importing this package imports Keras and registers the losses for `keras.models.load_model`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from embedder.losses.classification import (
    OneHotLoss,
    SmoothedCrossentropy,
    SoftFBeta,
    check_loss,
    one_hot_loss,
)
from embedder.losses.metric import (
    ContrastiveLoss,
    CosineTripletLoss,
    MetricLoss,
    QuadrupletLoss,
    TripletLoss,
    contrastive_loss,
)

__all__ = [
    "ContrastiveLoss",
    "CosineTripletLoss",
    "MetricLoss",
    "OneHotLoss",
    "QuadrupletLoss",
    "SmoothedCrossentropy",
    "SoftFBeta",
    "TripletLoss",
    "check_loss",
    "contrastive_loss",
    "get",
]

OF_LOGITS = {
    # From logits: a probability below 1e-38 would be 0 in float32, and its logarithm infinite.
    "crossentropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="softmax"),
    "softened": SmoothedCrossentropy,
    "f-beta": SoftFBeta,
}
OF_EMBEDDINGS = {
    "triplet": TripletLoss,
    "triplet-cosine": CosineTripletLoss,
    "quadruplet": QuadrupletLoss,
    "contrastive": ContrastiveLoss,
}


def get(loss: str | Callable[[Any, Any], Any]) -> keras.losses.Loss:
    """Return the loss of a name, with its default options.

    Args:
        loss: `triplet`, `triplet-cosine`, `quadruplet` or `contrastive`, of embeddings (batch, dim);
            `crossentropy`, `softened`, `f-beta`, a name of `keras.losses`, FILE.py:FUNCTION or a function of
            (one-hot targets, probabilities), all of which become a loss of logits (batch, classes). A
            `keras.losses.Loss` is returned as it is.

    Returns:
        A loss whose `y_true` is integer labels (batch,) or (batch, 1).

    Raises:
        UsageError: there is no such loss, or it cannot train a classifier; the message says why.

    Example:
        >>> get("triplet").margin
        0.2
        >>> get("mse").name
        'mean_squared_error'
    """
    if isinstance(loss, keras.losses.Loss):
        return loss
    known = OF_LOGITS | OF_EMBEDDINGS
    return known[loss]() if isinstance(loss, str) and loss in known else one_hot_loss(loss)
