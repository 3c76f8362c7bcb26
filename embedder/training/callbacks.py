"""What happens between batches and between epochs of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from embedder.errors import DivergedError
from embedder.progress import Progress

T = TypeVar("T")

PARTS = {"loss": "loss", "softmax_loss": "softmax", "center_loss": "center"}
ADVICE = "try --learning-rate ten times smaller, or a smaller --center-weight"
_DIVERGED = 1000.0  # times its first value; λ = 0, where nothing holds the features, reached 27 on ORL


@keras.saving.register_keras_serializable(package="embedder")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Learning rate that rises linearly from zero over the first batches, then stays.

    Args:
        learning_rate: the rate after the warm-up.
        batches: length of the warm-up; 0 starts at the full rate.
    """

    def __init__(self, learning_rate: float, batches: int) -> None:
        self.learning_rate = learning_rate
        self.batches = batches

    def __call__(self, step: Any) -> Any:
        """Give the rate of batch `step`, counted from 0."""
        share = (ops.cast(step, "float32") + 1) / max(1, self.batches)
        return self.learning_rate * ops.minimum(1.0, share)

    def get_config(self) -> dict[str, Any]:
        """Give what `from_config` needs to make the same schedule."""
        return {"learning_rate": self.learning_rate, "batches": self.batches}


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


class StopDivergence(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a run whose loss is no longer a number, or whose center loss runs away."""

    def __init__(self) -> None:
        super().__init__()
        self._first: float | None = None

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Look at the losses.

        Raises:
            DivergedError: with what to change.
        """
        logs = logs or {}
        for name, label in PARTS.items():
            value = logs.get(name, 0.0)
            if not math.isfinite(value):
                raise DivergedError(
                    f"training diverged: the {label} loss is {value} after batch {batch + 1}; {ADVICE}"
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


class KeepBest(keras.callbacks.Callback, Generic[T]):  # type: ignore[misc]
    """Keeps the weights of the best epoch by anything computed outside the graph.

    Args:
        trunk: whose weights are kept.
        measure: called before training and after each epoch.
        better: (now, all earlier epochs, the best of them) -> whether now is better.

    Attributes:
        scores: what was measured, by epoch; 0 is before training.
        best_epoch: the epoch whose weights are kept, from 1; 0 until there is one.
        weights: of that epoch.
    """

    def __init__(
        self,
        trunk: keras.Model,
        measure: Callable[[], T],
        better: Callable[[T, Sequence[T], T], bool],
    ) -> None:
        super().__init__()
        self._trunk, self._measure, self._better = trunk, measure, better
        self.scores: list[T] = []
        self.best_epoch = 0
        self.weights: list[NDArray[Any]] = trunk.get_weights()

    def measure_first(self) -> None:
        """Measure the trunk as it is before training."""
        self.scores = [self._measure()]

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Measure, and keep the weights if they are the best so far."""
        now, earlier = self._measure(), self.scores[1:]
        if not earlier or self._better(now, earlier, self.scores[self.best_epoch]):
            weights = self._trunk.get_weights()
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


def plain_logs(logs: Mapping[str, float]) -> dict[str, float]:
    """Give the parts of a log under the same names for every head."""
    names = {**{name: name for name in PARTS}, "accuracy": "accuracy", "softmax_accuracy": "accuracy"}
    return {names[name]: float(value) for name, value in logs.items() if name in names}


def describe(logs: Mapping[str, float]) -> str:
    """Put a log into a line: `loss 1.27  softmax 1.08  center 0.37  accuracy 0.91`."""
    values = plain_logs(logs)
    parts = [f"{label} {values[name]:.3f}" for name, label in PARTS.items() if name in values]
    return "  ".join([*parts, f"accuracy {values.get('accuracy', np.nan):.3f}"])
