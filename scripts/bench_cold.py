"""The first answer: `embed identify photo.jpg` in a fresh process, beside what one could take instead.

100 photos of 20 people (`bench_photos.py`) are enrolled by the built-in network; OpenCV's YuNet and SFace
(`opencv_worker.py`) and deepface (SFace, yunet) keep vectors of the same files, too; the command
`face_recognition` reads its folder of known people at every call, since it keeps nothing. Then all commands
answer the same new photo, in turns. Wall time and largest resident size are of the whole process; files are
in the system's cache. What `identify` imports. Prints medians and, last, one JSON line.

    python scripts/bench_cold.py [--photos 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from bench_photos import EMBED, orl_heads, write_people, write_photo
from bench_rivals import deepface_command, environment, noted, opencv_command
from measured_run import run_measured

PER_PERSON = 5
HEAVY = ("tensorflow", "keras", "sklearn", "scipy", "ai_edge_litert", "numpy", "PIL", "rich", "typer")


def main() -> None:
    """Measure, print the medians and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=100, help="enrolled ones")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), options.photos, options.repeats)
    for name, runs in figures["runs"].items():
        seconds, peak = (statistics.median(run[key] for run in runs) for key in ("wall", "peak_mb"))
        print(f"{name}: {seconds:.2f} s, {peak:.0f} MB")
    from bench_main_job import surroundings

    print(json.dumps({"script": "bench_cold", **surroundings(), "seed": 0, **vars(options), **figures}))


def measure(folder: Path, photos: int, repeats: int) -> dict[str, Any]:
    """Enroll, then let the commands take turns."""
    enrolled, probe = write_people(folder / "people", photos, PER_PERSON), folder / "photo.jpg"
    write_photo(probe, orl_heads(), person=0, number=photos)
    gallery = ["--model", "built-in", "--gallery", str(folder / "gallery.db")]
    run_measured([*EMBED, "enroll", str(folder / "people"), *gallery])
    identify = [*EMBED, "identify", str(probe), *gallery]
    notes = noted()
    commands = {"embed identify": identify} | rival_commands(notes, folder, enrolled, probe)
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(repeats):
        for name, words in commands.items():
            cost = run_measured(words)
            answer = cost.output.strip()[:100].replace(str(folder), "")
            run = {"wall": round(cost.wall, 4), "peak_mb": round(cost.peak_mb, 1), "answer": answer}
            runs[name].append(run)
    return {"rivals": notes, "imports": imported(identify), "runs": runs}


def rival_commands(
    notes: dict[str, Any], folder: Path, enrolled: list[Path], probe: Path
) -> dict[str, list[str]]:
    """Let the rivals that are there enroll; gives the commands that answer the new photo.

    What ends with an error is left out, and the note of it says so.
    """
    prepared = {
        "face_recognition": ("face_recognition", partial(known_folder, folder, enrolled, probe)),
        "opencv": ("OpenCV, YuNet + SFace", partial(opencv_vectors, folder, probe)),
        "deepface": ("deepface", partial(deepface_vectors, folder, probe)),
    }
    commands = {}
    for name, (title, prepare) in prepared.items():
        if isinstance(notes[name], dict):
            try:
                commands[title] = prepare()
            except RuntimeError as error:
                notes[name] = f"{name} does not run here: {' '.join(str(error).split())[-300:]}"
    return commands


def known_folder(folder: Path, enrolled: list[Path], probe: Path) -> list[str]:
    """Copy the enrolled photos into one folder of known people."""
    known = folder / "known"
    known.mkdir()
    for path in enrolled:
        shutil.copy(path, known / f"{path.parent.name}-{path.name}")
    return [str(environment("face_recognition") / "face_recognition"), str(known), str(probe)]


def opencv_vectors(folder: Path, probe: Path) -> list[str]:
    """Let OpenCV keep the vectors of the enrolled photos."""
    vectors = folder / "opencv.npz"
    run_measured(opencv_command("enroll", vectors, folder / "people"))
    return opencv_command("identify", vectors, probe)


def deepface_vectors(folder: Path, probe: Path) -> list[str]:
    """Let deepface keep the vectors of the enrolled photos; it does so beside them."""
    copied = folder / "deepface"
    shutil.copytree(folder / "people", copied)
    command = deepface_command(copied, probe)
    run_measured(command)
    return command


def imported(command: list[str]) -> dict[str, Any]:
    """What a command imports: how many modules, and which of the heavy packages, with their ms."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    lines = re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE)
    spent: dict[str, float] = defaultdict(float)
    for microseconds, module in lines:
        spent[module.partition(".")[0]] += int(microseconds) / 1000
    return {"modules": len(lines), "ms": {name: round(spent[name], 1) for name in HEAVY if name in spent}}


if __name__ == "__main__":
    main()
