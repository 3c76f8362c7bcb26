"""The state of an unfinished run: one safetensors file, replaced whole after each epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from embedder.durable import write_whole
from embedder.errors import ModelError, UsageError

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """All that the next epoch depends on.

    Attributes:
        run: what determines the run: options, photos, versions.
        progress: epochs done, history and best epoch, as JSON values.
        tensors: variables of the model and the optimizer, and the best trunk so far.
    """

    run: Mapping[str, Any]
    progress: Mapping[str, Any]
    tensors: Mapping[str, NDArray[Any]]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a model folder.

    Raises:
        OSError: it cannot be written; the one before is still there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"run": json.dumps(checkpoint.run), "progress": json.dumps(checkpoint.progress)}
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in checkpoint.tensors.items()}
    write_whole(folder / FILE, save(tensors, metadata=facts))


def load_checkpoint(folder: Path, run: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint of a model folder, if it is of the same run.

    Args:
        folder: the model folder.
        run: what determines the present run.

    Raises:
        UsageError: there is none, or it is of a run with other options, photos or versions.
        ModelError: it is broken.
    """
    path = folder / FILE
    if not path.exists():
        raise UsageError(
            f"--resume: expected an unfinished run in {folder}, found no {FILE}; leave --resume out"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            facts = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        checkpoint = Checkpoint(facts["run"], facts["progress"], tensors)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path}: broken ({error}); delete it and train again") from error
    now = json.loads(json.dumps(run))
    if other := [name for name in now if checkpoint.run.get(name) != now[name]]:
        changed = ", ".join(f"{name} was {checkpoint.run.get(name)!r}, is {now[name]!r}" for name in other)
        raise UsageError(
            f"--resume: the unfinished run in {folder} differs: {changed}; restore it or start anew"
        )
    return checkpoint


def drop_checkpoint(folder: Path) -> None:
    """Delete the checkpoint of a run that is done."""
    (folder / FILE).unlink(missing_ok=True)
