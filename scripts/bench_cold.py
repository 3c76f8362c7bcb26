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
    there = {name for name, note in notes.items() if isinstance(note, dict)}
    commands = {"embed identify": identify} | rival_commands(there, folder, enrolled, probe)
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(repeats):
        for name, words in commands.items():
            cost = run_measured(words)
            answer = cost.output.strip()[:100].replace(str(folder), "")
            run = {"wall": round(cost.wall, 4), "peak_mb": round(cost.peak_mb, 1), "answer": answer}
            runs[name].append(run)
    return {"rivals": notes, "imports": imported(identify), "runs": runs}


def rival_commands(there: set[str], folder: Path, enrolled: list[Path], probe: Path) -> dict[str, list[str]]:
    """Let the rivals that are there enroll; gives the commands that answer the new photo."""
    commands = {}
    if "face_recognition" in there:
        known = folder / "known"
        known.mkdir()
        for path in enrolled:
            shutil.copy(path, known / f"{path.parent.name}-{path.name}")
        command = environment("face_recognition") / "face_recognition"
        commands["face_recognition"] = [str(command), str(known), str(probe)]
    if "opencv" in there:
        vectors = folder / "opencv.npz"
        run_measured(opencv_command("enroll", vectors, folder / "people"))
        commands["OpenCV, YuNet + SFace"] = opencv_command("identify", vectors, probe)
    if "deepface" in there:
        copied = folder / "deepface"  # it writes its vectors beside the photos
        shutil.copytree(folder / "people", copied)
        commands["deepface"] = deepface_command(copied, probe)
        run_measured(commands["deepface"])
    return commands


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
