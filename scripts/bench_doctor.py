"""Does `embed gallery doctor` find photos that were given to the wrong person?

Galleries of ORL's 40 people by the frozen `face-resnet`, from aligned faces as they are, and, for
information, from whole pictures shrunk to 24 pixels: all 10 photos of each person, or 5, 3 or 2 drawn at
random. 5 % of the photos are given to another person, both drawn by the seed. Counted over all seeds:

- found: wrong photos that the doctor lists, and of these those whose true person it names;
- false alarms: right photos that it lists, and those it lists in the gallery without wrong ones;
- double names: the same with the photos of 4 people divided between two names; pairs found, and others.

What the doctor takes for granted (`enroll/doctor/labels.py`) was chosen on people drawn from a
model of ORL (`synthetic_people.py`), not on these galleries.

With `--people` it also says how long it takes to examine a gallery of so many people drawn from that model, 5
photos each, and how much memory the process takes.

    python scripts/bench_doctor.py [--seeds 20] [--people 2000 20000]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from prove_calibration import embed_orl
from synthetic_people import Population

from enroll.doctor.examine import Examination, examine
from enroll.gallery.doctor import examine_gallery
from enroll.store import open_store
from enroll.templates import NewTemplate

Array = np.ndarray[Any, Any]
WRONG = 0.05
PHOTOS = (10, 5, 3, 2)  # of each person
DIVIDED = 4  # people under two names
AT_SCALE = 5  # photos of each drawn person


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--people", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        conditions, _ = embed_orl(Path(scratch))
        rows = [
            measured(name, *content, photos, arguments.seeds)
            for name, content in conditions.items()
            for photos in PHOTOS
        ]
        population = Population.fit(*conditions["aligned faces"])
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
            scale = [pool.submit(timed, population, people, scratch).result() for people in arguments.people]
    print("\n| photos | per person | wrong found | fewest in a gallery | true person named | false alarms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['photos']} | {row['per_person']} | {row['found']} of {row['wrong']} "
            f"({row['found'] / row['wrong']:.3f}) | {row['least']:.3f} | "
            f"{row['named'] / max(row['found'], 1):.3f} | "
            f"{row['alarms']} of {row['right']} ({row['alarms'] / row['right']:.4f}) |"
        )
    print("\n| photos | per person | false alarms without wrong photos | double names found | other pairs |")
    print("| --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['photos']} | {row['per_person']} | {row['clean_alarms']} of {row['clean']} | "
            f"{row['doubles_found']} of {row['doubles']} | {row['other_pairs']} |"
        )
    for row in scale:
        print(
            f"\n{row['templates']} templates examined in {row['seconds']:.1f} s, {row['mib']:.0f} MiB at most"
        )
    facts = {"script": "bench_doctor", **surroundings(), "seeds": arguments.seeds, "rows": rows}
    print(json.dumps({**facts, "scale": scale}))


def measured(photos: str, vectors: Array, labels: Array, per_person: int, seeds: int) -> dict[str, Any]:
    """Count what is found over all seeds."""
    sums = dict.fromkeys(("wrong", "found", "named", "right", "alarms", "clean", "clean_alarms"), 0)
    sums |= dict.fromkeys(("doubles", "doubles_found", "other_pairs"), 0)
    least = 1.0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, per_person])
        order = rng.permutation(len(labels))
        rows = np.concatenate([order[labels[order] == one][:per_person] for one in np.unique(labels)])
        true, people = labels[rows], len(np.unique(labels))

        given = true.copy()
        drawn = rng.permutation(len(rows))[: round(WRONG * len(rows))]
        given[drawn] = (true[drawn] + rng.integers(1, people, len(drawn))) % people
        wrong = np.zeros(len(rows), bool)
        wrong[drawn] = True
        like = mislabeled(examined(vectors[rows], given), given)
        found = [row for row in like if wrong[row]]
        least = min(least, len(found) / len(drawn))
        sums["wrong"] += len(drawn)
        sums["found"] += len(found)
        sums["named"] += sum(like[row] == int(true[row]) for row in found)
        sums["right"] += len(rows) - len(drawn)
        sums["alarms"] += len(like) - len(found)

        sums["clean"] += len(rows)
        sums["clean_alarms"] += len(examined(vectors[rows], true).judged.mislabeled)

        divided = true.copy()
        for number, one in enumerate(rng.permutation(people)[:DIVIDED]):
            own = np.flatnonzero(true == one)
            divided[own[: len(own) // 2]] = people + number
        pairs = doubles(examined(vectors[rows], divided))
        same = {(int(true[divided == people + number][0]), people + number) for number in range(DIVIDED)}
        sums["doubles"] += DIVIDED
        sums["doubles_found"] += len(pairs & same)
        sums["other_pairs"] += len(pairs - same)
    return {"photos": photos, "per_person": per_person, "least": least, **sums}


def examined(vectors: Array, labels: Array) -> Examination:
    """Examine a gallery of these people, in the order of their labels."""
    order = np.argsort(labels, kind="stable")
    return examine(vectors[order], labels[order])


def fill(gallery: Path, vectors: Array, labels: Array) -> None:
    """Enroll people, in the order of their labels and each one's photos in the order of the rows."""
    with open_store(gallery, create=True) as store:
        store.bind("f" * 64, vectors.shape[1])
        order = np.argsort(labels, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
            photos = [
                NewTemplate(str(row), hashlib.sha256(str(row).encode()).digest(), vectors[row])
                for row in rows
            ]
            store.add(f"{labels[rows[0]]:06d}", photos)


def mislabeled(found: Examination, given: Array) -> dict[int, int]:
    """Give the rows of suspected photos, and whom each is like, -1 for no one.

    Args:
        found: what the doctor says of the gallery of these photos.
        given: (n,) label of each.
    """
    order, names = np.argsort(given, kind="stable"), found.templates.names  # as they were examined
    return {
        int(order[entry.row]): int(names[entry.like]) if entry.like >= 0 else -1
        for entry in found.judged.mislabeled
    }


def doubles(found: Examination) -> set[tuple[int, int]]:
    """Give the pairs of labels that are taken for one person."""
    names = found.templates.names
    return {(int(names[pair.first]), int(names[pair.second])) for pair in found.duplicates}


def timed(population: Population, people: int, scratch: str) -> dict[str, Any]:
    """Examine a large gallery; in a process of its own, so that the memory is its own, too."""
    vectors, labels = population.draw(people, AT_SCALE, np.random.default_rng(people))
    gallery = Path(scratch) / f"{people}.db"
    fill(gallery, vectors, labels)
    before = peak()
    with open_store(gallery) as store:
        start = time.perf_counter()
        examine_gallery(store)
        seconds = time.perf_counter() - start
    return {"templates": len(labels), "seconds": seconds, "mib": peak(), "mib_before": before}


def peak() -> float:
    """Give the most memory that this process has had, MiB; `getrusage` would count its parent's, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
