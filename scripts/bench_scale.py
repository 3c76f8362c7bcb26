"""What `embed calibrate`, `embed gallery doctor` and `embed evaluate` take of large galleries: s, and MB.

Galleries of three sizes, each twice the one before, of people with five photos each, drawn from a model that
is fitted to ORL (`face_vectors.py`). The first two are the whole commands. `embed evaluate` would embed the
photos first; here all of its figures are computed of vectors, in a process of its own. How the time grows is
the slope between the smallest and the largest size, the logarithm of one over that of the other: 1 is linear,
2 quadratic. What takes longer than `--limit` is ended, and not tried with more. Prints a table and, last, one
JSON line.

    python scripts/bench_scale.py [--sizes 25000 50000 100000] [--limit 150] [--scratch FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_photos import EMBED
from face_vectors import draw_many, real_faces
from measured_run import run_measured
from synthetic_people import Population

from embedder import Extractor
from enroll.store import NewPerson
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate

PHOTOS = 5  # of each person
TOGETHER = 10_000  # people, in one transaction
SEED = 3
ENDED = 124  # exit code of `timeout`


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--limit", type=float, default=150, help="seconds that a job may take")
    parser.add_argument("--scratch", type=Path, help="folder for galleries, 1 kB a template")
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)  # vectors.npy
    options = parser.parse_args()
    if options.evaluate:
        evaluate_vectors(options.evaluate)
        return
    population = Population.fit(*real_faces())
    extractor = Extractor.load()
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            too_long = {row["job"] for row in rows if row["ended"]}
            rows += measure(Path(scratch), population, extractor, size, options.limit, too_long)
    for row in rows:
        ended = ", ended there" if row["ended"] else ""
        print(f"{row['templates']} templates, {row['job']}: {row['s']:.1f} s, {row['mb']:.0f} MB{ended}")
    from bench_main_job import surroundings

    facts = {"script": "bench_scale", **surroundings(), "seed": SEED, "largest": max(options.sizes)}
    print(json.dumps({**facts, "sizes": options.sizes, "limit": options.limit, "rows": rows}))


def measure(
    folder: Path, population: Population, extractor: Extractor, size: int, limit: float, left_out: set[str]
) -> list[dict[str, Any]]:
    """Draw a gallery and do with it what is not left out, each for so many seconds at most."""
    people = draw_many(population, size // PHOTOS, PHOTOS, SEED)
    gallery, vectors = folder / "gallery.db", folder / "vectors.npy"
    fill(gallery, extractor, people)
    np.save(vectors, people.reshape(-1, people.shape[2]))
    jobs = {
        "calibrate": [*EMBED, "calibrate", "--model", "built-in", "--gallery", str(gallery)],
        "doctor": [*EMBED, "gallery", "doctor", "--gallery", str(gallery), "--json"],
        "evaluate": [sys.executable, __file__, "--evaluate", str(vectors)],
    }
    rows = []
    for job, command in jobs.items():
        if job in left_out:
            continue
        cost = run_measured(["timeout", str(limit), *command], codes=(0, ENDED))
        row = {"templates": size, "job": job, "s": round(cost.wall, 2), "mb": round(cost.peak_mb, 1)}
        rows.append({**row, "cpu": round(cost.cpu, 2), "ended": cost.code == ENDED})
    return rows


def fill(path: Path, extractor: Extractor, people: np.ndarray[Any, Any]) -> None:
    """Write people, (n, photos, dim)."""
    with SqliteStore(path, create=True) as store:
        store.bind(extractor.fingerprint, extractor.dim)
        for start in range(0, len(people), TOGETHER):
            store.add_many(
                [
                    NewPerson(
                        f"person {start + row:06d}",
                        [
                            NewTemplate(f"{start + row}-{photo}.jpg", bytes_of(start + row, photo), vector)
                            for photo, vector in enumerate(own)
                        ],
                    )
                    for row, own in enumerate(people[start : start + TOGETHER])
                ]
            )


def bytes_of(person: int, photo: int) -> bytes:
    """Give 32 bytes that no other photo has."""
    return (person * PHOTOS + photo).to_bytes(32, "big")


def evaluate_vectors(path: Path) -> None:
    """Compute all that `embed evaluate` prints, of vectors."""
    from enroll.config import EvaluationConfig
    from enroll.evaluation.protocol import evaluate_samples
    from enroll.folder_embedding import EmbeddedFolder
    from enroll.report.evaluation import summarize

    vectors = np.load(path)
    labels = np.repeat(np.arange(len(vectors) // PHOTOS), PHOTOS)
    everything = np.ones(len(vectors), bool)
    folder = EmbeddedFolder(
        identities=tuple(f"person {person:06d}" for person in range(labels[-1] + 1)),
        labels=labels,
        vectors=vectors,
        found=everything,
        enrollable=everything,
        paths=tuple(Path(f"person {label:06d}", f"{row}.jpg") for row, label in enumerate(labels)),
        strangers=Extractor.load().manifest.strangers,
    )
    print(*summarize(evaluate_samples(folder, EvaluationConfig())).lines, sep="\n")


def growth(rows: list[dict[str, Any]], job: str) -> float | None:
    """Give the slope of a job's time, None unless it was done at two sizes."""
    own = sorted((row["templates"], row["s"]) for row in rows if row["job"] == job and not row["ended"])
    if len(own) < 2 or own[0][0] == own[-1][0]:
        return None
    (small, quick), (large, slow) = own[0], own[-1]
    return math.log(slow / quick) / math.log(large / small)


if __name__ == "__main__":
    main()
