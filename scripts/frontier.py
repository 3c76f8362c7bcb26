"""What does fine-tuning give, and what does it forget? Gain against loss for several ways to train.

Every method learns from people 1-20 of ORL, all of them to its last epoch, as the second training of
`--refit` does. Gain: TPIR at FPIR 1 % on people 21-40, of `face-resnet` on whole photos shrunk to 24 x 24
pixels, of `sface`, or with --aligned, on aligned faces shrunk to 12 x 12. Loss: the worst drop of the same
figure against the trunk before training, over conditions that training never sees (scripts/conditions.py),
aligned faces of people 21-40. Each figure is the mean over 20 divisions into 10 known people, 5 photos
enrolled, and 10 strangers. A method whose weights are interpolated is trained once a seed and measured at
several shares of its trained weights. Prints a table and, last, a JSON line; with --figure also draws the
plane of gain and loss.

    python scripts/frontier.py [--trunk sface] [--aligned] [--seeds 3] [--methods NAME ...] [--figure PNG]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import training_gain
from bench_main_job import ENROLLED, PEOPLE, head_alone, random_people, surroundings
from conditions import CONDITIONS, aligned_crops, shrunk, small_crops, under
from PIL import Image

from embedder import Extractor, load_image
from embedder._internal.runtime import Progress, import_keras
from embedder.config import TrainConfig
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import gallery_searches
from embedder.model_folder import Manifest, load_manifest, read_part
from embedder.training.run import train

SPLITS = 20
SMALL = "24 px"
ALIGNED = "12 px"
SHARES = (1.0, 0.8, 0.6, 0.4)
_CENTER_ALONE: dict[str, Any] = {"head": "center", "center_rate": 0.5, "triplet_weight": 0.0}
_PLAIN: dict[str, Any] = head_alone("softmax") | {
    "trunk": "face-resnet",
    "crop": "whole",
    "lr_schedule": "cosine",
    "hold_out": 0.0,  # the second training of --refit
    "epochs": 8,  # without distillation the gain comes early
}
_DISTILLED: dict[str, Any] = _PLAIN | {"distillation": 0.1, "degrade_to": 16, "freeze": 0.37, "epochs": 24}
# Photos that are learned from, options, shares of the trained weights.
Method = tuple[str, dict[str, Any], tuple[float, ...]]
_OF_FACE_RESNET: dict[str, Method] = {
    "center and triplets, degraded views": (
        "as is",
        {"trunk": "face-resnet", "crop": "whole", "hold_out": 0.0, "interpolate_weights": 1.0},
        SHARES,
    ),
    "triplets, distillation": (
        "as is",
        _DISTILLED | {"head": "triplet-cosine"},
        (1.0, 0.85, 0.75, 0.65, 0.5),
    ),
    "triplets": (SMALL, _PLAIN | {"head": "triplet-cosine"}, (1.0, 0.75, 0.5)),
    "center": (SMALL, _PLAIN | _CENTER_ALONE | {"center_weight": 0.5}, (1.0, 0.75, 0.5)),
    "softmax": (SMALL, _PLAIN | {"head": "softmax"}, (1.0, 0.75, 0.5)),
    "center, early layers slower": (
        SMALL,
        _PLAIN | _CENTER_ALONE | {"center_weight": 0.5, "layer_decay": 0.03},
        (1.0, 0.75, 0.5),
    ),
    "center, distillation": (
        "as is",
        _DISTILLED | _CENTER_ALONE | {"center_weight": 1.5, "batch_size": 16, "distillation": 1.0},
        (1.0, 0.75),
    ),
    "triplets, distillation, other light": (
        "as is",
        _DISTILLED | {"head": "triplet-cosine", "photometric": 1.0},
        (1.0, 0.75),
    ),
}
# The default, and what it is without one of its parts.
_CHANGES: dict[str, dict[str, Any]] = {
    "center and triplets": {},
    "center": {"triplet_weight": 0.0},
    "softmax": {"head": "softmax"},
    "triplets": {"head": "triplet-cosine"},
    "center and triplets, no distillation": {"distillation": 0.0},
}
_OF_SFACE: dict[str, Method] = {
    name: ("as is", {"trunk": "sface", "hold_out": 0.0, "interpolate_weights": 1.0, **changes}, SHARES)
    for name, changes in _CHANGES.items()
}
METHODS = {"face-resnet": _OF_FACE_RESNET, "sface": _OF_SFACE}


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trunk", choices=METHODS, default="face-resnet")
    parser.add_argument("--aligned", action="store_true", help="also learn from aligned faces; sface: always")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all of the trunk")
    parser.add_argument("--epochs", type=int, help="default: those of the method")
    parser.add_argument("--figure", type=Path, help="PNG to draw")
    parser.add_argument(
        "--rows", type=Path, help="JSON lines, a row each: taken from here if there, added if not"
    )
    options = parser.parse_args()
    methods = METHODS[options.trunk]
    if unknown := [name for name in options.methods or () if name not in methods]:
        parser.error(f"--methods: expected names of {', '.join(methods)}, got {', '.join(unknown)}")
    few = ALIGNED if options.aligned or options.trunk == "sface" else SMALL
    crop: dict[str, Any] = {"crop": "face"} if options.aligned else {}
    import_keras()
    with tempfile.TemporaryDirectory() as scratch:
        folders, sets, numbers = prepare(Path(scratch), options.trunk, few)
        bench = Bench(sets, numbers, options.trunk, few)
        rows = [bench.row("frozen", 0.0, [bench.frozen], [0.0])]
        print("\n".join([*table_head(bench.few), table_row(rows[0])]), flush=True)
        known = (
            [json.loads(line) for line in options.rows.read_text().splitlines()]
            if options.rows and options.rows.exists()
            else []
        )
        for method in options.methods or methods:
            photos, changes, shares = methods[method]
            if done := [row for row in known if row["method"] == method]:
                rows += done
                continue
            runs: dict[float, list[dict[str, float]]] = {share: [] for share in shares}
            seconds = []
            for seed in range(options.seeds):
                config = replace(TrainConfig(keep_trained=True, seed=seed), **(changes | crop))
                config = replace(config, epochs=options.epochs or config.epochs)
                start = time.perf_counter()
                train(folders[photos], Path(scratch) / "model", config, progress=Progress())
                seconds.append(time.perf_counter() - start)
                for share in shares:
                    runs[share].append(bench.measure(Path(scratch) / "model", share))
            for share in shares:
                rows.append(bench.row(method, share, runs[share], seconds))
                print(table_row(rows[-1]), flush=True)
                if options.rows:
                    with options.rows.open("a") as file:
                        file.write(json.dumps(rows[-1]) + "\n")
    print("\n" + "\n".join([*table_head(bench.few), *map(table_row, rows)]) + "\n")
    if options.figure:
        draw(rows, bench.few, options.figure)
    facts = {"script": "frontier", **surroundings(), "trunk": options.trunk, "seeds": options.seeds}
    print(json.dumps({**facts, "rows": rows}))


def prepare(
    scratch: Path, trunk: str = "face-resnet", few: str = SMALL
) -> tuple[dict[str, Path], dict[str, Any], Any]:
    """Write the folders to learn from; make the crops of people 21-40 under every condition."""
    write_dataset("orl", scratch / "all")
    folders = {"as is": scratch / "as is", SMALL: scratch / SMALL}
    for folder in folders.values():
        folder.mkdir()
    for name in PEOPLE[:20]:
        (folders[SMALL] / name).mkdir()
        for photo in sorted((scratch / "all" / name).iterdir()):
            Image.fromarray(shrunk(load_image(photo))).save(folders[SMALL] / name / f"{photo.stem}.png")
        (scratch / "all" / name).rename(folders["as is"] / name)
    samples = scan_folder(scratch / "all").samples
    paths = [sample.path for sample in samples]
    crops = aligned_crops(paths, trunk)
    poor = small_crops(paths) if few == SMALL else training_gain.shrunk(crops, 12)
    sets = {few: poor, **{name: under(name, crops) for name in CONDITIONS}}
    return folders, sets, np.array([PEOPLE.index(sample.identity) for sample in samples])


class Bench:
    """Measures trunks, and remembers what the trunk before training does.

    Args:
        sets: crops (n, side, side, 3) by condition.
        numbers: (n,) whose.
        trunk: its name.
        few: the condition that it gains on.
    """

    def __init__(
        self, sets: dict[str, Any], numbers: Any, trunk: str = "face-resnet", few: str = SMALL
    ) -> None:
        from embedder.trunks import find_trunk

        self._sets, self._numbers, self._facts = sets, numbers, find_trunk(trunk)
        self.few = few
        self._trunk = self._facts.build()
        self._before = self._trunk.get_weights()
        self.frozen = self._tpirs()

    def measure(self, model: Path, share: float) -> dict[str, float]:
        """TPIR at FPIR 1 % by condition, with a share of the trained weights of a model."""
        from embedder.training.heldout import interpolated

        stored = safetensors.numpy.load(read_part(model, load_manifest(model), "weights"))
        self._trunk.set_weights(interpolated(self._before, [stored[name] for name in sorted(stored)], share))
        return self._tpirs()

    def _tpirs(self) -> dict[str, float]:
        from embedder.export.litert import compile_trunk

        compiled = compile_trunk(self._trunk)
        digest = hashlib.sha256(compiled).hexdigest()
        facts, dim = self._facts, self._trunk.output_shape[1]
        manifest = Manifest(
            *(facts.name, "none", facts.input_size, "whole", None, None, facts.mirror, dim),
            *(digest, digest),
            strangers=None,
        )
        extractor = Extractor(manifest, compiled)
        return {name: self._tpir(extractor.embed(list(crops))) for name, crops in self._sets.items()}

    def _tpir(self, vectors: Any) -> float:
        parts = [
            gallery_searches(vectors, self._numbers, known, strangers, ENROLLED, rng).tpir(0.01)
            for known, strangers, rng in random_people(SPLITS)
        ]
        return round(float(np.mean(parts)), 4)

    def row(
        self, method: str, share: float, runs: list[dict[str, float]], seconds: list[float]
    ) -> dict[str, Any]:
        """Gain and loss of each seed."""
        drops = [{name: self.frozen[name] - run[name] for name in CONDITIONS} for run in runs]
        return {
            "method": method,
            "share": share,
            "gain": [run[self.few] for run in runs],
            "loss": [round(max(drop.values()), 4) for drop in drops],
            "worst": [max(drop, key=lambda name: drop[name]) for drop in drops],
            "tpir": runs,
            "seconds": [round(value, 1) for value in seconds],
        }


def table_head(few: str = SMALL) -> list[str]:
    """Two lines of Markdown."""
    columns = ["method", "trained weights", f"TPIR at {few}", "by seed", "worst loss, points", "by seed", "s"]
    return ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]


def table_row(row: dict[str, Any]) -> str:
    """One line of Markdown: means over seeds, and each seed."""
    gains = ", ".join(f"{gain:.3f}" for gain in row["gain"])
    losses = ", ".join(
        f"{100 * loss:.1f} {worst}" if loss > 0 else "0.0"
        for loss, worst in zip(row["loss"], row["worst"], strict=True)
    )
    cells = [
        row["method"],
        f"{row['share']:g}",
        f"{np.mean(row['gain']):.3f}",
        gains,
        f"{100 * np.mean(row['loss']):.1f}",
        losses,
        f"{np.median(row['seconds']):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def draw(rows: list[dict[str, Any]], few: str, path: Path) -> None:
    """Draw gain against loss: a line a method, along the share of the trained weights; a cross a seed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axes = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        points = [(100 * np.mean(row["loss"]), np.mean(row["gain"])) for row in own]
        (line,) = axes.plot(*zip(*points, strict=True), marker="o", label=method)
        for row in own:
            axes.plot(
                [100 * loss for loss in row["loss"]], row["gain"], "x", color=line.get_color(), alpha=0.35
            )
    axes.set(xlabel="worst loss elsewhere, points of TPIR", ylabel=f"TPIR at FPIR 1 %, ORL at {few}")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.grid(alpha=0.25)
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    main()
