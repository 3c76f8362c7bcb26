"""What the next epoch of a run depends on, and its way to a checkpoint and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import keras

from embedder.heads import Head
from embedder.training.callbacks import KeepBest
from embedder.training.checkpoint import Checkpoint, Checkpoints
from embedder.training.held_out import Score


@dataclass
class State:
    """A run between two epochs.

    Attributes:
        head: the training model with its optimizer.
        keep: the best trunk so far, None if no one was held out.
        history: the log of each epoch that is done.
    """

    head: Head
    keep: KeepBest[Score] | None
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, checkpoints: Checkpoints) -> None:
        """Leave a checkpoint."""
        tensors = {
            f"{group}.{i}": keras.ops.convert_to_numpy(variable)
            for group, variables in self._variables().items()
            for i, variable in enumerate(variables)
        }
        if self.keep:
            tensors |= {f"best.{i}": weight for i, weight in enumerate(self.keep.weights)}
        progress = {
            "history": self.history,
            "best_epoch": self.keep.best_epoch if self.keep else 0,
            "scores": [asdict(entry) for entry in self.keep.scores] if self.keep else [],
        }
        checkpoints.save(Checkpoint(progress, tensors))

    def restore(self, checkpoints: Checkpoints) -> None:
        """Go back to the checkpoint.

        Raises:
            UsageError: there is none, or it is of another run.
            ModelError: it is broken.
        """
        checkpoint = checkpoints.load()
        for group, variables in self._variables().items():
            for i, variable in enumerate(variables):
                variable.assign(checkpoint.tensors[f"{group}.{i}"])
        self.history[:] = checkpoint.progress["history"]
        if self.keep:
            self.keep.scores = [Score(**entry) for entry in checkpoint.progress["scores"]]
            self.keep.best_epoch = checkpoint.progress["best_epoch"]
            self.keep.weights = [checkpoint.tensors[f"best.{i}"] for i in range(len(self.keep.weights))]

    def _variables(self) -> dict[str, list[Any]]:
        return {"model": self.head.model.variables, "optimizer": self.head.model.optimizer.variables}
