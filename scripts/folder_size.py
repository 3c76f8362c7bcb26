"""How large a folder has to be for training to help: `embed train` on parts of people 1-20 of ORL.

Takes some people and some photos of each, trains `face-resnet` with its defaults on the whole pictures, and
measures gain and loss on people 21-40 as scripts/frontier.py does. Says also whether `embed train` itself
would have kept the trained weights, going by the people it held out. Prints a table and a JSON line.

    python scripts/folder_size.py [--seeds 2]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from frontier import SMALL, Bench, prepare

from embedder._internal.runtime import Progress, import_keras
from embedder.config import TrainConfig
from embedder.training.run import train

SIZES = ((4, 10), (8, 10), (14, 10), (20, 3), (20, 10))  # people, photos of each


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    import_keras()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folders, sets, numbers = prepare(Path(scratch))
        bench = Bench(sets, numbers)
        print("| people x photos | TPIR at 24 px | worst loss, points | helped, by the held-out people |")
        print("| --- | --- | --- | --- |")
        print(f"| none | {bench.frozen[SMALL]:.3f} | 0.0 | |", flush=True)
        for people, photos in SIZES:
            runs, helped = [], []
            for seed in range(options.seeds):
                folder = part_of(folders["as is"], Path(scratch) / "part", people, photos, seed)
                config = TrainConfig(trunk="face-resnet", crop="whole", keep_trained=True, seed=seed)
                result = train(folder, Path(scratch) / "model", config, progress=Progress())
                assert result.manifest is not None  # in one process
                helped.append(bool(result.manifest.training["helped"]))
                runs.append(bench.measure(Path(scratch) / "model", 1.0))
            row = bench.row(f"{people} x {photos}", 1.0, runs, [])
            rows.append({**row, "helped": helped})
            print(
                f"| {people} x {photos} | {np.mean(row['gain']):.3f} | {100 * np.mean(row['loss']):.1f} | "
                f"{sum(helped)} of {len(helped)} |",
                flush=True,
            )
    print(
        "\n" + json.dumps({"script": "folder_size", **surroundings(), "seeds": options.seeds, "rows": rows})
    )


def part_of(folder: Path, to: Path, people: int, photos: int, seed: int) -> Path:
    """Copy some photos of some people, drawn by the seed."""
    shutil.rmtree(to, ignore_errors=True)
    rng = np.random.default_rng([seed, people, photos])
    everyone = sorted(folder.iterdir())
    for person in rng.choice(len(everyone), people, replace=False):
        own = sorted(everyone[person].iterdir())
        (to / everyone[person].name).mkdir(parents=True)
        for photo in rng.choice(len(own), photos, replace=False):
            shutil.copy(own[photo], to / everyone[person].name)
    return to


if __name__ == "__main__":
    main()
