"""Many photos: `embed enroll` and `embed identify` of a folder, photos/s, memory, and what the time goes to.

10,000 photos of 1,000 people (`bench_photos.py`; made once, kept below `.bench/`) are enrolled into a new
gallery and identified, each by one command. Theirs, on some of the same photos, is the command
`face_recognition` on all cores, with one known person, so that it does little else than find and embed.

Where the time goes: as many processes as there are cores, all at once and with one thread each, do nothing
but decode, then find, then run the network, on some of the photos; their processor time, scaled to all
photos, is compared with that of the whole command, start and all. What is left is `other`: aligning, judging,
searching, the gallery, waiting threads that spin.

Prints figures and, last, one JSON line.

    python scripts/bench_bulk.py [--photos 10000] [--repeats 1] [--sampled 400] [--theirs 200]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from bench_photos import EMBED, make_model, quantized, write_people
from bench_rivals import BENCH, rival_commands
from measured_run import Cost, run_measured

from embedder import Extractor
from embedder.faces.crop import load_detector, main_face
from embedder.images import decode_image, read_image_file
from embedder.model_folder import load_manifest, read_part

PER_PERSON = 10
SOME_UNUSABLE = 3  # exit code: the rest was done
INPUTS = 32  # of the network at a time
STAGES = ("decode", "find", "network")


def main() -> None:
    """Measure, print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sampled", type=int, default=400, help="photos to time the stages alone on")
    parser.add_argument("--theirs", type=int, default=200, help="photos that face_recognition gets")
    options = parser.parse_args()
    paths = write_people(BENCH / f"photos-{options.photos}", options.photos, PER_PERSON)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), paths, options.repeats, options.sampled, options.theirs)
    for name, runs in figures["runs"].items():
        for run in runs:
            print(f"{name}: {run['photos'] / run['wall']:.1f} photos/s, {run['peak_mb']:.0f} MB, {run}")
    print(f"processor ms a photo, alone: {figures['stages_ms']}")
    from bench_main_job import surroundings

    print(json.dumps({"script": "bench_bulk", **surroundings(), "seed": 0, **vars(options), **figures}))


def measure(folder: Path, paths: list[Path], repeats: int, sampled: int, theirs: int) -> dict[str, Any]:
    """Run the commands in turns, and the stages alone after each turn."""
    model = make_model(folder)
    models = {"": model, ", int8": quantized(model)}
    some = [paths[row] for row in np.linspace(0, len(paths) - 1, min(theirs, len(paths))).astype(int)]
    for name, chosen in (("known", some[:1]), ("some", some)):
        (folder / name).mkdir()
        for path in chosen:
            shutil.copy(path, folder / name)
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rivals, notes = rival_commands()
    stages: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        for kind, own in models.items():
            for name, cost in ours(paths, own, folder / "gallery.db").items():
                runs[name + kind].append(noted(cost, len(paths)))
        for build, command in rivals.items():
            cost = run_measured([command, "--cpus", "-1", str(folder / "known"), str(folder / "some")])
            runs[f"face_recognition, {build}"].append(noted(cost, len(some)))
        for stage, ms in alone(paths, model, sampled).items():
            stages[stage].append(round(ms, 3))
    return {"people": len(paths) // PER_PERSON, "rivals": notes, "runs": runs, "stages_ms": stages}


def ours(paths: list[Path], model: Path, gallery: Path) -> dict[str, Cost]:
    """Enroll the folder into a new gallery and identify all of it."""
    for file in gallery.parent.glob(f"{gallery.name}*"):
        file.unlink()
    options = ["--model", str(model), "--gallery", str(gallery)]
    enroll = [*EMBED, "enroll", str(paths[0].parents[1]), *options]
    identify = [*EMBED, "identify", *options, "--json", *map(str, paths)]
    codes = (0, SOME_UNUSABLE)
    return {"embed enroll": run_measured(enroll, codes), "embed identify": run_measured(identify, codes)}


def noted(cost: Cost, photos: int) -> dict[str, Any]:
    """What is kept of a run; photos answered with a face, if it was one that says so."""
    facts = {"photos": photos, "wall": round(cost.wall, 2), "cpu": round(cost.cpu, 2)}
    facts |= {"peak_mb": round(cost.peak_mb, 1), "code": cost.code}
    lines = cost.output.splitlines()
    if lines and lines[0].startswith("{"):
        facts["answered"] = sum(bool(json.loads(line)["faces"]) for line in lines)
    return facts


def alone(paths: list[Path], model: Path, sampled: int) -> dict[str, float]:
    """Processor time of each stage by itself, ms a photo, all cores at work."""
    cores = os.cpu_count() or 1
    each = max(1, min(sampled, len(paths)) // cores)
    rows = np.linspace(0, len(paths) - 1, each * cores).astype(int)
    parts = [[paths[row] for row in rows[core::cores]] for core in range(cores)]
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        seconds = list(pool.map(partial(stage_seconds, model=model), parts))
    return {stage: 1000 * sum(part[stage] for part in seconds) / len(rows) for stage in STAGES}


def stage_seconds(paths: list[Path], model: Path) -> dict[str, float]:
    """Processor seconds of each stage for some photos, in this process; loading is not counted."""
    manifest = load_manifest(model)
    extractor = Extractor.load(model, threads=1)
    detector = load_detector(manifest.detector.settings, read_part(model, manifest, "detector"))
    files = [read_image_file(path) for path in paths]
    detector.find(decode_image(files[0], paths[0]))
    images, decode = clocked(lambda: [decode_image(*pair) for pair in zip(files, paths, strict=True)])
    _, find = clocked(lambda: [detector.find(image) for image in images])
    crops = [main_face(crops, image.shape).pixels for image in images if (crops := extractor.crops(image))]
    inputs = len(crops) * (2 if manifest.mirror else 1)
    network = network_of(read_part(model, manifest, "extractor"), crops[0])
    _, run = clocked(lambda: [network.invoke() for _ in range(-(-inputs // INPUTS))])
    return {"decode": decode, "find": find, "network": run * inputs / (-(-inputs // INPUTS) * INPUTS)}


def network_of(content: bytes, crop: np.ndarray[Any, Any]) -> Any:
    """The bare network with a full batch of a crop, run once."""
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(model_content=content, num_threads=1)
    (given,) = network.get_input_details()
    network.resize_tensor_input(given["index"], (INPUTS, *crop.shape))
    network.allocate_tensors()
    network.set_tensor(given["index"], np.repeat(crop[None].astype(np.float32), INPUTS, axis=0))
    network.invoke()
    return network


def clocked(work: Any) -> tuple[Any, float]:
    """Do some work; gives its result and its processor seconds."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


if __name__ == "__main__":
    main()
