"""One process of a small training run, for test_distributed.py: HOST:PORT PROCESSES PROCESS KIND FOLDER OUT.

KIND `parts` trains alone on what two processes would have seen, put together.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from embedder._internal.runtime import Progress
from embedder.backend import load_backend
from embedder.config import TrainConfig
from embedder.config.devices import DeviceConfig
from embedder.faces.crop import Cropping, load_cropper
from embedder.folders import scan_folder
from embedder.training.data.photos import read_photos
from embedder.training.processes import ProcessGroup, own_seed, people_of_this_process

coordinator, processes, process, kind, folder, out = sys.argv[1:]
devices = DeviceConfig(
    backend="jax",
    parallel="no" if kind == "parts" else kind,
    coordinator=coordinator,
    num_processes=int(processes),
    process_id=int(process),
    startup_timeout=float(os.environ.get("WAIT", "60")),
)
CONFIG = TrainConfig(
    trunk="small-cnn",
    head="center",
    input_size=32,
    batch_size=8,
    learning_rate=1e-3,
    center_rate=0.5,
    epochs=3,
)
CONFIG = replace(CONFIG, **json.loads(os.environ.get("OPTIONS", "{}")))
EPOCHS = 3
whole = scan_folder(folder)
PARTS = 2

load_backend(devices)
import keras  # noqa: E402

from embedder.heads import build_head, build_stem  # noqa: E402
from embedder.optimizers import build_optimizer  # noqa: E402
from embedder.training import distributed  # noqa: E402
from embedder.training.data.augmentation import Augmented  # noqa: E402
from embedder.training.data.batches import (  # noqa: E402
    Batches,
    Sampler,
)
from embedder.trunks import find_trunk  # noqa: E402


class Joined(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, parts: list[Batches]) -> None:
        super().__init__()
        self._parts = parts

    def __len__(self) -> int:
        return min(len(part) for part in self._parts)

    def __getitem__(self, index: int) -> Any:
        parts = [part[index] for part in self._parts]
        inputs = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
        return inputs, keras.tree.map_structure(
            lambda *rows: np.concatenate(rows), *[part[1] for part in parts]
        )

    def on_epoch_end(self) -> None:
        for part in self._parts:
            part.on_epoch_end()


class Die(keras.callbacks.Callback):  # type: ignore[misc]
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        match os.environ.get("DIE"):
            case "killed":
                os._exit(9)
            case "error":
                raise ValueError("no more")


def part(group: ProcessGroup) -> tuple[Batches, list[str]]:
    own = people_of_this_process(whole, group)
    photos = read_photos(own, load_cropper(Cropping("whole", 32)), Progress())
    seed = own_seed(CONFIG.seed, group)
    sampler = Sampler(photos.labels, CONFIG.batch_size // PARTS, seed, "shuffled", 4)
    labels = np.searchsorted(whole.identities, photos.identities)[photos.labels].astype(np.int32)
    batches = Batches(Augmented(photos.crops), labels, head.targets, sampler, seed)
    return batches, list(photos.identities)


def stands_for(index: int) -> ProcessGroup:
    group = ProcessGroup()
    group.count, group.index = PARTS, index
    return group


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


with distributed.joined(devices, say) as group:
    keras.utils.set_random_seed(0)
    with distributed.distribution(devices, CONFIG.batch_size):
        trunk = find_trunk("small-cnn").build(32)
        classes = distributed.padded_classes(len(whole.identities), devices)
        head = build_head(CONFIG, build_stem(CONFIG, trunk), classes)
        if group.count > 1:
            own, read = part(group)
            batches: Any = distributed.SharedBatches(own, group)
        else:
            parts = [part(stands_for(index)) for index in range(PARTS)]
            read = [name for _, names in parts for name in names]
            batches = Joined([own for own, _ in parts])
        head.model.compile(
            optimizer=build_optimizer(CONFIG, trunk, len(batches)), jit_compile=True, **head.compile
        )
        die = [Die()] if os.environ.get("DIES") == process else []
        log = head.model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=die).history
        weights = head.model.get_weights()
        variables = [*head.model.variables, *head.model.optimizer.variables]
        split = [v.path for v in variables if not v.value.sharding.is_fully_replicated]
np.savez(out, *weights, loss=log["loss"], read=read, split=split)
