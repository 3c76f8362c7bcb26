"""Define losses of a classifier: smoothed cross-entropy, soft F-beta, `OneHotLoss`.

They compare labels y (batch,) with logits z (batch, classes); p = softmax(z). `OneHotLoss` wraps any other
loss.
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

_TAKEN = {"center", "distillation", "penalty", "softmax"}  # names of other losses in the log
_BATCH, _CLASSES = 6, 3
_TRIAL_LOGIT = 4.0  # of the trial answers of `check_loss`: a probability of .96 among 3 classes
_STEEPEST = 1e3  # largest gradient: cross-entropy has 1; a loss that divides by targets of 0 has 1e8


def scalar_variable(value: float, name: str) -> keras.Variable:
    """Make a float32 scalar variable that is not trainable."""
    return keras.Variable(value, dtype="float32", trainable=False, name=name)


@keras.saving.register_keras_serializable(package="embedder")
class SmoothedCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Computes (1 - ε) · CE(y, p) + ε · CE(uniform, p) of each sample.

    CE(y, p) = -log p_y, CE(uniform, p) = -mean_k log p_k: label smoothing (Szegedy, Vanhoucke, Ioffe, Shlens
    and Wojna 2016, "Rethinking the Inception Architecture for Computer Vision"). The probabilities of the
    classifier stay away from 0 and 1, so that a threshold on them separates more.

    Args:
        smoothing: ε, 0 to 1. The attribute of the same name is the variable that holds it; on JAX it changes
            during training only if the model tracks it (`embedder.layers.TrackedVariables`).
        name, reduction: arguments of `keras.losses.Loss`.

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
        self.smoothing = scalar_variable(smoothing, "label_smoothing")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sample, (batch,)."""
        labels, outside = check_labels(y_true, y_pred, "SmoothedCrossentropy", y_pred.shape[-1])
        log_p = ops.log_softmax(y_pred, axis=-1)
        own = -ops.squeeze(ops.take_along_axis(log_p, labels[:, None], axis=-1), axis=-1)
        uniform = -ops.mean(log_p, axis=-1)
        return (1 - self.smoothing) * own + self.smoothing * uniform + outside

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`, with the current ε."""
        return {**super().get_config(), "smoothing": float(ops.convert_to_numpy(self.smoothing))}


@keras.saving.register_keras_serializable(package="embedder")
class SoftFBeta(keras.losses.Loss):  # type: ignore[misc]
    """Computes 1 - mean_k F_k over the classes k of a batch, with probabilities for counts.

    F_k = (1 + β²) TP_k / (β² n_k + P_k), with TP_k = Σ_{i: y_i = k} p_ik the true positives, n_k the number
    of samples of class k, and P_k = Σ_i p_ik the predicted positives (van Rijsbergen 1979, "Information
    Retrieval"): recall counts β times precision.

    F is computed for each class, not over all classes at once: with one label per sample, all probability
    outside of a sample's class is a false negative there and a false positive elsewhere, so the sums over all
    classes have precision = recall, whatever β. Only classes in the batch count; the F of another is 0 and
    has no gradient.

    Args:
        beta: β, above 0.
        name, reduction: arguments of `keras.losses.Loss`.

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
        counts = self.beta**2 * samples + ops.sum(p, axis=0)
        f = (1 + self.beta**2) * ops.sum(own * p, axis=0) / ops.maximum(counts, keras.config.epsilon())
        present = ops.cast(samples > 0, p.dtype)
        return 1 - ops.sum(f * present) / ops.sum(present) + ops.sum(outside)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same loss."""
        return {**super().get_config(), "beta": self.beta}


@keras.saving.register_keras_serializable(package="embedder")
class OneHotLoss(keras.losses.Loss):  # type: ignore[misc]
    """Computes any loss of one-hot targets and probabilities from integer labels and logits.

    - The user's own function, and most of `keras.losses`, get y_true (batch, classes) float32, one-hot, and
      y_pred (batch, classes) float32, the probabilities softmax(z).
    - A loss of Keras for integer labels (`sparse`) gets y_true (batch,), the labels.
    - The categorical cross-entropies, which are made with `from_logits`, and hinge losses, which compare
      scores with ±1 (`logits`), get y_pred (batch, classes), the logits z.

    Args:
        function: a loss of Keras without reduction or a function of `keras.ops`; returns (batch,) or ().
        sparse: whether the function's y_true is labels, not one-hot targets.
        logits: whether the function's y_pred is logits, not probabilities.
        name, reduction: arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: (batch,) or (batch, 1) labels, 0 to classes - 1, integers or floats that hold them.
        y_pred: logits (batch, classes), any float dtype.

    Call returns:
        The mean of the function's values, float32 ().

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
        """Return the function's values, (batch,) or ()."""
        labels, outside = check_labels(y_true, y_pred, "OneHotLoss", y_pred.shape[-1])
        values = self.function(
            labels if self.sparse else ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype),
            y_pred if self.logits else ops.softmax(y_pred, axis=-1),
        )
        return values + ops.sum(outside)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`; a user's function must be registered with Keras."""
        return {
            **super().get_config(),
            "function": keras.saving.serialize_keras_object(self.function),
            "sparse": self.sparse,
            "logits": self.logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OneHotLoss:
        """Make the loss of `get_config`."""
        return cls(**{**config, "function": keras.saving.deserialize_keras_object(config["function"])})


def one_hot_loss(loss: str | Callable[[Any, Any], Any]) -> OneHotLoss:
    """Wrap a loss as a loss of labels and logits, after a trial of whether it can train.

    Args:
        loss: a class or function name of `keras.losses`, whatever its case, - and _; FILE.py:FUNCTION; or a
            function.

    Returns:
        A loss of labels and logits; its `name` is the name in the log.

    Raises:
        UsageError: there is no such loss, or it cannot replace the cross-entropy.
    """
    if isinstance(loss, str) and not is_function(loss):
        name, wrapped_losses = _of_keras(loss)
    else:
        function = load_function(loss, "--loss") if isinstance(loss, str) else loss
        name = _name_of(function)
        wrapped_losses = [OneHotLoss(function, name=name)]
    faults = []
    for wrapped in wrapped_losses:
        fault = check_loss(wrapped)
        if fault is None:
            return wrapped
        faults.append(fault)
    # An exception comes from targets of the wrong shape if the other kind of targets gave numbers.
    reason = min(faults, key=lambda fault: fault.startswith("it raised"))
    raise UsageError(
        f"{name} cannot stand in for the cross-entropy of a classifier: {reason}; "
        "try crossentropy, softened, f-beta or another loss of keras.losses"
    )


def keras_losses() -> dict[str, type[keras.losses.Loss]]:
    """Return the loss classes of Keras by their names in snake_case."""
    made = {
        value
        for value in vars(keras.losses).values()
        if inspect.isclass(value) and issubclass(value, keras.losses.Loss) and value is not keras.losses.Loss
    }
    functions = {_key(name): name for name in vars(keras.losses) if name.islower()}
    return {functions.get(_key(one.__name__), one.__name__): one for one in sorted(made, key=_name_of)}


def check_loss(loss: keras.losses.Loss) -> str | None:
    """Return why a loss cannot train a classifier, or None if it can, by a trial on 6 samples.

    Args:
        loss: loss of labels (batch,) and logits (batch, classes) with values (batch,) or ().

    Returns:
        The reason, as the end of a sentence: wrong shape, not finite, no gradient, or not smaller for right
        answers.

    Example:
        >>> check_loss(SmoothedCrossentropy(0.1))
    """
    labels = np.arange(_BATCH, dtype="int32") % _CLASSES
    right = _TRIAL_LOGIT * np.eye(_CLASSES, dtype="float32")[labels]
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
    """Averages the classification loss over an epoch, without the losses that layers add.

    Args:
        loss: loss of labels (batch,) and logits (batch, classes) with values (batch,) or (). A scalar counts
            as often as the batch has samples, as in the total loss.
        name: name of the metric in the log.
        dtype: dtype of the metric; None: the default of Keras.

    Example:
        >>> metric = LossMean(SmoothedCrossentropy(0.1), name="softened_loss")
    """

    def __init__(self, loss: keras.losses.Loss, name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.loss = loss

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add the loss of a batch of labels (batch,) and logits (batch, classes)."""
        count = keras.ops.cast(keras.ops.shape(y_pred)[0], "float32")
        super().update_state(self.loss(y_true, y_pred), sample_weight=count)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`."""
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"name": self.name, "dtype": self.dtype, "loss": loss}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LossMean:
        """Make the metric of `get_config`."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def _first_step(loss: keras.losses.Loss, labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Compute the gradient at equal logits, (1, classes), by a compiled step of SGD."""
    inputs = keras.Input((1,))
    dense = keras.layers.Dense(_CLASSES, use_bias=False, kernel_initializer="zeros", dtype="float32")
    model = keras.Model(inputs, dense(inputs))
    # A term with a gradient of 0 is added, as Keras raises an error where there is no gradient at all.
    model.compile(keras.optimizers.SGD(1.0), lambda y, z: loss(y, z) + 0 * ops.sum(z), jit_compile=False)
    # One class has a larger weight: with equal weights the gradients of the classes cancel.
    model.train_on_batch((labels == 0).astype("float32")[:, None] + 0.5, labels)
    return -np.asarray(ops.convert_to_numpy(dense.kernel))


def _of_keras(wanted: str) -> tuple[str, list[OneHotLoss]]:
    """Find a loss of Keras by name, and wrap it for one-hot targets and for integer labels."""
    losses = keras_losses()
    by_key = {_key(name): name for name in losses}
    try:
        alias = keras.losses.get(wanted).__name__  # "mse" and the like
    except (ValueError, AttributeError, TypeError):
        alias = wanted
    name = by_key.get(_key(wanted)) or by_key.get(_key(alias))
    if name is None:
        raise UsageError(
            "expected crossentropy, softened, f-beta, FILE.py:FUNCTION, or one of keras.losses "
            f"({', '.join(losses)}), got {wanted!r}"
        )
    kind = losses[name]
    softmax = "categorical" in name and "from_logits" in inspect.signature(kind).parameters
    # Without reduction: `OneHotLoss` takes the mean over the batch.
    loss = kind(from_logits=True, reduction=None) if softmax else kind(reduction=None)
    logits = softmax or "hinge" in name
    return name, [OneHotLoss(loss, sparse, logits, name=name) for sparse in (False, True)]


def _key(name: str) -> str:
    return re.sub("[-_]", "", name).lower()


def _name_of(function: Any) -> str:
    name = str(getattr(function, "__name__", type(function).__name__)).removesuffix("_loss")
    if not name.isidentifier():
        return "own"  # the name of a lambda, <lambda>, is none for the log
    return f"own_{name}" if name in _TAKEN else name
