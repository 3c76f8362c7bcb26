"""Save the state of an unfinished run after each epoch, and restore it for `--resume`.

A checkpoint is one safetensors file with all that determines the next epoch; it is replaced atomically.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from embedder._internal.files import check_file, write_atomic
from embedder.errors import ModelError, UsageError

if TYPE_CHECKING:
    from embedder.callbacks import BestWeights
    from embedder.heads import Head
    from embedder.training.heldout import Score

FILE = "checkpoint.safetensors"
PHOTOS, PEOPLE = "photos", "people"  # keys of a run: digest of all photos, and digests by person
_SHOWN = 10  # largest number of names in a message
REFIT_FILE = "checkpoint-refit.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """Holds the state of a run between two epochs.

    Attributes:
        progress: history, scores and best epoch, as JSON values.
        tensors: variables of model and optimizer, and the weights of the best epoch, by name.
    """

    progress: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]


class Checkpoints:
    """Writes and reads the checkpoint file of a run in its model folder.

    Args:
        folder: path of the model folder.
        run: options, digests of photos, and versions, which determine the run, as JSON values.
        file: name of the checkpoint file.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], file: str = FILE) -> None:
        self._path = folder / file
        self._run = json.loads(json.dumps(run))

    def exists(self) -> bool:
        """Return whether there is a checkpoint, of this run or another."""
        return self._path.exists()

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, in place of the one before.

        Raises:
            OSError: the file cannot be written; the checkpoint before stays.
        """
        tensors = {name: np.asarray(tensor, order="C") for name, tensor in checkpoint.tensors.items()}
        facts = {
            "run": json.dumps(self._run),
            "progress": json.dumps(checkpoint.progress),
            "digest": _digest(tensors),
        }
        write_atomic(self._path, save(tensors, metadata=facts), private=True)

    def load(self) -> Checkpoint:
        """Read the checkpoint, and check that it is of the same run.

        Raises:
            UsageError: there is no checkpoint, or it is of a run with other options, photos or versions.
            ModelError: the file is broken.
        """
        path = self._path
        if not path.exists():
            raise UsageError(
                f"--resume: expected an unfinished run in {path.parent}, found no {FILE}; leave --resume out"
            )
        try:
            check_file(path)
            with safe_open(path, framework="numpy") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            before, progress = json.loads(facts["run"]), json.loads(facts["progress"])
            if facts["digest"] != _digest(tensors):
                raise ValueError("changed since it was written")
            if not (isinstance(before, dict) and isinstance(progress, dict)):
                raise ValueError("what it is of cannot be read")
            changed = _changes(before, self._run)
        except (SafetensorError, OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise ModelError(f"{path}: broken ({error}); delete it and train again") from error
        if changed:
            raise UsageError(
                f"--resume: the unfinished run in {path.parent} differs: {'; '.join(changed)}. Restore that, "
                "or leave --resume out to start over"
            )
        return Checkpoint(progress, tensors)

    def drop(self) -> None:
        """Delete the checkpoint of a run that is done."""
        self._path.unlink(missing_ok=True)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the differences of two runs; people are listed by name, not by digest."""
    same = (PHOTOS, PEOPLE)
    changed = [
        f"{name} was {before.get(name)!r:.80}, is {now[name]!r:.80}"
        for name in now
        if name not in same and before.get(name) != now[name]
    ]
    new = dict(now.get(PEOPLE) or {})
    old = dict(before[PEOPLE]) if PEOPLE in before else new
    kinds = {
        "people who are new": sorted(new.keys() - old.keys()),
        "people who are gone": sorted(old.keys() - new.keys()),
        "people with other photos": sorted(
            name for name in old.keys() & new.keys() if old[name] != new[name]
        ),
    }
    reports = [f"{kind}: {_some(names)}" for kind, names in kinds.items() if names]
    if not reports and before.get(PHOTOS) != now.get(PHOTOS):
        reports = ["the photos are others"]
    return changed + reports


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape} ".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()


@dataclass
class State:
    """Saves and restores a run between two epochs.

    Attributes:
        head: training model with its optimizer.
        keep: callback with the best weights so far; None without held-out people.
        history: logs of the finished epochs.
    """

    head: Head
    keep: BestWeights[Score] | None
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, checkpoints: Checkpoints) -> None:
        """Save the current state as a checkpoint."""
        import keras

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
        """Restore the state of the checkpoint.

        Raises:
            UsageError: there is no checkpoint, or it is of another run.
            ModelError: the checkpoint is broken.
        """
        checkpoint = checkpoints.load()
        try:
            self._take(checkpoint)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"the checkpoint is broken ({error}); delete it and train again") from error

    def _take(self, checkpoint: Checkpoint) -> None:
        history = checkpoint.progress["history"]
        if not isinstance(history, list) or not all(isinstance(epoch, dict) for epoch in history):
            raise ValueError("its history is none")
        for group, variables in self._variables().items():
            for i, variable in enumerate(variables):
                variable.assign(checkpoint.tensors[f"{group}.{i}"])
        self.history[:] = history
        if self.keep:
            from embedder.training.heldout import Score

            scores = [Score(**entry) for entry in checkpoint.progress["scores"]]
            best = checkpoint.progress["best_epoch"]
            if type(best) is not int or not 0 <= best < max(1, len(scores)):
                raise ValueError(f"its best epoch is {best!r:.40}")
            self.keep.scores, self.keep.best_epoch = scores, best
            self.keep.weights = [checkpoint.tensors[f"best.{i}"] for i in range(len(self.keep.weights))]

    def _variables(self) -> dict[str, list[Any]]:
        return {"model": self.head.model.variables, "optimizer": self.head.model.optimizer.variables}
