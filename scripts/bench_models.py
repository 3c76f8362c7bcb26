"""Each trunk as it is, before any training, on faces under conditions: the figures of the model cards.

All 40 people of ORL, found and aligned for the trunk; half of them at random are known, the others strangers.
Five clean photos of each known person are enrolled; searched for are their other five and all photos of the
strangers, under a condition of `conditions.py`, or shrunk to a few pixels and enlarged. Prints TPIR at FPIR
1 %, the mean over 20 halves and where 95 % of the halves lie, and, last, one JSON line.

    python scripts/bench_models.py [--trunks sface face-resnet small-cnn]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from conditions import CONDITIONS, SIZE, under
from PIL import Image

from embedder import Extractor, load_image
from embedder.built_in import load_built_in
from embedder.config import TrainConfig
from embedder.faces.crop import Cropping, load_cropper, main_face
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import gallery_searches
from embedder.training.run import train
from embedder.trunks import find_trunk

ENROLLED = 5
HALVES = 20
FPIR = 0.01
SIDES = (24, 16, 12)  # pixels across a searched face
TRUNKS = ("sface", "face-resnet", "small-cnn")

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def aligned(folder: Path, trunk: str) -> tuple[Pixels, np.ndarray[Any, Any]]:
    """Find and align the face of each photo as the trunk wants it: (n, 150, 150, 3), and whose it is."""
    landmarks = find_trunk(trunk).landmarks or find_trunk("face-resnet").landmarks
    network = load_built_in().parts["detector"]
    cropper = load_cropper(Cropping("face", SIZE, landmarks, network=network))
    crops, names = [], []
    for sample in scan_folder(folder).samples:
        image = load_image(sample.path)
        crops.append(main_face(cropper.crops(image), image.shape).pixels)
        names.append(sample.identity)
    return np.stack(crops), np.unique(names, return_inverse=True)[1]


def resized(crops: Pixels, side: int) -> list[Pixels]:
    """Shrink or enlarge square crops."""
    return [
        np.asarray(Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC)) for crop in crops
    ]


def measure(model: Path, crops: Pixels, labels: np.ndarray[Any, Any]) -> dict[str, list[float]]:
    """Give mean, low and high TPIR at FPIR 1 % for each condition."""
    extractor = Extractor.load(model)
    size = extractor.manifest.input_size
    clean = extractor.embed(resized(crops, size))
    found = {}
    for name in CONDITIONS:
        searched = clean if name == "clean" else extractor.embed(resized(under(name, crops), size))
        found[name] = rates(searched, clean, labels)
    for side in SIDES:
        small = np.stack(resized(np.stack(resized(crops, side)), SIZE))
        found[f"{side} pixels"] = rates(extractor.embed(resized(small, size)), clean, labels)
    return found


def rates(searched: Any, enrolled: Any, labels: np.ndarray[Any, Any]) -> list[float]:
    """Give the mean over random halves, and the bounds that 95 % of them lie between."""
    people = np.unique(labels)
    values = []
    for half in range(HALVES):
        rng = np.random.default_rng([half])
        order = rng.permutation(people)
        known, strangers = order[: len(order) // 2], order[len(order) // 2 :]
        found = gallery_searches(searched, labels, known, strangers, ENROLLED, rng, enrolled)
        values.append(found.tpir(FPIR))
    low, high = np.quantile(values, (0.025, 0.975))
    return [round(float(value), 3) for value in (np.mean(values), low, high)]


def main() -> None:
    """Measure each trunk; print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trunks", nargs="+", default=TRUNKS, choices=TRUNKS)
    given = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        write_dataset("orl", Path(scratch) / "orl")
        for trunk in given.trunks:
            model = Path(scratch) / trunk
            train(Path(scratch) / "orl", model, TrainConfig(trunk=trunk, crop="face", epochs=0))
            rows[trunk] = measure(model, *aligned(Path(scratch) / "orl", trunk))
            for name, (mean, low, high) in rows[trunk].items():
                print(f"| {trunk} | {name} | {mean:.3f} ({low:.2f} to {high:.2f}) |", flush=True)
    print(json.dumps({"script": "bench_models", **surroundings(), "halves": HALVES, "rows": rows}))


if __name__ == "__main__":
    main()
