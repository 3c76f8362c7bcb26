"""The table of docs/training.md: does training help on other people? ORL, as it is and at 24 x 24 pixels.

Trains on people 1-20. Then enrolls 5 photos each of people 21-30, searches with their other 5 photos and
with all photos of people 31-40 as strangers (`fixed`), and repeats that over 10 random divisions of people
21-40 into 10 known and 10 strangers (`splits`). Prints a table and, last, one JSON line.

    python scripts/bench_main_job.py [--seeds 3] [--photos "as is" "24 px"] [--trunks ...] [--heads ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from embedder import Extractor, load_image
from embedder.config import TrainConfig
from embedder.faces.crop import main_face
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import OpenSetScores, gallery_searches
from embedder.training.run import train

People = np.ndarray[Any, np.dtype[np.intp]]
PEOPLE = [f"s{number:02d}" for number in range(1, 41)]
TRAINED, KNOWN, STRANGERS = np.arange(0, 20), np.arange(20, 30), np.arange(30, 40)
ENROLLED = 5
SPLITS = 10
HEADS = ("frozen", "softmax", "center", "dense-center")
# What `face-resnet` would do by itself, as distillation, is switched off: heads are compared alone.
HEAD_ALONE: dict[str, Any] = {
    "learning_rate": 1e-4,
    "epochs": 20,
    "batch_size": 32,
    "photos_per_person": 4,
    "epoch_batches": 1,
    "center_rate": 0.5,
    "triplet_weight": 0.0,
    "unit_features": False,
    "degrade": "none",
    "relative_step": 0.0,
    "lr_schedule": "constant",
    "center_weight": 0.5,
    "distillation": 0.0,
    "freeze": 0.0,
    "interpolate_weights": 1.0,
    "refit": False,
}
FIGURES = ("rank-1", "TPIR at FPIR 1 %", "TPIR at FPIR 10 %")
_OF_CENTERS = ("center_weight", "center_rate", "triplet_weight")


def head_alone(head: str) -> dict[str, Any]:
    """Give the options of `HEAD_ALONE` that a head takes."""
    return {
        name: value
        for name, value in HEAD_ALONE.items()
        if name not in _OF_CENTERS[2 * (head == "dense-center") :] or head == "center"
    }


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", nargs="+", default=["as is", "24 px"])
    parser.add_argument("--trunks", nargs="+", default=["small-cnn", "face-resnet"])
    parser.add_argument("--heads", nargs="+", default=["frozen", "softmax", "center"], choices=HEADS)
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=JSON")
    options = parser.parse_args()
    base = TrainConfig(
        **{"crop": "whole"} | {name: json.loads(value) for name, value in (o.split("=") for o in options.set)}
    )

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for photos in options.photos:
            folder = prepare(Path(scratch) / photos, photos)
            for trunk in options.trunks:
                for head in options.heads:
                    rows.append(measure(folder, photos, trunk, head, base, options.seeds, Path(scratch)))
                    print(table_row(rows[-1]), flush=True)
    print("\n" + "\n".join([*table_head(), *map(table_row, rows)]) + "\n")
    print(json.dumps({"script": "bench_main_job", **surroundings(), "seeds": options.seeds, "rows": rows}))


def prepare(folder: Path, photos: str) -> Path:
    """Write ORL, shrunk first if `photos` says so; the first 20 people apart, to train on."""
    write_dataset("orl", folder / "all")
    if photos != "as is":
        side = int(photos.split()[0])
        for sample in scan_folder(folder / "all").samples:
            small = Image.fromarray(load_image(sample.path)).resize((side, side), Image.Resampling.BICUBIC)
            sample.path.unlink()
            small.save(sample.path.with_suffix(".png"))
    (folder / "train").mkdir()
    for name in PEOPLE[:20]:
        (folder / "all" / name).rename(folder / "train" / name)
    return folder


def measure(
    folder: Path, photos: str, trunk: str, head: str, base: TrainConfig, seeds: int, scratch: Path
) -> dict[str, Any]:
    """Train once a seed and search with people held out of training."""
    runs = []
    for seed in range(seeds):
        start = time.perf_counter()
        manifest = train(folder / "train", scratch / "model", options_of(base, trunk, head, seed)).manifest
        seconds = time.perf_counter() - start
        assert manifest is not None  # in one process
        extractor = Extractor.load(scratch / "model")
        vectors, labels = embed_people(folder / "all", extractor)
        threshold = manifest.strangers.threshold(0.01, 20) if manifest.strangers else float("nan")
        parts = list(divisions(vectors, labels, seed))
        runs.append(
            {
                "seed": seed,
                "seconds": round(seconds, 1),
                "best_epoch": manifest.training["best_epoch"],
                "fixed": figures([parts[0]]),
                "splits": figures(parts[1:]),
                "threshold": threshold,
                "fpir_at_threshold": float(np.mean([(p.non_mated <= threshold).mean() for p in parts[1:]])),
                "tpir_at_threshold": float(
                    np.mean([(p.correct & (p.mated <= threshold)).mean() for p in parts[1:]])
                ),
            }
        )
    return {"photos": photos, "trunk": trunk, "head": head, "runs": runs}


def options_of(base: TrainConfig, trunk: str, head: str, seed: int) -> TrainConfig:
    """Options of a run; `frozen` trains nothing, the others keep what they trained."""
    frozen = head == "frozen"
    config = replace(base, trunk=trunk, head="center" if frozen else head, seed=seed)
    if trunk == "face-resnet":
        assert config.head is not None
        own = {
            name: value for name, value in head_alone(config.head).items() if getattr(config, name) is None
        }
        config = replace(config, **own)
    return replace(config, epochs=0) if frozen else replace(config, keep_trained=True)


def embed_people(
    folder: Path, extractor: Extractor
) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.intp]]]:
    """Vectors and numbers (20 to 39) of the people who were not trained on."""
    samples = scan_folder(folder).samples
    images = [load_image(sample.path) for sample in samples]
    vectors = extractor.embed([main_face(extractor.crops(image), image.shape).pixels for image in images])
    return vectors, np.array([PEOPLE.index(sample.identity) for sample in samples])


def divisions(vectors: Any, labels: Any, seed: int) -> Iterator[OpenSetScores]:
    """First the fixed division into known and strangers, then the random ones."""
    rng = np.random.default_rng(seed)
    yield gallery_searches(vectors, labels, KNOWN, STRANGERS, ENROLLED, rng)
    for known, strangers, rng in random_people(SPLITS):
        yield gallery_searches(vectors, labels, known, strangers, ENROLLED, rng)


def random_people(splits: int) -> Iterator[tuple[People, People, np.random.Generator]]:
    """Divide people 21-40 into 10 known and 10 strangers, alike for every model; the rng draws on."""
    for split in range(splits):
        rng = np.random.default_rng([split])
        people = rng.permutation(np.concatenate([KNOWN, STRANGERS]))
        yield people[:10], people[10:], rng


def figures(parts: list[OpenSetScores]) -> dict[str, float]:
    """Means over divisions."""
    values = [(part.rank1, part.tpir(0.01), part.tpir(0.1)) for part in parts]
    return dict(zip(FIGURES, np.mean(values, axis=0).round(4).tolist(), strict=True))


def table_head() -> list[str]:
    """Two lines of Markdown."""
    columns = ["photos", "trunk", "head", *FIGURES, "TPIR / FPIR at its own threshold", "s"]
    return ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]


def table_row(row: dict[str, Any]) -> str:
    """One line of Markdown: median over seeds on the fixed division, and on the ten in parentheses."""
    median = {
        part: [float(np.median([run[part][figure] for run in row["runs"]])) for figure in FIGURES]
        for part in ("fixed", "splits")
    }
    cells = [f"{a:.3f} ({b:.3f})" for a, b in zip(median["fixed"], median["splits"], strict=True)]
    tpir, fpir, seconds = (
        float(np.median([run[name] for run in row["runs"]]))
        for name in ("tpir_at_threshold", "fpir_at_threshold", "seconds")
    )
    own = [f"{tpir:.3f} / {fpir:.3f}", f"{seconds:.0f}"]
    return "| " + " | ".join([row["photos"], row["trunk"], row["head"], *cells, *own]) + " |"


def surroundings() -> dict[str, Any]:
    """Versions and machine."""
    packages = ("tensorflow", "keras", "ai-edge-litert", "scikit-learn", "numpy", "pillow")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
    }


if __name__ == "__main__":
    main()
