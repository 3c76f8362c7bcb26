"""What agreement between frames is worth: how often strangers and known people are named, by three rules.

ORL, 10 photos a person, which stand for the frames of one appearance. In each of many random divisions 10
people are enrolled with 4 photos; their other 6 photos are an appearance, and the 10 of everyone else are one
of a stranger. At the threshold at which 1 % of the strangers' photos are named, counted over all divisions,
it is counted which appearances are named: by any frame, by the mean vector alone, and by the rule of
`enroll.agreement`. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from embedder.extractor import Extractor
from embedder.faces.crop import main_face
from embedder.folders import write_dataset
from embedder.images import load_image
from enroll.agreement import Evidence, agree
from enroll.decision import Decision, decide
from enroll.search.base import nearest_people
from enroll.search.exact import ExactIndex
from enroll.sightings import worth
from enroll.templates import Templates

KNOWN, ENROLLED = 10, 4
FPIR = 0.01  # of photos


def embed_orl(extractor: Extractor) -> tuple[Any, Any, list[tuple[float, bool]]]:
    """Give the vectors, the people and the worth of all photos of ORL in which a face is found."""
    vectors, people, worths = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        write_dataset("orl", Path(folder))
        for path in sorted(Path(folder).glob("*/*")):
            image = load_image(path)
            if crops := extractor.crops(image):
                crop = main_face(crops, image.shape)
                vectors.append(extractor.embed([crop.pixels])[0])
                people.append(path.parent.name)
                worths.append(worth(crop.quality))
    return np.stack(vectors), np.array(people, object), worths


def divisions(
    vectors: Any, people: Any, count: int, seed: int
) -> list[tuple[ExactIndex, list[Any], list[Any]]]:
    """Give galleries, each with the rows of the appearances of known people and of strangers."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        known = set(rng.permutation(np.unique(people))[:KNOWN])
        enrolled, mated, strangers = [], [], []
        for person in np.unique(people):
            rows = rng.permutation(np.flatnonzero(people == person))
            if person in known:
                enrolled += rows[:ENROLLED].tolist()
                mated.append(rows[ENROLLED:])
            else:
                strangers.append(rows)
        enrolled = sorted(enrolled)
        finder = ExactIndex(Templates(np.arange(len(enrolled)), people[enrolled], vectors[enrolled]))
        found.append((finder, mated, strangers))
    return found


def main() -> None:
    """Measure, and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divisions", type=int, default=50)
    parser.add_argument("--agree", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    vectors, people, worths = embed_orl(Extractor.load())
    drawn = divisions(vectors, people, options.divisions, options.seed)
    nearest = [
        near[0].distance
        for finder, _, strangers in drawn
        for near in nearest_people(finder, vectors[np.concatenate(strangers)], 1)
    ]
    threshold = float(np.quantile(nearest, FPIR))
    counts: Counter[str] = Counter()
    for finder, mated, strangers in drawn:

        def decisions(rows: Any, finder: ExactIndex = finder) -> list[Decision]:
            return [decide(near, threshold) for near in nearest_people(finder, rows, 2)]

        for kind, appearances in (("known", mated), ("strangers", strangers)):
            for rows in appearances:
                evidence = Evidence()
                alone = decisions(vectors[rows])
                for row, decision in zip(rows, alone, strict=True):
                    evidence.add(vectors[row], decision, *worths[row])
                (joint,) = decisions(evidence.mean()[None])
                by_rule = agree(evidence, joint, options.agree).decision.identity
                right = people[rows[0]]
                for rule, names in (
                    ("any frame", {one.identity for one in alone} - {None}),
                    ("mean alone", {joint.identity} - {None}),
                    ("agreement", {by_rule} - {None}),
                ):
                    counts[f"{kind} {rule}"] += bool(names)
                    counts[f"{kind} {rule} wrong"] += kind == "known" and bool(names - {right})
                counts[kind] += 1
    shares = {
        f"{kind}, {rule}": round(counts[f"{kind} {rule}"] / counts[kind], 4)
        for kind in ("known", "strangers")
        for rule in ("any frame", "mean alone", "agreement")
    }
    print(
        json.dumps(
            {
                "threshold": round(threshold, 4),
                "strangers' photos named": FPIR,
                "named": shares,
                "wrong names": {
                    rule: counts[f"known {rule} wrong"] for rule in ("any frame", "mean alone", "agreement")
                },
                "appearances": {kind: counts[kind] for kind in ("known", "strangers")},
                "divisions": options.divisions,
                "agree": options.agree,
                "seed": options.seed,
            }
        )
    )


if __name__ == "__main__":
    main()
