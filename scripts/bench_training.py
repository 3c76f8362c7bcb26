"""Does reading photos hold training up? `embed train` against a bare `model.fit` on arrays in memory.

Both train the default network with `dense-center` on the faces of ORL, found and aligned: `embed train` with
its own batches, augmentation, progress and checks, the bare fit on a float32 array that is already there.
They take turns, once a round; an epoch is timed from its first batch to its last, the first epoch of each
turn, which compiles, is left out. Prints images/s of both, their ratio, a table and, last, one JSON line.

    python scripts/bench_training.py [--rounds 3] [--epochs 3]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_main_job import head_alone, surroundings

from embedder._internal.runtime import Advance, Progress, import_keras
from embedder.built_in import load_built_in
from embedder.config import FilledConfig, TrainConfig
from embedder.faces.crop import Cropping, load_cropper
from embedder.folders import scan_folder, write_dataset
from embedder.training.data.photos import Photos, read_photos
from embedder.training.run import train
from embedder.trunks import find_trunk

PEOPLE = 32  # of 10 photos: 10 batches of 32 an epoch


class Clock(Progress):
    """Notes how long each epoch took, from the opening of its bar to its last batch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Time a bar if it is an epoch's."""
        start = last = time.perf_counter()

        def advance(steps: int = 1, detail: str = "") -> None:
            nonlocal last
            last = time.perf_counter()

        yield advance
        if label.startswith("Epoch"):
            self.seconds.append(last - start)


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="timed ones, a round")
    options = parser.parse_args()
    import_keras()
    # without distillation, so that both do the same work.
    alone = head_alone("dense-center") | {"epochs": options.epochs + 1}
    plain = TrainConfig(head="dense-center", hold_out=0.0, **alone)
    trunk = find_trunk(plain.trunk)
    config = plain.filled(trunk.schedule, trunk.input_size, trunk.crop, trunk.mirror)
    rates: dict[str, list[float]] = {"embed train": [], "bare fit": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "orl"
        write_dataset("orl", folder)
        for person in sorted(folder.iterdir())[PEOPLE:]:
            for photo in person.iterdir():
                photo.unlink()
            person.rmdir()
        network = load_built_in().parts["detector"]
        cropping = Cropping("face", trunk.input_size, trunk.landmarks, network=network)
        photos = read_photos(scan_folder(folder), load_cropper(cropping), Progress())
        for _ in range(options.rounds):
            clock = Clock()
            train(folder, Path(scratch) / "model", config, progress=clock)
            for name, seconds in (
                ("embed train", clock.seconds[1:]),
                ("bare fit", bare_fit(photos, config, options.epochs)),
            ):
                rates[name].append(len(photos.labels) / statistics.median(seconds))
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    ratio = statistics.median(ratios)
    print("| | images/s |\n| --- | --- |")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):.1f} |")
    print(f"| ratio | {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f}) |\n")
    facts = {"rounds": options.rounds, "epochs": options.epochs, "seed": config.seed, "ratio": ratio}
    facts["trunk"] = config.trunk
    print(json.dumps({"script": "bench_training", **surroundings(), **facts, "images/s": rates}))


def bare_fit(photos: Photos, config: FilledConfig, epochs: int) -> list[float]:
    """Train with nothing but Keras; seconds of each epoch but the first."""
    import keras
    import numpy as np

    from embedder.heads import build_head, build_stem

    images = photos.crops.take(np.arange(len(photos.labels))).astype(np.float32)
    trunk = find_trunk(config.trunk).build()
    head = build_head(config, build_stem(config, trunk), len(photos.identities))
    head.model.compile(optimizer=keras.optimizers.Adam(1e-4), jit_compile=False, **head.compile)
    clock = EpochClock()
    inputs: Any = {"image": images, "label": photos.labels}
    head.model.fit(
        inputs,
        head.targets(photos.labels),
        batch_size=config.batch_size,
        epochs=epochs + 1,
        verbose=0,
        callbacks=[clock],
    )
    seconds: list[float] = clock.seconds[1:]
    return seconds


def EpochClock() -> Any:  # noqa: N802 - a class, made late: Keras is heavy
    """Make a callback that times epochs."""
    import keras

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []
            self._start = self._last = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._start = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self._last = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(self._last - self._start)

    return Clock()


if __name__ == "__main__":
    main()
