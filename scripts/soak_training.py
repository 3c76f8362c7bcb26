"""Does memory stay flat with many people? 10,000 generated people with 10 photos each, one epoch.

Writes the photos into a temporary folder, trains on it like `embed train`, and reads the resident size of the
process (VmRSS) along the way. Prints it and, last, one JSON line. The exit code is 1 if the resident size
after step 1,000 is more than 5 % above that after step 100. Linux only.

    python scripts/soak_training.py [--people 10000] [--photos 10] [--head center] [--hold-out 0] ...
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_main_job import surroundings
from PIL import Image

from embedder._internal.runtime import Advance, Progress
from embedder.config import TrainConfig
from embedder.training.run import train

SIDE = 48  # pixels of a generated photo
FIRST, LAST, ALLOWED = 100, 1000, 0.05


class Watch(Progress):
    """Notes seconds and resident size when a bar ends and every so many training steps."""

    def __init__(self, every: int) -> None:
        """Note steps that are multiples of `every`."""
        self.steps: dict[int, float] = {}
        self.stages: list[dict[str, float | str]] = []
        self._every, self._step = every, 0

    def say(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Count the batches of an epoch."""
        start = time.perf_counter()

        def advance(steps: int = 1, detail: str = "") -> None:
            if not label.startswith("Epoch"):
                return
            self._step += steps
            if self._step % self._every == 0:
                self.steps[self._step] = resident()
                print(f"step {self._step:6d}  {self.steps[self._step]:8.1f} MB  {detail}", flush=True)

        yield advance
        seconds = round(time.perf_counter() - start, 1)
        self.stages.append({"stage": label, "of": total, "seconds": seconds, "resident": resident()})
        print(f"{label}: {total}, {seconds} s, {resident():.1f} MB", flush=True)


def main() -> int:
    """Generate, train, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--head", default="center")
    parser.add_argument("--hold-out", type=float, default=0.0, help="0: all people are classes")
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="steps between two looks at the memory")
    options = parser.parse_args()
    config = TrainConfig(
        trunk="small-cnn",
        head=options.head,
        input_size=options.input_size,
        hold_out=options.hold_out,
        epochs=options.epochs,
        crop="whole",
    )
    watch = Watch(options.every)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "people"
        start = time.perf_counter()
        generate(folder, options.people, options.photos)
        print(f"generated in {time.perf_counter() - start:.0f} s, {resident():.1f} MB", flush=True)
        start = time.perf_counter()
        train(folder, Path(scratch) / "model", config, progress=watch)
        seconds = time.perf_counter() - start
    growth = watch.steps[LAST] / watch.steps[FIRST] - 1 if {FIRST, LAST} <= watch.steps.keys() else None
    said = "not measured" if growth is None else f"{growth:+.2%}"
    print(f"resident size from step {FIRST} to step {LAST}: {said}; at most {ALLOWED:.0%} is allowed")
    facts = {
        "script": "soak_training",
        **surroundings(),
        "seed": config.seed,
        **vars(options),
        "seconds": round(seconds, 1),
        "stages": watch.stages,
        "resident_mb": watch.steps,
        "peak_mb": resident("VmHWM"),
        "growth": growth,
    }
    print(json.dumps(facts))
    return 0 if growth is not None and growth <= ALLOWED else 1


def generate(folder: Path, people: int, photos: int) -> None:
    """Write people as a labelled folder: a pattern each, with the noise of the photo."""
    for identity in range(people):
        place = folder / f"p{identity:05d}"
        place.mkdir(parents=True)
        rng = np.random.default_rng([7, identity])
        base = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((SIDE // 4, SIDE // 4, 1)))
        for photo in range(photos):
            picture = base + rng.normal(0, 12, (SIDE, SIDE, 3))
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(place / f"{photo}.bmp")


def resident(what: str = "VmRSS") -> float:
    """Read the resident size of this process, in MB of 10^6 bytes; `VmHWM` is the highest so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
