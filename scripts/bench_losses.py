"""What each loss gives: `face-resnet` trained on people 1-20 of ORL at 24 px, TPIR on people 21-40.

One seed, few epochs, no distillation: this shows that each works and which are far apart, not which of two
close ones is better. Figures are TPIR at FPIR 1 % (mean of 20 divisions into 10 known people and 10
strangers) of the last epoch. Prints a table and, last, one JSON line.

    python scripts/bench_losses.py [--epochs 8] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_main_job import head_alone, surroundings
from frontier import SMALL, Bench, prepare

from embedder._internal.runtime import Progress, import_keras
from embedder.config import TrainConfig
from embedder.training.run import train

LOSSES: dict[str, dict[str, Any]] = {
    "softmax": {"head": "softmax"},
    "center": {"head": "center", "center_weight": 0.5},
    "dense-center": {"head": "dense-center", "center_weight": 0.5},
    "softened": {"head": "softmax", "loss": "softened"},
    "f-beta": {"head": "softmax", "loss": "f-beta"},
    "poisson": {"head": "softmax", "loss": "poisson"},
    "activity-penalty": {"head": "softmax", "activity_penalty": 0.01},
    "feature-noise": {"head": "softmax", "feature_noise": 0.05},
    "arcface": {"head": "arcface"},
    "cosface": {"head": "cosface"},
    "subcenter-arcface": {"head": "subcenter-arcface"},
    "triplet": {"head": "triplet"},
    "triplet-cosine": {"head": "triplet-cosine"},
    "quadruplet": {"head": "quadruplet"},
    "contrastive": {"head": "contrastive"},
    "memory": {"head": "triplet", "memory": 64},
}


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=list(LOSSES), choices=LOSSES)
    options = parser.parse_args()
    import_keras()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders, sets, numbers = prepare(Path(scratch))
        bench = Bench({SMALL: sets[SMALL]}, numbers)
        print("| loss | TPIR at 24 px | s |\n| --- | --- | --- |")
        print(f"| before training | {bench.frozen[SMALL]:.3f} | |", flush=True)
        base = {"trunk": "face-resnet", "crop": "whole", "hold_out": 0.0}  # the last epoch, whatever it is
        for name in options.only:
            alone = head_alone(LOSSES[name]["head"]) | {"lr_schedule": "cosine", "epochs": options.epochs}
            config = TrainConfig(**{**base, **alone, **LOSSES[name]})
            start = time.perf_counter()
            train(folders[SMALL], Path(scratch) / "model", config, progress=Progress())
            seconds = time.perf_counter() - start
            tpir = bench.measure(Path(scratch) / "model", 1.0)[SMALL]
            rows.append({"loss": name, "tpir": tpir, "seconds": round(seconds, 1)})
            print(f"| {name} | {tpir:.3f} | {seconds:.0f} |", flush=True)
    facts = {"epochs": options.epochs, "seed": 0, "before": bench.frozen[SMALL], "rows": rows}
    print("\n" + json.dumps({"script": "bench_losses", **surroundings(), **facts}))


if __name__ == "__main__":
    main()
