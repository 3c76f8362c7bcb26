"""`embed train` of a folder of 20 people with 10 photos each, by its defaults, up to the saved model.

The photos are ORL's, the first 20 people. The cache of found faces is empty at the start. Prints the seconds
of the whole command and, last, one JSON line.

    python scripts/bench_folder.py [--people 20] [--epochs N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

from bench_photos import EMBED
from measured_run import run_measured

from embedder.folders import write_dataset


def main() -> None:
    """Measure, print the seconds and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--epochs", type=int, help="fewer than by default, to see that it works")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "people"
        write_dataset("orl", folder)
        for person in sorted(folder.iterdir())[options.people :]:
            shutil.rmtree(person)
        photos = len(list(folder.glob("*/*")))
        command = [*EMBED, "train", str(folder), "--model", str(Path(scratch) / "model"), "--no-cache"]
        epochs = [] if options.epochs is None else ["--epochs", str(options.epochs)]
        cost = run_measured([*command, *epochs])
    said = f"{cost.wall:.1f} s, {cost.cpu:.1f} s of processors, {cost.peak_mb:.0f} MB"
    print(f"{options.people} people, {photos} photos: {said}")
    from bench_main_job import surroundings

    facts = {"script": "bench_folder", **surroundings(), "seed": 0, **vars(options), "photos": photos}
    cost_facts = {"s": round(cost.wall, 2), "cpu": round(cost.cpu, 2), "mb": round(cost.peak_mb, 1)}
    print(json.dumps({**facts, **cost_facts, "cores": os.cpu_count(), "said": cost.output[-400:]}))


if __name__ == "__main__":
    main()
