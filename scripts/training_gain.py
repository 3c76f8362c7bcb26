"""What `embed train` gives with its defaults, on people held out of training: few pixels, clean, and crossed.

Trains on people 1-20 of ORL, found and aligned, and reports TPIR at FPIR 1 % on people 21-40, before and
after: their aligned faces as they are; shrunk to 12 or 10 pixels (`--sizes`) and enlarged, enrolled and
searched alike; enrolled as they are and searched so shrunk. Each figure is the mean over 10 random halves, 5
photos enrolled. What training chooses, it chooses on people it holds out of its own folder.

With --faces a folder of aligned faces, FOLDER/<person>/<photos>, is trained on likewise: its first half of
the people is learned from, the rest is reported. Each model is also measured on the clean faces of the other
set, which shows what it forgets; and with each vector averaged with that of the mirror picture, as models
trained with `--mirror` do. Prints a table and, last, one JSON line.

    python scripts/training_gain.py [--seeds 1] [--faces FOLDER] [--only orl faces]
        [--sizes 12 10] [--set OPTION=JSON ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from PIL import Image

from embedder import Extractor, load_image
from embedder._internal.runtime import Progress
from embedder.built_in import load_built_in
from embedder.config import TrainConfig
from embedder.faces.crop import Cropping, load_cropper, main_face
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import gallery_searches, unit_vectors
from embedder.training.run import train
from embedder.trunks import find_trunk

SIDE = 112
ENROLLED = 5
HALVES = 10
FPIR = 0.01
MOST = 30  # photos of a person

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Vectors = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class People:
    """Aligned faces of some people.

    Attributes:
        crops: (n, side, side, 3) uint8.
        labels: (n,) numbers of people.
    """

    crops: Pixels
    labels: np.ndarray[Any, np.dtype[np.intp]]


class Say(Progress):
    """Prints what training says."""

    def say(self, line: str) -> None:
        """Print it."""
        print(f"    {line}", flush=True)


def main() -> None:
    """Train, measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--faces", type=Path, help="folder of aligned faces")
    parser.add_argument("--only", nargs="+", default=["orl", "faces"], choices=("orl", "faces"))
    parser.add_argument("--sizes", nargs="+", type=int, default=[12, 10], help="pixels across a face")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=JSON")
    options = parser.parse_args()
    changes = {name: json.loads(value) for name, value in (entry.split("=", 1) for entry in options.set)}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        sets = {"orl": orl(Path(scratch))}
        if options.faces:
            sets["faces"] = aligned(options.faces, Path(scratch) / "faces")
        for name, (folder, crop, _) in sets.items():
            if name not in options.only:
                continue
            for seed in range(options.seeds):
                config = TrainConfig(**{"crop": crop, "seed": seed, **changes})
                train(folder, Path(scratch) / "before", TrainConfig(crop=crop, epochs=0))
                start = time.perf_counter()
                manifest = train(folder, Path(scratch) / "model", config, progress=Say()).manifest
                seconds = round(time.perf_counter() - start, 1)
                assert manifest is not None
                for when, mirror in product(("before", "model"), (False, True)):
                    figures = measure(Path(scratch) / when, mirror, name, sets, options.sizes)
                    shown = when.replace("model", "after") + (", mirror" if mirror else "")
                    facts = {"trained on": name, "seed": seed, "when": shown}
                    share = manifest.training["share"] if when == "model" else 0.0
                    rows.append({**facts, "share": share, "seconds": seconds, "tpir": figures})
                    print(table_row(rows[-1]), flush=True)
    print("\n" + "\n".join([table_head(rows[0]), *map(table_row, rows)]) + "\n")
    print(json.dumps({"script": "training_gain", **surroundings(), "options": changes, "rows": rows}))


