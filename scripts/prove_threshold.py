"""Is the threshold honest from one person on? With what is known of strangers from other sets alone.

Vectors come from `fit_strangers.py --save`. For each set, what is known is fitted to all others, and
galleries of 1 to 20 of its people with 3 photos each are drawn; all its other people are the strangers.
Of sets of copies with few pixels (`--pixels` there) what is known is of ordinary photos of other people.
Printed: share of the galleries that kept FPIR at 1 % or below, mean FPIR and TPIR, the oracle's TPIR, and the
same for the gallery's own comparisons alone, which need four people. Then what one wrong photo does to the
threshold: filed under another name, copied, or a person under two names; and whether it was named.

    python scripts/prove_threshold.py vectors.npz [--splits 100]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from fit_strangers import AT

from embedder.metrics import threshold_at_fpir
from embedder.stranger_fit import fit_strangers
from embedder.strangers import StrangerDistances
from enroll.calibration import calibrate
from enroll.distances import person_distances
from enroll.probes import Probes

Array = np.ndarray[Any, Any]
TARGET, ENROLLED = 0.01, 3
SIZES = (1, 2, 3, 5, 8, 10, 20)
WRONG = ("filed wrongly", "copy", "two names")


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("vectors", type=Path)
    parser.add_argument("--splits", type=int, default=100)
    given = parser.parse_args()
    content = np.load(given.vectors)
    names = sorted({name.rpartition("/")[0] for name in content.files})
    sets = {name: (content[f"{name}/v"], content[f"{name}/l"]) for name in names}
    rows, moved = [], []
    for name, (vectors, labels) in sets.items():
        base, _, copies = name.partition(f" {AT} ")
        ordinary = {other: both for other, both in sets.items() if f" {AT} " not in other}
        known = fit_strangers([both for other, both in ordinary.items() if other != base])
        counts = np.bincount(labels)
        people = np.flatnonzero(counts > ENROLLED)
        if known is None or len(people) < 6:
            continue
        sizes = [size for size in SIZES if size <= 0.6 * len(people)]
        rows += [
            {"set": name, "gallery": size, **kept(vectors, labels, size, given.splits, known)}
            for size in sizes
        ]
        moved += [
            {
                "set": name,
                "gallery": size,
                "what": what,
                **spoilt(vectors, labels, size, given.splits, known, what),
            }
            for size in sizes
            if size > 1 and not copies
            for what in WRONG
        ]
    print("| set | gallery | kept | FPIR | TPIR | oracle | kept alone | TPIR alone |\n|" + " --- |" * 8)
    for row in rows:
        cells = " | ".join("–" if value is None else f"{value:.3f}" for value in list(row.values())[2:])
        print(f"| {row['set']} | {row['gallery']} | {cells} |")
    print("\n| set | gallery | what is wrong | named | mean move | largest move |\n|" + " --- |" * 6)
    for row in moved:
        print(
            f"| {row['set']} | {row['gallery']} | {row['what']} | {row['named']:.2f} | {row['mean']:+.3f} | "
            f"{row['worst']:+.3f} |"
        )
    facts = {"script": "prove_threshold", **surroundings(), "splits": given.splits}
    print(json.dumps({**facts, "rows": rows, "moved": moved}))


def kept(vectors: Array, labels: Array, size: int, splits: int, known: StrangerDistances) -> dict[str, Any]:
    """Draw galleries and search them for their people and for strangers."""
    outcomes: list[list[float]] = []
    for split in range(splits):
        rng = np.random.default_rng([split, size])
        people = rng.permutation(np.flatnonzero(np.bincount(labels) > ENROLLED))
        rows = [rng.permutation(np.flatnonzero(labels == person)) for person in people[:size]]
        gallery = np.concatenate([of[:ENROLLED] for of in rows])
        mated = np.concatenate([of[ENROLLED:] for of in rows])
        strange = vectors[np.isin(labels, people[size:])]
        whose = labels[gallery]
        nearest = person_distances(strange, vectors[gallery], whose).min(axis=1)
        own = person_distances(vectors[mated], vectors[gallery], whose)
        right = np.unique(whose)[own.argmin(axis=1)] == labels[mated]
        limits = [
            calibrate(vectors[gallery], whose, TARGET, known=known).distance,
            threshold_at_fpir(nearest, TARGET),
            calibrate(vectors[gallery], whose, TARGET, near=()).distance if size > 3 else np.nan,
        ]
        outcome: list[float] = []
        for limit in limits:
            outcome += [
                float((nearest <= limit).mean() <= TARGET),
                float((nearest <= limit).mean()),
                float((right & (own.min(axis=1) <= limit)).mean()),
            ]
        outcomes.append(outcome)
    keeps, fpir, tpir, _, _, oracle, alone, _, tpir_alone = np.mean(outcomes, axis=0)
    figures = {
        "kept": keeps,
        "fpir": fpir,
        "tpir": tpir,
        "oracle": oracle,
        "kept_alone": alone,
        "tpir_alone": tpir_alone,
    }
    return {
        name: None if size <= 3 and "alone" in name else round(float(value), 4)
        for name, value in figures.items()
    }


def spoilt(
    vectors: Array, labels: Array, size: int, splits: int, known: StrangerDistances, what: str
) -> dict[str, float]:
    """Draw galleries, spoil one photo or name, and see what becomes of the threshold."""
    moves, named = [], 0
    for split in range(splits):
        rng = np.random.default_rng([split, size])
        people = rng.permutation(np.flatnonzero(np.bincount(labels) > ENROLLED))[:size]
        rows = [rng.permutation(np.flatnonzero(labels == person)) for person in people]
        whose = np.repeat(np.arange(size), ENROLLED)
        gallery = np.concatenate([of[:ENROLLED] for of in rows])
        clean = calibrate(vectors[gallery], whose, TARGET, known=known).distance
        if what == "two names":
            more, extra = rows[1][ENROLLED : 2 * ENROLLED], size
        else:
            more, extra = rows[1][[ENROLLED if what == "filed wrongly" else 0]], 0
        spoilt_rows, spoilt_whose = np.append(gallery, more), np.append(whose, [extra] * len(more))
        near = Probes.of(vectors[spoilt_rows], spoilt_whose).near_people(known)
        named += any({pair.first, pair.second} == {1, extra} for pair in near)
        found = calibrate(vectors[spoilt_rows], spoilt_whose, TARGET, known=known, near=near)
        moves.append(found.distance - clean)
    worst = max(moves, key=abs)
    return {"named": named / splits, "mean": round(float(np.mean(moves)), 4), "worst": round(float(worst), 4)}


if __name__ == "__main__":
    main()
