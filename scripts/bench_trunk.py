"""How fast is the trunk, how near to the machine's limit, and what do rounded weights lose?

Makes the face trunk a model folder, as `embed train` with `--epochs 0` does, and quantizes it as `embed
quantize` does. `int8, fixed ranges` is tried besides: activations are rounded by ranges that are fixed
beforehand, from aligned photos of people 1-20 of ORL.

Speed: medians over rounds in which the models take turns. A crop is one input of the network; a face whose
mirror picture is averaged in is two. The limit is the float32 matrix product (scripts/machine_limit.py).

Loss: TPIR at FPIR 1 % on people 21-40 of ORL, divided at random into 10 known people, 5 photos enrolled, and
10 strangers; means over all divisions, alike for all models, and of what is lost the 95 % interval of the
mean over all divisions. `other people`: the 95 % interval of the loss when the 20 people are drawn again
(scripts/ablation.py). `aligned`: faces found and aligned, as the model does; the others are whole photos.

Prints tables and, last, one JSON line; with --write they go to docs/trunk.md and
docs/measurements/trunk.json.

    python scripts/bench_trunk.py [--divisions 5000] [--rounds 30] [--trained] [--write]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ablation import compare, resamples, search
from bench_main_job import ENROLLED, PEOPLE, random_people, surroundings
from conditions import SIZE, aligned_crops, small_crops
from machine_limit import blas, instructions, matrix_product, multiply_adds

from embedder import Extractor, load_image
from embedder._internal.runtime import Progress, quiet, usable_cores
from embedder.config import WEIGHTS, TrainConfig
from embedder.export.formats import rebuild_trunk
from embedder.export.quantize import quantize_model
from embedder.folders import scan_folder, write_dataset
from embedder.images import resize_to_square
from embedder.metrics import gallery_searches, squared_distances
from embedder.model_folder import Manifest, load_manifest, read_part
from embedder.training.run import train

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- scripts/bench_trunk.py -->", "<!-- end -->"
BATCHES = (1, 2, 32)
CROWDED = (1, 2, 8)  # threads for each core
BUSY = 0.5  # processes that want to run, on average over the minute before
FIGURE = "TPIR at FPIR 1 %"
FIXED = "int8, fixed ranges"
Networks = dict[str, tuple[Manifest, bytes]]


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--divisions", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--trained", action="store_true", help="train on people 1-20 first")
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/trunk.md")
    options = parser.parse_args()
    if options.trained and options.write:
        parser.error("--write: the page is of the trunk as it is, leave out --trained")

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    with tempfile.TemporaryDirectory() as scratch:
        networks, count, sets, numbers = prepare(
            Path(scratch), TrainConfig(epochs=None if options.trained else 0)
        )
    crops = sets["aligned"]
    limits = {str(threads): matrix_product(threads) for threads in (1, usable_cores())}
    facts = {
        "script": "bench_trunk",
        **surroundings(),
        "instructions": instructions(),
        "blas": blas(),
        "load": round(load, 2),
        "cores": usable_cores(),
        "trained": options.trained,
        "multiply_adds": count,
        "limit_gflops": {threads: round(limit, 1) for threads, limit in limits.items()},
        "rows": speeds(networks, crops, count, limits, options.rounds),
        "crowded": crowded(networks, crops, options.rounds),
        "divisions": options.divisions,
        "losses": losses(networks, sets, numbers, options.divisions),
    }
    text = "\n".join(report(facts))
    print(text + "\n")
    line = json.dumps(facts)
    if options.write:
        (DOCS / "measurements" / "trunk.json").write_text(line + "\n")
        page = DOCS / "trunk.md"
        page.write_text(replaced(page.read_text(), text))
    print(line)


def prepare(scratch: Path, config: TrainConfig) -> tuple[Networks, int, dict[str, Any], Any]:
    """Make networks, the crops of people 21-40 by condition, and whose they are; count multiply-adds."""
    write_dataset("orl", scratch / "all")
    (scratch / "train").mkdir()
    for name in PEOPLE[:20]:
        (scratch / "all" / name).rename(scratch / "train" / name)
    train(scratch / "train", scratch / "float32", config, progress=Progress())
    for weights in WEIGHTS:
        quantize_model(scratch / "float32", scratch / weights, weights)
    networks = {name: read_network(scratch / name) for name in ("float32", *WEIGHTS)}
    manifest = networks["float32"][0]
    trunk = rebuild_trunk(manifest, read_part(scratch / "float32", manifest, "weights"), manifest.trunk)
    known = aligned_crops([sample.path for sample in scan_folder(scratch / "train").samples])
    networks[FIXED] = manifest, with_fixed_ranges(trunk, known)

    samples = scan_folder(scratch / "all").samples
    paths = [sample.path for sample in samples]
    sets = {
        "aligned": aligned_crops(paths),
        "as is": np.stack([resize_to_square(load_image(path), SIZE) for path in paths]),
        "24 px": small_crops(paths),
    }
    return networks, multiply_adds(trunk), sets, np.array([PEOPLE.index(entry.identity) for entry in samples])


def read_network(folder: Path) -> tuple[Manifest, bytes]:
    """Read a model folder."""
    manifest = load_manifest(folder)
    return manifest, read_part(folder, manifest, "extractor")


def with_fixed_ranges(trunk: Any, crops: Any) -> bytes:
    """Convert a trunk to int8, its activations with the ranges that they have on some crops."""
    import tensorflow as tf

    def represent() -> Any:
        for crop in np.concatenate([crops, crops[:, :, ::-1]]):
            yield [crop[None].astype(np.float32)]

    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(trunk)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = represent
        converted: bytes = converter.convert()
    return converted


def timed(call: Callable[[], object]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(calls: dict[Any, Callable[[], object]], rounds: int) -> dict[Any, float]:
    """Median seconds of calls that take turns, after one round that does not count."""
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for number in range(1 + rounds):
        for name, call in calls.items():
            taken = timed(call)
            if number:
                seconds[name].append(taken)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def extractor_of(network: tuple[Manifest, bytes], threads: int | None = None) -> Extractor:
    """Run a network once a crop."""
    return Extractor(replace(network[0], mirror=False), network[1], threads=threads)


def speeds(
    networks: Networks, crops: Any, count: int, limits: dict[str, float], rounds: int
) -> list[dict[str, Any]]:
    """Size, milliseconds a crop and billions of operations a second of every network."""
    rows: list[dict[str, Any]] = [
        {"weights": name, "megabytes": round(len(data) / 1e6, 2), "ms": {}, "gflops": {}, "of_limit": {}}
        for name, (_, data) in networks.items()
    ]
    for threads, limit in limits.items():
        running = {name: extractor_of(network, int(threads)) for name, network in networks.items()}
        for batch in BATCHES:
            calls: dict[Any, Callable[[], object]] = {
                name: lambda extractor=extractor, batch=batch: extractor.embed(list(crops[:batch]))  # type: ignore[misc]
                for name, extractor in running.items()
            }
            taken = medians(calls, rounds)
            for row in rows:
                row["ms"].setdefault(threads, {})[str(batch)] = round(1e3 * taken[row["weights"]] / batch, 3)
        for row in rows:  # by the largest batch
            gflops = 2 * count / taken[row["weights"]] * batch / 1e9
            row["gflops"][threads], row["of_limit"][threads] = round(gflops, 1), round(gflops / limit, 3)
    return rows


def crowded(networks: Networks, crops: Any, rounds: int) -> dict[str, Any]:
    """Milliseconds a crop, two at a time, with more threads than cores; and of changing the batch size."""
    answer: dict[str, Any] = {}
    for name in ("float32", "int8"):
        running = {times: extractor_of(networks[name], times * usable_cores()) for times in CROWDED}
        calls: dict[Any, Callable[[], object]] = {
            times: lambda extractor=extractor: extractor.embed(list(crops[:2]))  # type: ignore[misc]
            for times, extractor in running.items()
        }
        taken = medians(calls, rounds)
        steady = {batch: extractor_of(networks[name]) for batch in (2, 3)}
        changing = extractor_of(networks[name])
        calls = {
            (kind, batch): lambda extractor=extractor, batch=batch: extractor.embed(list(crops[:batch]))  # type: ignore[misc]
            for batch, own in steady.items()
            for kind, extractor in (("steady", own), ("changing", changing))
        }
        change = medians(calls, rounds)
        answer[name] = {
            "ms": {str(times): round(1e3 * seconds / 2, 3) for times, seconds in taken.items()},
            "ms_of_a_change": round(
                1e3 * float(np.mean([change["changing", k] - change["steady", k] for k in steady])), 3
            ),
        }
    return answer


def losses(networks: Networks, sets: dict[str, Any], numbers: Any, divisions: int) -> list[dict[str, Any]]:
    """What each network's vectors find, and lose against those of float32."""
    weights, one = resamples(1)
    rows: list[dict[str, Any]] = []
    first: dict[str, tuple[Any, Any, Any]] = {}  # of float32: vectors, TPIRs, and these of drawn people
    for name, (manifest, data) in networks.items():
        row: dict[str, Any] = {"weights": name}
        for condition, crops in sets.items():
            vectors = Extractor(manifest, data).embed(list(crops))
            tpirs = np.array(
                [
                    gallery_searches(vectors, numbers, known, strangers, ENROLLED, rng).tpir(0.01)
                    for known, strangers, rng in random_people(divisions)
                ]
            )
            drawn = search(vectors, numbers).figures(weights)[:, None]
            own, own_tpirs, own_drawn = first.setdefault(condition, (vectors, tpirs, drawn))
            lost = 100 * (own_tpirs - tpirs)
            moved = np.sqrt(squared_distances(vectors, vectors)) - np.sqrt(squared_distances(own, own))
            row[condition] = {
                "tpir": round(float(tpirs.mean()), 5),
                "points_lost": round(float(lost.mean()), 3),
                "sure_to": round(float(1.96 * lost.std() / math.sqrt(divisions)), 3),
                "other_people": [round(100 * v, 2) for v in compare(own_drawn, drawn, one)[FIGURE][1:]],
                "least_cosine": round(float((vectors * own).sum(axis=1).min()), 5),
                "distances_moved": [round(float(moved.mean()), 5), round(float(np.abs(moved).max()), 4)],
            }
        rows.append(row)
    return rows