def orl(scratch: Path) -> tuple[Path, str, People]:
    """Write people 1-20 of ORL to train on; give the others aligned."""
    write_dataset("orl", scratch / "orl")
    network = load_built_in().parts["detector"]
    cropper = load_cropper(Cropping("face", SIDE, find_trunk("sface").landmarks, network=network))
    crops, labels = [], []
    (scratch / "rest").mkdir()
    for sample in scan_folder(scratch / "orl").samples:
        if (number := int(sample.identity[1:])) > 20:
            image = load_image(sample.path)
            crops.append(main_face(cropper.crops(image), image.shape).pixels)
            labels.append(number)
    for number in range(21, 41):
        (scratch / "orl" / f"s{number:02d}").rename(scratch / "rest" / f"s{number:02d}")
    return scratch / "orl", "face", People(np.stack(crops), np.array(labels))


def aligned(source: Path, target: Path) -> tuple[Path, str, People]:
    """Link the first half of the people of a folder to train on; give the others."""
    scanned = scan_folder(source)
    learned = set(scanned.identities[: len(scanned.identities) // 2])
    numbers = {name: number for number, name in enumerate(scanned.identities)}
    crops: list[Pixels] = []
    labels: list[int] = []
    for sample in scanned.samples:
        if sample.identity in learned:
            (target / sample.identity).mkdir(parents=True, exist_ok=True)
            (target / sample.identity / sample.path.name).write_bytes(sample.path.read_bytes())
        elif labels.count(numbers[sample.identity]) < MOST:
            crops.append(load_image(sample.path))
            labels.append(numbers[sample.identity])
    return target, "whole", People(np.stack(crops), np.array(labels))


def measure(
    model: Path,
    mirror: bool,
    trained: str,
    sets: dict[str, tuple[Path, str, People]],
    sizes: Sequence[int],
) -> dict[str, float]:
    """Measure a model on people of its set that it has not met, and on the clean faces of the other set."""
    extractor = Extractor.load(model)

    def embed(crops: Pixels) -> Vectors:
        views = np.concatenate([crops, crops[:, :, ::-1]]) if mirror else crops
        return unit_vectors(extractor.embed(list(views)), mirror)

    people = sets[trained][2]
    vectors = {0: embed(people.crops)}
    vectors |= {side: embed(shrunk(people.crops, side)) for side in sizes}
    figures = {"clean": tpir(people, vectors[0])}
    figures |= {f"{side} px": tpir(people, vectors[side]) for side in sizes}
    figures |= {f"clean, {side} px": tpir(people, vectors[side], vectors[0]) for side in sizes}
    for other, (_, _, apart) in sets.items():
        if other != trained:
            figures["other set, clean"] = tpir(apart, embed(apart.crops))
    return figures


def shrunk(crops: Pixels, side: int) -> Pixels:
    """Shrink crops to so many pixels across, and enlarge them again."""
    cubic = Image.Resampling.BICUBIC
    small = [Image.fromarray(crop).resize((side, side), cubic) for crop in crops]
    return np.stack([np.asarray(picture.resize(crops.shape[1:3], cubic)) for picture in small])


def tpir(people: People, searched: Vectors, enrolled: Vectors | None = None) -> float:
    """Average TPIR at FPIR 1 % over random halves: known people and strangers."""
    return float(np.mean(tpirs(people, searched, enrolled)).round(4))


def tpirs(people: People, searched: Vectors, enrolled: Vectors | None = None, halves: int = HALVES) -> Any:
    """Give TPIR at FPIR 1 % for each of some random halves, alike for every model."""
    numbers = np.unique(people.labels)
    figures = []
    for half in range(halves):
        rng = np.random.default_rng([half])
        order = rng.permutation(numbers)
        known, strangers = order[: len(order) // 2], order[len(order) // 2 :]
        found = gallery_searches(searched, people.labels, known, strangers, ENROLLED, rng, enrolled)
        figures.append(found.tpir(FPIR))
    return np.array(figures)


def table_head(row: dict[str, Any]) -> str:
    """Two lines of Markdown."""
    columns = ["trained on", "seed", "when", "share", *row["tpir"], "s"]
    return "| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns)


def table_row(row: dict[str, Any]) -> str:
    """One line of Markdown."""
    cells = [row["trained on"], str(row["seed"]), row["when"], f"{row['share']:g}"]
    cells += [f"{value:.3f}" for value in row["tpir"].values()] + [f"{row['seconds']:.0f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
