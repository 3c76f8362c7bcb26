"""What calibrating a large gallery costs: seconds, and memory beyond the templates.

Generated unit vectors of 128 numbers. Prints one JSON line.

    python scripts/bench_calibration.py [--people 200000] [--photos 2]
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
from bench_main_job import surroundings

from enroll.calibration import calibrate

DIM = 128
SEED = 1


def main() -> None:
    """Calibrate, and print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--photos", type=int, default=2)
    options = parser.parse_args()
    vectors = np.random.default_rng(SEED).standard_normal((options.people * options.photos, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.repeat(np.arange(options.people), options.photos)
    before, begun, worked = peak(), time.perf_counter(), time.process_time()
    found = calibrate(vectors, labels, 0.01)
    figures = {
        "seconds": round(time.perf_counter() - begun, 1),
        "cpu seconds": round(time.process_time() - worked, 1),
        "MiB before": before,
        "MiB at the peak": peak(),
        "distance": found.distance,
    }
    print(
        json.dumps({"script": "bench_calibration", **surroundings(), **vars(options), "seed": SEED} | figures)
    )


def peak() -> int:
    """Give the most memory that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
