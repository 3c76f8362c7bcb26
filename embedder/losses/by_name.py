"""Losses of `keras.losses`, and of the user's own, in the place of cross-entropy.

What a loss is given, (y_true, y_pred):

- a function of the user's own, and most of `keras.losses`: y_true (batch, classes) float32, one-hot, and
  y_pred (batch, classes) float32, the probabilities softmax(z);
- a loss of Keras that cannot be given those: y_true (batch,), the labels;
- losses of Keras made for a softmax (the categorical cross-entropies): y_pred (batch, classes), the logits z,
  and they are told so; it is the same number, but does not round off where p is near 0;
- hinge losses: y_pred (batch, classes), the logits z: they want scores beyond ±1.

It gives (batch,), a number per sample, or (), one for the batch, made of `keras.ops`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from embedder._internal.plugins import is_function, load_function
from embedder.config import TrainConfig
from embedder.errors import UsageError
from embedder.losses import LOSSES, Loss
from embedder.losses.probe import find_fault

_TAKEN = {"center", "penalty", "rehearsal", "softmax"}  # these lines of the log say something else


def build(config: TrainConfig) -> Loss:
    """Find the loss and try it on a few samples.

    Raises:
        UsageError: there is no such loss, or it cannot stand in for the classification term.
    """
    if isinstance(config.loss, str) and not is_function(config.loss):
        name, ways = _of_keras(config.loss)
    else:
        own = load_function(config.loss, "--loss") if isinstance(config.loss, str) else config.loss
        name, ways = _name_of(own), [ClasswiseLoss(own)]
    faults = []
    for function in ways:
        fault = find_fault(function)
        if fault is None:
            return Loss(name, function)
        faults.append(fault)
    # Targets of the wrong shape say nothing about the loss, if with the others it did give numbers.
    reason = min(faults, key=lambda fault: fault.startswith("it raised"))
    raise UsageError(
        f"--loss: {name} cannot stand in for the cross-entropy of a classifier: {reason}; "
        f"try {', '.join(LOSSES)} or another loss of keras.losses"
    )


@keras.saving.register_keras_serializable(package="embedder")
class ClasswiseLoss(keras.losses.Loss):  # type: ignore[misc]
    """Gives any (y_true, y_pred) the targets and predictions it expects.

    Args:
        function: a loss of Keras or a function.
        sparse: whether its y_true is the labels (batch,), not one-hot (batch, classes).
        logits: whether its y_pred is the logits, not probabilities.

    Call arguments:
        y_true: (batch,) integer.
        y_pred: logits (batch, classes).

    Example:
        >>> loss = ClasswiseLoss(keras.losses.mean_squared_logarithmic_error)
    """

    def __init__(
        self, function: Callable[[Any, Any], Any], sparse: bool = False, logits: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**{"name": "classwise", **kwargs})
        self.function, self.sparse, self.logits = function, sparse, logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return what the function gives, (batch,) or ()."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return self.function(
            labels if self.sparse else ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype),
            y_pred if self.logits else ops.softmax(y_pred, axis=-1),
        )

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs; to load a function of the user's own, Keras must know it."""
        return {
            **super().get_config(),
            "function": keras.saving.serialize_keras_object(self.function),
            "sparse": self.sparse,
            "logits": self.logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClasswiseLoss:
        """Make the same loss."""
        return cls(**{**config, "function": keras.saving.deserialize_keras_object(config["function"])})


def keras_losses() -> dict[str, type[keras.losses.Loss]]:
    """Give the losses of Keras by their names in snake_case."""
    made = {
        value
        for value in vars(keras.losses).values()
        if inspect.isclass(value) and issubclass(value, keras.losses.Loss) and value is not keras.losses.Loss
    }
    functions = {_key(name): name for name in vars(keras.losses) if name.islower()}
    return {functions.get(_key(one.__name__), one.__name__): one for one in sorted(made, key=_name_of)}


def _of_keras(asked: str) -> tuple[str, list[ClasswiseLoss]]:
    """Find a loss of Keras, and the ways in which it may be given targets."""
    losses = keras_losses()
    by_key = {_key(name): name for name in losses}
    try:
        alias = keras.losses.get(asked).__name__  # "mse" and the like
    except (ValueError, AttributeError, TypeError):
        alias = asked
    name = by_key.get(_key(asked)) or by_key.get(_key(alias))
    if name is None:
        raise UsageError(
            f"--loss: expected {', '.join(LOSSES)}, FILE.py:FUNCTION, or one of keras.losses "
            f"({', '.join(losses)}), got {asked!r}"
        )
    kind = losses[name]
    softmax = "categorical" in name and "from_logits" in inspect.signature(kind).parameters
    # The wrapper takes the mean over the batch.
    made = kind(from_logits=True, reduction=None) if softmax else kind(reduction=None)
    logits = softmax or "hinge" in name
    return name, [ClasswiseLoss(made, sparse, logits) for sparse in (False, True)]


def _key(name: str) -> str:
    return re.sub("[-_]", "", name).lower()


def _name_of(function: Any) -> str:
    name = str(getattr(function, "__name__", type(function).__name__)).removesuffix("_loss")
    if not name.isidentifier():
        return "own"  # a lambda has no name that could stand in a log
    return f"own_{name}" if name in _TAKEN else name
