"""What a gallery's file costs at size: reading, opening, enrolling one more, erasing one, sweeping.

Generated unit vectors of 128 numbers, two photos a person; each measurement in a process of its own. Prints a
table and, last, one JSON line.

    python scripts/bench_store.py [--sizes 10000 100000 1000000] [--encrypted] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sqlite3  # noqa: TID251  (its version)
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from enroll.store import Key, NewPerson
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate

DIM = 128
PHOTOS = 2
TOGETHER = 10_000  # people
SEED = 1
KEY = Key(bytes(32), "the benchmark's")
REPEATS = 5


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure[0], Path(options.measure[1]), options.encrypted)))
        return
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "gallery.db"
            row: dict[str, Any] = {"templates": size, "encrypted": options.encrypted}
            row["fill s"] = timed(lambda: fill(path, size, options.encrypted))  # noqa: B023
            row["MB"] = round(path.stat().st_size / 1e6, 1)
            for what in ("open", "read", "add one", "remove one", "verify", "sweep"):
                row |= in_own_process(what, path, options.encrypted)
        rows.append(row)
    for name in rows[0]:
        print(f"{name:16}" + "".join(f"{row[name]!s:>14}" for row in rows))
    print(json.dumps({"rows": rows, **surroundings()}))


def fill(path: Path, size: int, encrypted: bool) -> None:
    """Write people with generated vectors, some thousands a transaction."""
    generator = np.random.default_rng(SEED)
    with SqliteStore(path, create=True, key=KEY if encrypted else None) as store:
        store.bind("f" * 64, DIM)
        for first in range(0, size // PHOTOS, TOGETHER):
            store.add_many(
                [
                    NewPerson(
                        f"person {person}", [picture(generator, f"{person}/{n}.jpg") for n in range(PHOTOS)]
                    )
                    for person in range(first, min(first + TOGETHER, size // PHOTOS))
                ]
            )


def picture(generator: np.random.Generator, photo: str) -> NewTemplate:
    """A generated template."""
    vector = generator.normal(size=DIM).astype("<f4")
    vector /= np.linalg.norm(vector)
    return NewTemplate(photo, generator.bytes(32), vector)


def measure(what: str, path: Path, encrypted: bool) -> dict[str, Any]:
    """Measure one thing, in this process; gives seconds, and the peak of memory where it is of interest."""
    begun = time.perf_counter()
    with SqliteStore(path, key=KEY if encrypted else None) as store:
        opened = time.perf_counter() - begun
        if what == "open":
            return {"open s": round(opened, 4)}
        if what == "read":
            seconds = timed(store.templates)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            return {"read s": seconds, "read peak MiB": round(peak)}
        generator = np.random.default_rng(SEED + 1)
        if what == "add one":
            times = [
                timed(lambda: store.add(f"new {n}", [picture(generator, f"{n}.jpg")]))  # noqa: B023
                for n in range(REPEATS)
            ]
        elif what == "remove one":
            times = [timed(lambda: store.remove(f"person {n}")) for n in range(REPEATS)]  # noqa: B023
        elif what == "verify":
            times = [timed(store.verify)]
        else:
            store._connection.run("UPDATE gallery SET sweep = sweep + 1")
            from enroll.store.sqlite.maintenance import finish_sweep

            times = [timed(lambda: finish_sweep(store._connection, encrypted))]
        return {f"{what} s": round(statistics.median(times), 4)}


def in_own_process(what: str, path: Path, encrypted: bool) -> dict[str, Any]:
    """Run `measure` in a fresh process."""
    command = [sys.executable, __file__, "--measure", what, str(path), *(["--encrypted"] * encrypted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def timed(action: Any) -> float:
    """Seconds that something takes."""
    begun = time.perf_counter()
    action()
    return round(time.perf_counter() - begun, 4)


def surroundings() -> dict[str, Any]:
    """Versions, seed and machine."""
    return {
        "seed": SEED,
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
        | {name: version(name) for name in ("numpy", "cryptography")},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()},
    }


if __name__ == "__main__":
    main()
