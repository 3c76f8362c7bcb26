"""Define Keras callbacks that validate, log, schedule and stop a training run."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
import numpy as np
from numpy.typing import NDArray

from embedder._internal.runtime import Progress
from embedder.errors import DivergedError, MissingPackageError
from embedder.metrics import nearest_own_and_other, rank_1, tpir_at_fpir, unit_vectors

__all__ = [
    "BestWeights",
    "OpenSetValidation",
    "StopEarly",
    "TerminateOnDivergence",
    "VariableSchedule",
    "ramp",
]

T = TypeVar("T")

ADVICE = "try --learning-rate ten times smaller, or with center loss a smaller --center-weight"
# A wrong label makes the first loss NaN, since a compiled graph cannot raise an error; see `losses.labels`.
_LABELS = "; if that is no help, look for labels outside of the classes and for pixels that are not numbers"
_PART = "_loss"
_ADDED = ("center_loss", "distillation_loss", "penalty_loss")  # listed after the head's own loss
_DIVERGED = 1000.0  # times the first center loss; without divergence it rose to 27 times on ORL (λ = 0)


class ShowProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports every batch to `Progress`, with the loss, its parts and the accuracy.

    Args:
        progress: progress bars to report to.
        epochs: number of epochs of the run.
        batches: number of batches per epoch.
    """

    def __init__(self, progress: Progress, epochs: int, batches: int) -> None:
        super().__init__()
        self._progress, self._epochs, self._batches = progress, epochs, batches
        self._open = ExitStack()
        self._advance: Any = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Open the progress bar of an epoch."""
        self._open = ExitStack()
        label = f"Epoch {epoch + 1}/{self._epochs}"
        self._advance = self._open.enter_context(self._progress.bar(label, self._batches))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Advance the progress bar by a batch."""
        self._advance(1, describe(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Close the progress bar of the epoch."""
        self.close()

    def close(self) -> None:
        """Close the progress bar; also called after an interruption."""
        self._open.close()


class TerminateOnDivergence(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose loss is infinite or NaN, or whose center loss grows a thousandfold.

    Raises:
        DivergedError: in training; the message names the loss, the batch and options to change.

    Example:
        >>> callback = TerminateOnDivergence()  # model.fit(..., callbacks=[callback])
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: float | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Store the number of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Check the losses of a batch.

        Raises:
            DivergedError: a loss is not finite, or the center loss has grown a thousandfold.
        """
        logs = logs or {}
        for name, value in plain_logs(logs).items():
            if not math.isfinite(value):
                loss_name = name.replace("_", " ")
                labels = _LABELS if not batch and not self._epoch else ""
                raise DivergedError(
                    f"training diverged: the {loss_name} is {value} after batch {batch + 1}; {ADVICE}{labels}"
                )
        center = logs.get("center_loss")
        if center is None:
            return
        if self._first is None:
            self._first = max(center, 1.0)
        if center > _DIVERGED * self._first:
            raise DivergedError(
                f"training diverged: the center loss rose from {self._first:.3g} to {center:.3g}; {ADVICE}"
            )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Check the weights, which the last step changed after its loss was computed.

        Raises:
            DivergedError: a weight is not finite.
        """
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            raise DivergedError(
                f"training diverged: weights are not finite after epoch {epoch + 1}; {ADVICE}"
            )


def _larger(now: Any, _earlier: Sequence[Any], best: Any) -> bool:
    return bool(now > best)


class OpenSetValidation(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores held-out people after each epoch, by open-set identification.

    Each photo is searched among all others, once with its own person enrolled and once without (ISO/IEC
    19795-1). Logs `val_tpir`, the share of photos with the right person found (TPIR, true positive
    identification rate) at a threshold that names a share `fpir` of strangers (FPIR, false positive
    identification rate), and `val_rank1`, the share whose nearest photo is of the right person.

    Args:
        trunk: network from (batch, ...) to (batch, dim); it runs on one device.
        images: (n, ...) inputs of the trunk.
        labels: (n,) or (n, 1) integer labels of the photos; at least two people, one of them with two photos.
        fpir: share of strangers that may be named, 0 to 1.

    Raises:
        ValueError: there are too few photos or people, or the shape of the labels is wrong.

    Example:
        >>> import numpy as np
        >>> trunk = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> images, labels = np.eye(3, dtype="float32"), np.array([0, 0, 1])
        >>> validation = OpenSetValidation(trunk, images, labels)  # model.fit(..., callbacks=[validation])
        >>> sorted(validation.measure())
        ['val_rank1', 'val_tpir']
    """

    def __init__(self, trunk: keras.Model, images: Any, labels: Any, fpir: float = 0.01) -> None:
        super().__init__()
        self._trunk, self._images, self._fpir = trunk, images, fpir
        shape = np.shape(labels)
        if shape not in ((len(images),), (len(images), 1)):
            raise ValueError(
                f"OpenSetValidation: expected a label for each of {len(images)} images, got shape {shape}"
            )
        self._labels = np.unique(np.reshape(labels, -1), return_inverse=True)[1]
        counts = np.bincount(self._labels)
        if len(counts) < 2 or counts.max() < 2:
            raise ValueError(
                "OpenSetValidation: expected two people at least, one of them with two photos, got "
                f"{len(counts)} with at most {counts.max(initial=0)}"
            )

    def measure(self) -> dict[str, float]:
        """Score the current weights of the trunk: `val_tpir` and `val_rank1`, 0 to 1."""
        features = np.asarray(self._trunk.predict(self._images, verbose=0), np.float32)
        nearest = nearest_own_and_other(unit_vectors(features, mirrored=False), self._labels)
        return {"val_tpir": tpir_at_fpir(*nearest, self._fpir), "val_rank1": rank_1(*nearest)}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Score the trunk and add the scores to the log."""
        if logs is not None:
            logs.update(self.measure())


class BestWeights(keras.callbacks.Callback, Generic[T]):  # type: ignore[misc]
    """Keeps the weights of the best epoch, by a score computed outside of the graph.

    Args:
        trunk: network whose weights are kept.
        measure: function that returns a score; called before training and after each epoch.
        better: function of the score now, the scores of all earlier epochs, and the best of these, that
            returns whether the score now is better; by default the larger score is.
        weights: function that returns the weights to keep; None: those of `trunk`.

    Attributes:
        scores: scores by epoch; the first is that before training.
        best_epoch: number of the epoch whose weights are kept, from 1; 0 before the first one.
        weights: weights of `best_epoch`, in the order of `keras.Model.get_weights`.

    Example:
        >>> trunk = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> keep = BestWeights(trunk, measure=lambda: 0.5)  # model.fit(..., callbacks=[keep])
        >>> trunk.set_weights(keep.weights)
    """

    def __init__(
        self,
        trunk: keras.Model,
        measure: Callable[[], T],
        better: Callable[[T, Sequence[T], T], bool] = _larger,
        weights: Callable[[], Sequence[NDArray[Any]]] | None = None,
    ) -> None:
        super().__init__()
        self._weights, self._measure, self._better = weights or trunk.get_weights, measure, better
        self.scores: list[T] = []
        self.best_epoch = 0
        self.weights = list(self._weights())

    def measure_first(self) -> None:
        """Score the trunk before training."""
        self.scores = [self._measure()]

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Score the trunk, unless `scores` holds that score already, as from a checkpoint."""
        if not self.scores:
            self.measure_first()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Score the trunk, and keep its weights if they are the best so far."""
        now, earlier = self._measure(), self.scores[1:]
        if not earlier or self._better(now, earlier, self.scores[self.best_epoch]):
            weights = list(self._weights())
            self.best_epoch, self.weights = epoch + 1, weights  # in one statement, in case of Ctrl-C
        self.scores.append(now)


class AfterEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls a function at the end of each epoch, with its number from 1 and its log.

    Args:
        act: function of the number of the epoch and of its log.
    """

    def __init__(self, act: Callable[[int, dict[str, float]], None]) -> None:
        super().__init__()
        self._act = act

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Call the function."""
        self._act(epoch + 1, {name: float(value) for name, value in (logs or {}).items()})


class VariableSchedule(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets a variable of the loss at the beginning of each epoch, such as λ or ε.

    Args:
        name: name of the variable in the log.
        variable: scalar variable to set; the compiled graph reads it, so nothing is compiled again. On JAX
            the model must track it (`embedder.layers.TrackedVariables`).
        value: function of the epoch, counted from 0, that returns the value.

    Example:
        >>> factor = keras.Variable(0.5)
        >>> schedule = VariableSchedule("center_weight", factor, ramp(0.5, epochs=5))
        >>> schedule.on_epoch_begin(1)
        >>> round(float(factor), 3)
        0.1
    """

    def __init__(self, name: str, variable: keras.Variable, value: Callable[[int], float]) -> None:
        super().__init__()
        self._name, self._variable, self._value = name, variable, value

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the variable."""
        self._variable.assign(self._value(epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the value to the log."""
        if logs is not None:
            logs[self._name] = float(self._value(epoch))


def ramp(target: float, epochs: int) -> Callable[[int], float]:
    """Make a schedule that rises linearly from 0 at the first epoch.

    Args:
        target: value from epoch `epochs` on.
        epochs: number of epochs over which the value rises; 0: it is `target` at once.

    Returns:
        Function of the epoch, counted from 0, for `VariableSchedule`.

    Example:
        >>> [ramp(0.5, epochs=2)(epoch) for epoch in range(4)]
        [0.0, 0.25, 0.5, 0.5]
    """
    return lambda epoch: target * min(1.0, epoch / epochs) if epochs else target


class StopEarly(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run after `patience` epochs without a better one.

    Args:
        keep: callback that finds the best epoch; it must come before this one in the list of callbacks.
        patience: number of epochs.

    Example:
        >>> trunk = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> keep = BestWeights(trunk, measure=lambda: 0.5)
        >>> callbacks = [keep, StopEarly(keep, patience=3)]  # for model.fit(..., callbacks=callbacks)
    """

    def __init__(self, keep: BestWeights[Any], patience: int) -> None:
        super().__init__()
        self._keep, self._patience = keep, patience

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stop training if the best epoch is `patience` epochs ago."""
        if epoch + 1 - self._keep.best_epoch >= self._patience:
            self.model.stop_training = True


def tensorboard_log(folder: str | Path) -> keras.callbacks.Callback:
    """Make the callback of Keras that writes logs for TensorBoard into a folder.

    Raises:
        MissingPackageError: TensorBoard is not installed.
    """
    if not importlib.util.find_spec("tensorboard"):
        raise MissingPackageError(
            "--tensorboard: expected the package tensorboard, which is not installed; "
            "pip install 'embedder-enroll[tensorboard]'"
        )
    return keras.callbacks.TensorBoard(folder, write_graph=False)


def plain_logs(logs: Mapping[str, float]) -> dict[str, float]:
    """Return a log with the same names for every head: `loss`, then its parts, then the rest.

    Keras puts the name of an output before `accuracy` if there are several outputs; it is removed.
    """
    parts = sorted((name for name in logs if name.endswith(_PART)), key=lambda name: name in _ADDED)
    plain = {name: float(logs[name]) for name in ["loss", *parts] if name in logs}
    rest = {
        "accuracy" if name.endswith("_accuracy") else name: float(value)
        for name, value in logs.items()
        if name not in plain
    }
    return {**plain, **rest}


def describe(logs: Mapping[str, float]) -> str:
    """Format a log as a line: `loss 1.27  softmax 1.08  center 0.37  accuracy 0.91`."""
    return "  ".join(f"{_label(name)} {value:.3f}" for name, value in plain_logs(logs).items())


def _label(name: str) -> str:
    return name.removesuffix(_PART).replace("_", " ")
