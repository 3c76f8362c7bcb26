"""Many photos of 1 to 5 megapixels: `embed enroll` and `embed identify`, beside OpenCV in two processes.

Photos of one person each (`bench_photos.py`; made once, kept below `.bench/`), ten a person, are enrolled in
a new gallery by the built-in network and identified, each by one command. The first half of them is
identified by itself before: memory is flat if all take no more than half. Theirs (`opencv_worker.py`: YuNet,
SFace, numpy) identifies the same half by as many processes as there are cores, one thread each.

Whether stages overlap: as many processes as there are cores, with one thread each, only decode, then find and
cut, then embed; the seconds that these take one after the other, scaled to all photos, are compared
with those of the command. Prints figures and, last, one JSON line.

    python scripts/bench_bulk.py [--photos 600] [--sampled 100]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from bench_photos import EMBED, write_people
from bench_rivals import BENCH, noted, opencv_command
from measured_run import Cost, run_measured

from embedder import Extractor
from embedder.images import decode_image, read_image_file

PER_PERSON = 10
SIZES = ((1152, 864), (1632, 1224), (2000, 1500), (2304, 1728), (2592, 1944))  # 1 to 5 megapixels
SOME_UNUSABLE = 3  # exit code: the rest was done
STAGES = ("decode", "find and cut", "embed")


def main() -> None:
    """Measure, print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--sampled", type=int, default=100, help="photos to time the stages alone on")
    options = parser.parse_args()
    paths = write_people(BENCH / f"photos-{options.photos}", options.photos, PER_PERSON, sizes=SIZES)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), paths, options.sampled)
    for name, run in figures["runs"].items():
        print(f"{name}: {run['photos'] / run['wall']:.1f} photos/s, {run['peak_mb']:.0f} MB, {run}")
    print(f"ms a photo, all cores at once: {figures['stages_ms']}")
    from bench_main_job import surroundings

    print(json.dumps({"script": "bench_bulk", **surroundings(), "seed": 0, **vars(options), **figures}))


def measure(folder: Path, paths: list[Path], sampled: int) -> dict[str, Any]:
    """Run the commands, theirs between ours, and the stages alone."""
    half = paths[: len(paths) // 2]
    for name, some in (("half", half), ("known", half[::PER_PERSON])):
        for path in some:
            (folder / name / path.parent.name).mkdir(parents=True, exist_ok=True)
            (folder / name / path.parent.name / path.name).symlink_to(path)
    known = ["--model", "built-in", "--gallery", str(folder / "gallery.db")]
    identify = [*EMBED, "identify", *known, "--json"]
    codes = (0, SOME_UNUSABLE)
    enrolled = run_measured([*EMBED, "enroll", str(paths[0].parents[1]), *known], codes)
    runs = {
        "embed enroll": kept(enrolled, len(paths)),
        "embed identify, half": kept(run_measured([*identify, *map(str, half)], codes), len(half)),
    }
    notes = noted(["opencv"])
    if isinstance(notes["opencv"], dict):
        vectors = folder / "opencv.npz"
        run_measured(opencv_command("enroll", vectors, folder / "known"))
        runs["OpenCV"] = kept(run_measured(opencv_command("bulk", vectors, folder / "half")), len(half))
    runs["embed identify"] = kept(run_measured([*identify, *map(str, paths)], codes), len(paths))
    return {"rivals": notes, "runs": runs, "stages_ms": alone(evenly(paths, sampled))}


def evenly(paths: list[Path], count: int) -> list[Path]:
    """Choose so many, spread over all."""
    return [paths[row] for row in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]


def kept(cost: Cost, photos: int) -> dict[str, Any]:
    """What is kept of a run; photos answered with a face, if it was one that says so."""
    facts = {"photos": photos, "wall": round(cost.wall, 2), "cpu": round(cost.cpu, 2)}
    facts |= {"peak_mb": round(cost.peak_mb, 1), "code": cost.code}
    lines = cost.output.splitlines()
    if lines and lines[0].startswith("{"):
        facts["answered"] = sum(bool(json.loads(line)["faces"]) for line in lines)
    return facts


def alone(paths: list[Path]) -> dict[str, float]:
    """What each stage takes by itself, ms a photo, all cores at work."""
    cores = os.cpu_count() or 1
    parts = [paths[core::cores] for core in range(cores)]
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        seconds = list(pool.map(stage_seconds, parts))
    slowest = {stage: max(part[stage] for part in seconds) for stage in STAGES}
    return {stage: round(1000 * took / len(paths), 3) for stage, took in slowest.items()}


def stage_seconds(paths: list[Path]) -> dict[str, float]:
    """Seconds of each stage for some photos, in this process; loading is not counted."""
    extractor = Extractor.load(threads=1)
    files = [read_image_file(path) for path in paths]
    extractor.faces(decode_image(files[0], paths[0]))
    spent = dict.fromkeys(STAGES, 0.0)
    for data, path in zip(files, paths, strict=True):
        times = [time.perf_counter()]
        image = decode_image(data, path)
        times.append(time.perf_counter())
        crops = [crop.pixels for crop in extractor.crops(image)]
        times.append(time.perf_counter())
        extractor.embed(crops)
        times.append(time.perf_counter())
        for stage, took in zip(STAGES, np.diff(times).tolist(), strict=True):
            spent[stage] += took
    return spent


if __name__ == "__main__":
    main()
