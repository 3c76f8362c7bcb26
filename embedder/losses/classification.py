"""Losses of a classifier: cross-entropy with smoothed labels, soft F-beta, and any other by `OneHotLoss`.

They compare labels y (batch,) with logits z (batch, classes); p = softmax(z).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from embedder._internal.plugins import is_function, load_function
from embedder.errors import UsageError
from embedder.losses.labels import check_labels

_TAKEN = {"center", "distillation", "penalty", "softmax"}  # these lines of the log say something else
_BATCH, _CLASSES = 6, 3
_SURE = 4.0  # logits of the answers that are tried: a probability of .96
_STEEPEST = 1e3  # of cross-entropy it is 1; a loss that divides by targets of 0 reaches 1e8


def scalar_variable(value: float, name: str) -> keras.Variable:
    """Make a float32 variable () that no optimizer moves."""
    return keras.Variable(value, dtype="float32", trainable=False, name=name)


@keras.saving.register_keras_serializable(package="embedder")
class SmoothedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Computes (1 - ε) · CE(y, p) + ε · CE(uniform, p) of each sample.

    CE(y, p) = -log p_y, CE(uniform, p) = -mean_k log p_k: label smoothing (Szegedy, Vanhoucke, Ioffe, Shlens
    and Wojna 2016, "Rethinking the Inception Architecture for Computer Vision"). A classifier that is less
    sure of itself, so that its scores can carry a threshold.

    Args:
        smoothing: ε, 0 to 1. The attribute of the same name is the variable that holds it; on JAX only a
            variable of the model moves during training (`embedder.layers.TrackedVariables`).
        name, reduction: of `keras.losses.Loss`.

    Call arguments:
        y_true: (batch,) or (batch, 1) labels, 0 to classes - 1, integers or floats that hold them.
        y_pred: logits (batch, classes), any float dtype.

    Call returns:
        The mean over the batch, float32 (); without reduction (batch,).

    Raises:
        ValueError: a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> loss = SmoothedCrossentropy(smoothing=0.1)
        >>> round(float(loss(np.array([0]), np.zeros((1, 2), "float32"))), 3)
        0.693
    """

    def __init__(self, smoothing: float = 0.1, name: str = "softened", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 <= smoothing <= 1:
            raise ValueError(f"SmoothedCrossentropy: expected smoothing from 0 to 1, got {smoothing}")
        self.smoothing = scalar_variable(smoothing, "softening")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sample, (batch,)."""
        labels, outside = check_labels(y_true, y_pred, "SmoothedCrossentropy", y_pred.shape[-1])
        log_p = ops.log_softmax(y_pred, axis=-1)
        own = -ops.squeeze(ops.take_along_axis(log_p, labels[:, None], axis=-1), axis=-1)
        uniform = -ops.mean(log_p, axis=-1)
        return (1 - self.smoothing) * own + self.smoothing * uniform + outside

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss, with ε as it is now."""
        return {**super().get_config(), "smoothing": float(ops.convert_to_numpy(self.smoothing))}


@keras.saving.register_keras_serializable(package="embedder")
class SoftFBeta(keras.losses.Loss):  # type: ignore[misc]
    """Computes 1 - mean_k F_k over the classes k of a batch, probabilities standing in for counts.

    F_k = (1 + β²) TP_k / (β² n_k + P_k), with TP_k = Σ_{i: y_i = k} p_ik, n_k the samples of class k and
    P_k = Σ_i p_ik what is called k (van Rijsbergen 1979, "Information Retrieval"): recall counts β times
    precision.

    Per class, not over all classes at once: where each sample has one label, every probability that a sample
    does not give its own class is a miss there and a false alarm elsewhere, so that the counts over all
    classes have precision = recall, whatever β. Only classes that are in the batch count; of another F is 0
    and has no gradient.

    Args:
        beta: β, above 0.
        name, reduction: of `keras.losses.Loss`.

    Call arguments:
        y_true: (batch,) or (batch, 1) labels, 0 to classes - 1, integers or floats that hold them.
        y_pred: logits (batch, classes), any float dtype.

    Call returns:
        The loss of the batch, float32 ().

    Raises:
        ValueError: β, a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> float(SoftFBeta(beta=2.0)(np.array([0, 1]), np.array([[99.0, 0.0], [0.0, 99.0]], "float32")))
        0.0
    """

    def __init__(self, beta: float = 1.0, name: str = "f_beta", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if not beta > 0:
            raise ValueError(f"SoftFBeta: expected beta above 0, got {beta}")
        self.beta = beta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of the batch, ()."""
        labels, outside = check_labels(y_true, y_pred, "SoftFBeta", y_pred.shape[-1])
        p = ops.softmax(y_pred, axis=-1)
        own = ops.one_hot(labels, p.shape[-1], dtype=p.dtype)
        samples = ops.sum(own, axis=0)
        called = self.beta**2 * samples + ops.sum(p, axis=0)
        f = (1 + self.beta**2) * ops.sum(own * p, axis=0) / ops.maximum(called, keras.config.epsilon())
        there = ops.cast(samples > 0, p.dtype)
        return 1 - ops.sum(f * there) / ops.sum(there) + ops.sum(outside)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss."""
        return {**super().get_config(), "beta": self.beta}


@keras.saving.register_keras_serializable(package="embedder")
class OneHotLoss(keras.losses.Loss):  # type: ignore[misc]
    """Gives any (y_true, y_pred) the targets and predictions it expects, from labels and logits.

    - A function of one's own, and most of `keras.losses`: y_true (batch, classes) float32, one-hot, and
      y_pred (batch, classes) float32, the probabilities softmax(z).
    - A loss of Keras that cannot be given those (`sparse`): y_true (batch,), the labels.
    - Losses made for a softmax (the categorical cross-entropies), which are told so, and hinge losses, which
      want scores beyond ±1 (`logits`): y_pred (batch, classes), the logits z.

    Args:
        function: a loss of Keras without reduction or a function of `keras.ops`; gives (batch,) or ().
        sparse: whether its y_true is the labels, not one-hot.
        logits: whether its y_pred is the logits, not probabilities.
        name, reduction: of `keras.losses.Loss`.

    Call arguments:
        y_true: (batch,) or (batch, 1) labels, 0 to classes - 1, integers or floats that hold them.
        y_pred: logits (batch, classes), any float dtype.

    Call returns:
        The mean of what the function gives, float32 ().

    Raises:
        ValueError: a shape or a label is wrong.

    Example:
        >>> import numpy as np
        >>> loss = OneHotLoss(keras.losses.mean_squared_error)
        >>> float(loss(np.array([0, 1]), np.zeros((2, 2), "float32")))
        0.25
    """

    def __init__(
        self, function: Callable[[Any, Any], Any], sparse: bool = False, logits: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**{"name": "classwise", **kwargs})
        self.function, self.sparse, self.logits = function, sparse, logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return what the function gives, (batch,) or ()."""
        labels, outside = check_labels(y_true, y_pred, "OneHotLoss", y_pred.shape[-1])
        each = self.function(
            labels if self.sparse else ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype),
            y_pred if self.logits else ops.softmax(y_pred, axis=-1),
        )
        return each + ops.sum(outside)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs; to load a function of the user's own, Keras must know it."""
        return {
            **super().get_config(),
            "function": keras.saving.serialize_keras_object(self.function),
            "sparse": self.sparse,
            "logits": self.logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OneHotLoss:
        """Make the same loss."""
        return cls(**{**config, "function": keras.saving.deserialize_keras_object(config["function"])})


def one_hot_loss(loss: str | Callable[[Any, Any], Any]) -> OneHotLoss:
    """Wrap a loss by name, FILE.py:FUNCTION or a function, once it is known to train a classifier.

    Args:
        loss: a class or function name of `keras.losses` in any spelling, FILE.py:FUNCTION, or a function.

    Returns:
        A loss of labels and logits; its `name` is the one that the log shows.

    Raises:
        UsageError: there is no such loss, or it cannot stand in for a cross-entropy.
    """
    if isinstance(loss, str) and not is_function(loss):
        name, ways = _of_keras(loss)
    else:
        own = load_function(loss, "--loss") if isinstance(loss, str) else loss
        name = _name_of(own)
        ways = [OneHotLoss(own, name=name)]
    faults = []
    for way in ways:
        fault = check_loss(way)
        if fault is None:
            return way
        faults.append(fault)
    # Targets of the wrong shape say nothing about the loss, if with the others it did give numbers.
    reason = min(faults, key=lambda fault: fault.startswith("it raised"))
    raise UsageError(
        f"{name} cannot stand in for the cross-entropy of a classifier: {reason}; "
        "try crossentropy, softened, f-beta or another loss of keras.losses"
    )


def keras_losses() -> dict[str, type[keras.losses.Loss]]:
    """Give the losses of Keras by their names in snake_case."""
    made = {
        value
        for value in vars(keras.losses).values()
        if inspect.isclass(value) and issubclass(value, keras.losses.Loss) and value is not keras.losses.Loss
    }
    functions = {_key(name): name for name in vars(keras.losses) if name.islower()}
    return {functions.get(_key(one.__name__), one.__name__): one for one in sorted(made, key=_name_of)}


def check_loss(loss: keras.losses.Loss) -> str | None:
    """Say why a loss cannot train a classifier, or None if it can: tried on a few samples, not looked up.

    Args:
        loss: (labels (batch,), logits (batch, classes)) -> a number, or one per sample.

    Example:
        >>> check_loss(SmoothedCrossentropy(0.1))
    """
    labels = np.arange(_BATCH, dtype="int32") % _CLASSES
    right = _SURE * np.eye(_CLASSES, dtype="float32")[labels]
    try:
        each = loss.call(ops.convert_to_tensor(labels), ops.convert_to_tensor(right))
        shape = tuple(each.shape)
        if shape not in ((_BATCH,), ()):
            return f"expected a number a sample or one in all, got of a batch of {_BATCH} the shape {shape}"
        good, bad = (float(loss(labels, logits)) for logits in (right, np.roll(right, 1, axis=1)))
        if not np.isfinite([good, bad]).all():
            return f"expected numbers, got {good} where answers are right and {bad} where they are wrong"
        if good >= bad:
            return (
                f"expected less where answers are right, got {good:.3g}, and {bad:.3g} where they are wrong"
            )
        step = _first_step(loss, labels)
    except Exception as error:  # whatever a function of the user's own may raise
        lines = str(error).strip().splitlines()
        return f"it raised {type(error).__name__}{': ' + lines[0] if lines else ''}"
    if not np.isfinite(step).all():
        return "its gradient is not finite"
    if not step.any():
        return "no gradient comes from it to the logits"
    if abs(step).max() > _STEEPEST:
        return f"its gradient is {abs(step).max():.1g} already at an even guess"
    return None


@keras.saving.register_keras_serializable(package="embedder")
class LossMean(keras.metrics.Mean):  # type: ignore[misc]
    """Averages a loss over an epoch: the classification term apart from what layers add to the total.

    Args:
        loss: (labels (batch,), logits (batch, classes)) -> a number, or one per sample. One number counts as
            often as the batch has samples, as in the total.

    Example:
        >>> metric = LossMean(SmoothedCrossentropy(0.1), name="softened_loss")
    """

    def __init__(self, loss: keras.losses.Loss, name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = loss

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch in."""
        count = keras.ops.cast(keras.ops.shape(y_pred)[0], "float32")
        super().update_state(self.loss(y_true, y_pred), sample_weight=count)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same metric."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"name": self.name, "dtype": self.dtype, "loss": loss}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LossMean:
        """Make the same metric."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def _first_step(loss: keras.losses.Loss, labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Gradient of the loss at an even guess, by a step of SGD(1) as training compiles it."""
    inputs = keras.Input((1,))
    dense = keras.layers.Dense(_CLASSES, use_bias=False, kernel_initializer="zeros", dtype="float32")
    model = keras.Model(inputs, dense(inputs))
    # With nothing to add but a gradient of 0, as Keras raises an error where there is none at all.
    model.compile(keras.optimizers.SGD(1.0), lambda y, z: loss(y, z) + 0 * ops.sum(z), jit_compile=False)
    # One class weighs more: if all are alike, their gradients cancel.
    model.train_on_batch((labels == 0).astype("float32")[:, None] + 0.5, labels)
    return -np.asarray(ops.convert_to_numpy(dense.kernel))


def _of_keras(asked: str) -> tuple[str, list[OneHotLoss]]:
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
            "expected crossentropy, softened, f-beta, FILE.py:FUNCTION, or one of keras.losses "
            f"({', '.join(losses)}), got {asked!r}"
        )
    kind = losses[name]
    softmax = "categorical" in name and "from_logits" in inspect.signature(kind).parameters
    # The wrapper takes the mean over the batch.
    made = kind(from_logits=True, reduction=None) if softmax else kind(reduction=None)
    logits = softmax or "hinge" in name
    return name, [OneHotLoss(made, sparse, logits, name=name) for sparse in (False, True)]


def _key(name: str) -> str:
    return re.sub("[-_]", "", name).lower()


def _name_of(function: Any) -> str:
    name = str(getattr(function, "__name__", type(function).__name__)).removesuffix("_loss")
    if not name.isidentifier():
        return "own"  # a lambda has no name that could stand in a log
    return f"own_{name}" if name in _TAKEN else name
