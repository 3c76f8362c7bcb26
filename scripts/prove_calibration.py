"""Does `embed calibrate` keep its promise? Against fresh strangers, beside three common ways.

For gallery sizes from 5 to 100: draw a gallery, find the threshold for FPIR 1 % in it, search for people
nobody has seen, and see what share of them is named. A split is kept if that is at most 1 %. The promise is
95 % of the splits. Beside it, on the same galleries and strangers:

- fixed .6: the default of `face_recognition`, for vectors that are not of unit length; here divided by the
  median length of the same network's vectors;
- best F1: the distance that tells the gallery's own pairs of photos apart best, as TensorFlow Similarity
  calibrates;
- pairwise FMR: the distance at which 1 % of the gallery's pairs of two people pass, as published tables do;
- oracle: the largest distance that would have kept the promise with these very strangers; no one can know it.

The people are ORL's by the frozen `face-resnet` (aligned faces, and pictures shrunk to 24 pixels), and
people drawn from a model fitted to them (`synthetic_people.py`), of whom there are enough for large galleries
and for 1,000 strangers a split. With the 40 real people, galleries are of at most 20, and 20 others with 10
photos each are the strangers: a single look-alike is then named in 5 % of the searches. Also printed: how
well calibrated the confidence is, on the real people.

    python scripts/prove_calibration.py [--splits 100]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from PIL import Image
from synthetic_people import Population, compare

from embedder import Extractor, load_image
from embedder.config import TrainConfig
from embedder.extractor import LiteRTNetwork
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import threshold_at_fpir
from embedder.model_folder import load_manifest, read_part
from embedder.training.run import train
from enroll.calibration import calibrate
from enroll.config import EvaluationConfig
from enroll.distances import person_distances
from enroll.evaluation.protocol import evaluate_samples
from enroll.evaluation.samples import EmbeddedSamples
from enroll.evaluation.verification import PairComparisons

Array = np.ndarray[Any, Any]
TARGET = 0.01
ENROLLED, PROBES = 5, 3  # photos of each person
STRANGERS = 1000
SIZES = (5, 10, 20, 40, 100)
WAYS = ("calibrate", "fixed .6", "best F1", "pairwise FMR", "oracle")


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--splits", type=int, default=100)
    splits = parser.parse_args().splits
    with tempfile.TemporaryDirectory() as scratch:
        conditions, length = embed_orl(Path(scratch))
    rows: list[dict[str, Any]] = []
    likeness, trust = {}, {}
    for photos, (vectors, labels) in conditions.items():
        population = Population.fit(vectors, labels)
        likeness[photos] = compare(vectors, labels, population)
        trust[photos] = calibration_error(vectors, labels)
        rows += [real(photos, vectors, labels, size, splits, 0.6 / length) for size in SIZES if size <= 20]
        rows += [drawn(photos, population, size, splits, 0.6 / length) for size in SIZES]
    print("\n| photos | people | gallery | " + " | ".join(WAYS) + " |\n|" + " --- |" * (3 + len(WAYS)))
    for row in rows:
        cells = [f"{row[way]['kept']:.2f}, {row[way]['fpir']:.4f}, {row[way]['tpir']:.3f}" for way in WAYS]
        print(f"| {row['photos']} | {row['people']} | {row['gallery']} | " + " | ".join(cells) + " |")
    print("each: share of the splits that kept FPIR at 1 % or below, mean FPIR, mean TPIR\n")
    print(json.dumps({"likeness": likeness, "expected calibration error": trust}, indent=1))
    print(
        json.dumps(
            {
                "script": "prove_calibration",
                **surroundings(),
                "seed": 0,
                "splits": splits,
                "length": length,
                "likeness": likeness,
                "calibration_error": trust,
                "rows": rows,
            }
        )
    )


def embed_orl(scratch: Path) -> tuple[dict[str, tuple[Array, Array]], float]:
    """Embed ORL by the frozen trunk: faces found and aligned, and whole pictures shrunk to 24 pixels.

    Also gives the median length of what the network says before it is scaled to length 1.
    """
    write_dataset("orl", scratch / "orl")
    train(scratch / "orl", scratch / "model", TrainConfig(epochs=0, crop="face"))
    manifest = load_manifest(scratch / "model")
    network, detector = (read_part(scratch / "model", manifest, part) for part in ("extractor", "detector"))
    samples = scan_folder(scratch / "orl").samples
    _, labels = np.unique([sample.identity for sample in samples], return_inverse=True)
    images = [load_image(sample.path) for sample in samples]
    small = [
        np.asarray(Image.fromarray(image).resize((24, 24), Image.Resampling.LANCZOS)) for image in images
    ]
    extractor = Extractor(manifest, network, detector)
    crops = [extractor.crops(image)[0].pixels for image in images]
    aligned = extractor.embed(crops)
    features = LiteRTNetwork(network, manifest.input_size, manifest.dim, 1).run(np.stack(crops[::8]))
    length = float(np.median(np.linalg.norm(features, axis=1)))
    return {
        "aligned faces": (aligned, labels),
        "24 px": (Extractor(replace(manifest, crop="whole"), network).embed(small), labels),
    }, length


def real(photos: str, vectors: Array, labels: Array, size: int, splits: int, fixed: float) -> dict[str, Any]:
    """Galleries of real people; 20 other people are the strangers."""
    outcomes = []
    for split in range(splits):
        rng = np.random.default_rng([split, size])
        people = rng.permutation(np.unique(labels))
        rows = [rng.permutation(np.flatnonzero(labels == person)) for person in people[:size]]
        gallery = np.concatenate([of[:ENROLLED] for of in rows])
        mated = np.concatenate([of[ENROLLED:] for of in rows])
        strangers = vectors[np.isin(labels, people[-20:])]
        outcomes.append(
            one_split(vectors[gallery], labels[gallery], vectors[mated], labels[mated], strangers, fixed)
        )
    return {"photos": photos, "people": "real", "gallery": size, **summed_up(outcomes)}


def drawn(photos: str, population: Population, size: int, splits: int, fixed: float) -> dict[str, Any]:
    """Galleries and strangers drawn from the model."""
    outcomes = []
    for split in range(splits):
        rng = np.random.default_rng([split, size])
        vectors, labels = population.draw(size, ENROLLED + PROBES, rng)
        enrolled = np.arange(len(labels)) % (ENROLLED + PROBES) < ENROLLED
        strangers, _ = population.draw(STRANGERS, 1, rng)
        outcomes.append(
            one_split(
                vectors[enrolled], labels[enrolled], vectors[~enrolled], labels[~enrolled], strangers, fixed
            )
        )
    return {"photos": photos, "people": "drawn", "gallery": size, **summed_up(outcomes)}


def one_split(
    gallery: Array, labels: Array, mated: Array, mated_labels: Array, strangers: Array, fixed: float
) -> dict[str, tuple[float, float]]:
    """FPIR and TPIR of each way."""
    to_strangers = person_distances(strangers, gallery, labels).min(axis=1)
    people = np.unique(labels)
    to_mated = person_distances(mated, gallery, labels)
    right = people[to_mated.argmin(axis=1)] == mated_labels
    pairs = PairComparisons.of_vectors(gallery, labels)
    pairwise = pairs.at_fmr(TARGET).threshold
    thresholds = {
        "calibrate": calibrate(gallery, labels, TARGET).distance,
        "fixed .6": fixed,
        "best F1": pairs.best_f1()[0],
        "pairwise FMR": float(pairs.non_mated[0]) if pairwise is None else pairwise,
        "oracle": threshold_at_fpir(to_strangers, TARGET),
    }
    return {
        way: (
            float((to_strangers <= threshold).mean()),
            float((right & (to_mated.min(axis=1) <= threshold)).mean()),
        )
        for way, threshold in thresholds.items()
    }


def summed_up(outcomes: list[dict[str, tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Share of splits that kept the target, mean FPIR and mean TPIR of each way."""
    table = {way: np.array([outcome[way] for outcome in outcomes]) for way in WAYS}
    return {
        way: {
            "kept": float((values[:, 0] <= TARGET).mean()),
            "fpir": round(float(values[:, 0].mean()), 4),
            "tpir": round(float(values[:, 1].mean()), 4),
        }
        for way, values in table.items()
    }


def calibration_error(vectors: Array, labels: Array) -> float | None:
    """Expected calibration error of the confidence over 20 splits of the real people."""
    count = len(labels)
    samples = EmbeddedSamples(
        identities=tuple(f"s{label:02d}" for label in np.unique(labels)),
        labels=labels.astype(np.int64),
        vectors=vectors,
        found=np.ones(count, bool),
        enrollable=np.ones(count, bool),
    )
    measured = evaluate_samples(samples, EvaluationConfig(enrolled=ENROLLED)).reliability()
    return None if measured is None else round(measured.error, 4)


if __name__ == "__main__":
    main()