def loss_row(weights: str, condition: str, figures: dict[str, Any]) -> list[str]:
    """Cells of a row; float32 is what the others are compared with."""
    low, high = figures["other_people"]
    mean, most = figures["distances_moved"]
    compared = [
        f"{figures['points_lost']:+.2f} ± {figures['sure_to']:.2f}",
        f"{low:+.2f} to {high:+.2f}",
        f"{figures['least_cosine']:.4f}",
        f"{mean:+.4f}, {most:.4f}",
    ]
    shown = [""] * len(compared) if weights == "float32" else compared
    return [weights, condition, f"{figures['tpir']:.4f}", *shown]


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown."""
    return ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *rows)]


def report(facts: dict[str, Any]) -> list[str]:
    """Give what goes into docs/trunk.md."""
    every = str(facts["cores"])
    versions = facts["versions"]
    speed_rows = [
        [
            row["weights"],
            f"{row['megabytes']:.1f}",
            *(f"{row['ms'][threads][str(batch)]:.2f}" for threads in ("1", every) for batch in BATCHES),
            f"{row['gflops']['1']:.0f} / {row['gflops'][every]:.0f}",
            f"{100 * row['of_limit']['1']:.0f} % / {100 * row['of_limit'][every]:.0f} %",
        ]
        for row in facts["rows"]
    ]
    threads = f"{every} threads"
    loss_rows = [
        loss_row(row["weights"], condition, figures)
        for row in facts["losses"]
        for condition, figures in row.items()
        if condition != "weights"
    ]
    limit = facts["limit_gflops"]
    ideal = {n: 2e3 * facts["multiply_adds"] / (1e9 * limit[n]) for n in ("1", every)}  # ms
    measured = (
        f"Measured on {facts['machine']} ({', '.join(facts['instructions'])}), load before it began "
        f"{facts['load']:.1f}; Python {versions['python']}, LiteRT {versions['ai-edge-litert']}, numpy "
        f"{versions['numpy']} with {facts['blas']}."
    )
    counted = (
        f"One crop is {facts['multiply_adds'] / 1e6:.1f} million multiply-adds. The limit is "
        f"{limit['1']:.0f} GFLOP/s with 1 thread and {limit[every]:.0f} with {every}: {ideal['1']:.2f} and "
        f"{ideal[every]:.2f} ms a crop."
    )
    busy = (
        ["", "**Others used the machine meanwhile: the times mean little.**"] if facts["load"] >= BUSY else []
    )
    return [
        measured,
        *busy,
        "",
        counted,
        "",
        *table(
            [
                "weights",
                "MB",
                *(f"ms a crop, 1 thread, batch {batch}" for batch in BATCHES),
                *(f"{threads}, batch {batch}" for batch in BATCHES),
                f"GFLOP/s, 1 / {threads}",
                "of the float32 limit",
            ],
            speed_rows,
        ),
        "",
        *table(
            ["weights", *(f"{n} x cores: ms a crop, batch 2" for n in CROWDED), "ms of changing the batch"],
            [
                [name, *(f"{row['ms'][str(n)]:.2f}" for n in CROWDED), f"{row['ms_of_a_change']:+.2f}"]
                for name, row in facts["crowded"].items()
            ],
        ),
        "",
        *table(
            [
                "weights",
                "photos",
                FIGURE,
                "points lost",
                "other people",
                "least cosine",
                "distances moved: mean, most",
            ],
            loss_rows,
        ),
    ]


def replaced(page: str, text: str) -> str:
    """Put new text between the two markers of a page."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


if __name__ == "__main__":
    main()
