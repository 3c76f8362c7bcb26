"""Watch and steer a training run between its batches and epochs, as callbacks of Keras."""

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
# What a wrong label gives in a compiled graph, where nothing can be raised; see `losses.labels`.
_LABELS = "; if that is no help, look for labels outside of the classes and for pixels that are not numbers"
_PART = "_loss"
_ADDED = ("center_loss", "distillation_loss", "penalty_loss")  # to what the head is about
_DIVERGED = 1000.0  # times its first value; λ = 0, where nothing holds the features, reached 27 on ORL


class ShowProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells `Progress` of every batch: total, softmax loss, center loss and accuracy apart."""

    def __init__(self, progress: Progress, epochs: int, batches: int) -> None:
        super().__init__()
        self._progress, self._epochs, self._batches = progress, epochs, batches
        self._open = ExitStack()
        self._advance: Any = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Open a bar for the epoch."""
        self._open = ExitStack()
        label = f"Epoch {epoch + 1}/{self._epochs}"
        self._advance = self._open.enter_context(self._progress.bar(label, self._batches))

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Advance it."""
        self._advance(1, describe(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the bar, also after an interruption."""
        self._open.close()


class TerminateOnDivergence(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose loss became infinite or NaN, or whose center loss runs away.

    Raises, in training:
        DivergedError: with the loss, the batch and what to change.

    Example:
        >>> callback = TerminateOnDivergence()  # model.fit(..., callbacks=[callback])
    """

    def __init__(self) -> None:
        super().__init__()
        self._first: float | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Remember which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the losses.

        Raises:
            DivergedError: with what to change.
        """
        logs = logs or {}
        for name, value in plain_logs(logs).items():
            if not math.isfinite(value):
                what = name.replace("_", " ")
                labels = _LABELS if not batch and not self._epoch else ""
                raise DivergedError(
                    f"training diverged: the {what} is {value} after batch {batch + 1}; {ADVICE}{labels}"
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
        """Look at the weights: the last batch of an epoch may have ruined them after its loss was taken.

        Raises:
            DivergedError: with what to change.
        """
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            raise DivergedError(
                f"training diverged: weights are not finite after epoch {epoch + 1}; {ADVICE}"
            )


def _larger(now: Any, _earlier: Sequence[Any], best: Any) -> bool:
    return bool(now > best)


class OpenSetValidation(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores people that are not trained on after each epoch, as open-set identification does.

    Each photo searches all others, once with its own person enrolled and once without (ISO/IEC 19795-1).
    Logs `val_tpir`, the share of photos with the right person found (TPIR, true positive identification rate)
    at a threshold that names a share `fpir` of strangers (FPIR, false positive identification rate), and
    `val_rank1`, the share whose nearest photo is of the right person.

    Args:
        trunk: (batch, ...) -> (batch, dim); is run on one device.
        images: (n, ...) inputs of the trunk.
        labels: (n,) or (n, 1), whose photo each is; two people at least, one of them with two photos.
        fpir: share of strangers that may be named, 0 to 1.

    Raises:
        ValueError: there are too few photos or people, or labels that do not fit.

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
        """Score the trunk as it is now."""
        features = np.asarray(self._trunk.predict(self._images, verbose=0), np.float32)
        nearest = nearest_own_and_other(unit_vectors(features, mirrored=False), self._labels)
        return {"val_tpir": tpir_at_fpir(*nearest, self._fpir), "val_rank1": rank_1(*nearest)}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Score the trunk and log it."""
        if logs is not None:
            logs.update(self.measure())


class BestWeights(keras.callbacks.Callback, Generic[T]):  # type: ignore[misc]
    """Keeps the weights of the best epoch by anything computed outside the graph.

    Args:
        trunk: whose weights are kept.
        measure: called before training and after each epoch.
        better: (now, all earlier epochs, the best of them) -> whether now is better; a larger number is, if
            nothing is said.
        weights: gives the weights to keep where they are not those that the trunk has.

    Attributes:
        scores: what was measured, by epoch; 0 is before training.
        best_epoch: the epoch whose weights are kept, from 1; 0 until there is one.
        weights: of that epoch.

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
        """Measure the trunk as it is before training."""
        self.scores = [self._measure()]

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Measure it now, unless that was done or the run goes on from a checkpoint."""
        if not self.scores:
            self.measure_first()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Measure, and keep the weights if they are the best so far."""
        now, earlier = self._measure(), self.scores[1:]
        if not earlier or self._better(now, earlier, self.scores[self.best_epoch]):
            weights = list(self._weights())
            self.best_epoch, self.weights = epoch + 1, weights  # together, should Ctrl-C come now
        self.scores.append(now)


class AfterEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls a function with the number of the epoch that ended, from 1, and its log."""

    def __init__(self, act: Callable[[int, dict[str, float]], None]) -> None:
        super().__init__()
        self._act = act

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Call it."""
        self._act(epoch + 1, {name: float(value) for name, value in (logs or {}).items()})


class VariableSchedule(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets a variable of the loss at the beginning of each epoch, as λ of center loss or ε of smoothing.

    Args:
        name: under which the log shows it.
        variable: what is set; the graph reads it, so nothing is compiled again. On JAX it must be a variable
            of the model (`embedder.layers.TrackedVariables`).
        value: epoch, from 0 -> value.

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
        """Set it."""
        self._variable.assign(self._value(epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Log it."""
        if logs is not None:
            logs[self._name] = float(self._value(epoch))


def ramp(target: float, epochs: int) -> Callable[[int], float]:
    """Rise from 0 by equal steps: epoch, from 0 -> value; `target` from epoch `epochs` on."""
    return lambda epoch: target * min(1.0, epoch / epochs) if epochs else target


class StopEarly(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run after `patience` epochs that were no better than the best one.

    Args:
        keep: knows which epoch is the best; it must come before this callback.
        patience: epochs.
    """

    def __init__(self, keep: BestWeights[Any], patience: int) -> None:
        super().__init__()
        self._keep, self._patience = keep, patience

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stop if it has been long enough."""
        if epoch + 1 - self._keep.best_epoch >= self._patience:
            self.model.stop_training = True


def tensorboard_log(folder: str | Path) -> keras.callbacks.Callback:
    """Make the callback of Keras that writes what TensorBoard shows.

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
    """Give the log under the same names for every head, the total first, then its parts.

    A model with several outputs puts their names before `accuracy`.
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
    """Put a log into a line: `loss 1.27  softmax 1.08  center 0.37  accuracy 0.91`."""
    return "  ".join(f"{_label(name)} {value:.3f}" for name, value in plain_logs(logs).items())


def _label(name: str) -> str:
    return name.removesuffix(_PART).replace("_", " ")
