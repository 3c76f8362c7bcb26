"""Finding faces: YuNet and dlib's HOG on the same composed photos, in turns.

Photos of 800 x 600 with one face of 107 to 230 pixels, and of 1600 x 1200 with six faces of 60 to 200, all
tilted by up to 15 degrees (`group_photos.py`). HOG is `face_recognition.face_locations` at its default, one
upsampling; ours are as `embed` loads them, with one thread. Times are of finding only, medians, the first
photo left out. A face counts as found if a box lies on it, as `bench_faces.py` says. Prints what each found
and, last, one JSON line.

    python scripts/bench_finding.py [--portraits 60] [--groups 20]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench_faces import is_on
from bench_photos import DEGREES, JPEG_QUALITY, SIZE, WIDTHS, orl_heads
from bench_rivals import start_rivals
from group_photos import Truth, compose
from PIL import Image

from embedder import load_image
from embedder.built_in import load_built_in
from embedder.config import DetectorConfig
from embedder.faces.crop import load_detector
from embedder.faces.detection import Detection, Detector

SEED = 2000
GROUP: dict[str, Any] = {"size": (1600, 1200), "people": 6, "widths": (60.0, 200.0)}
PORTRAIT: dict[str, Any] = {"size": SIZE, "people": 1, "widths": WIDTHS}
Find = Callable[[Path], tuple[list[Detection], float]]


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--portraits", type=int, default=60)
    parser.add_argument("--groups", type=int, default=20)
    options = parser.parse_args()
    heads = orl_heads().reshape(-1, 112, 92)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        search_indexes: dict[str, Find] = {
            "YuNet": partial(_ours, load_detector(DetectorConfig(), load_built_in().parts["detector"]))
        }
        rivals, notes = start_rivals(stack)
        search_indexes |= {f"HOG, {build}": partial(_theirs, rival) for build, rival in rivals.items()}
        for kind, how in (("portraits", PORTRAIT), ("groups", GROUP)):
            seeds = range(SEED, SEED + vars(options)[kind] + 1)
            made = (compose(heads, seed, degrees=DEGREES, **how) for seed in seeds)
            for name, figures in compare(search_indexes, made).items():
                rows.append({"photos": kind, "finder": name, **figures})
                print({**rows[-1], "ms": round(float(np.median(rows[-1]["ms"])), 1)}, flush=True)
    from bench_main_job import surroundings

    facts = {"script": "bench_finding", **surroundings(), "seed": SEED, **vars(options)}
    print(json.dumps({**facts, "rivals": notes, "rows": rows}))


def compare(search_indexes: dict[str, Find], made: Any) -> dict[str, dict[str, Any]]:
    """Let all find in each photo; faces found and there, boxes on none, milliseconds."""
    figures: dict[str, dict[str, Any]] = defaultdict(lambda: {"found": 0, "faces": 0, "false": 0, "ms": []})
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "photo.jpg"
        for number, (photo, truths) in enumerate(made):
            Image.fromarray(photo).save(path, quality=JPEG_QUALITY)
            for name, find in search_indexes.items():
                boxes, seconds = find(path)
                if number:  # the first photo prepares the networks
                    count(figures[name], boxes, truths, seconds)
    return dict(figures)


def count(figures: dict[str, Any], boxes: list[Detection], truths: list[Truth], seconds: float) -> None:
    """Add one photo."""
    right = sum(any(is_on(box, truth) for box in boxes) for truth in truths)
    figures["found"] += right
    figures["faces"] += len(truths)
    figures["false"] += len(boxes) - right
    figures["ms"].append(round(1000 * seconds, 2))


def _ours(detector: Detector, photo: Path) -> tuple[list[Detection], float]:
    image = load_image(photo)
    start = time.perf_counter()
    boxes = detector.find(image)
    return boxes, time.perf_counter() - start


def _theirs(rival: Any, photo: Path) -> tuple[list[Detection], float]:
    answer = rival.ask(photo)
    boxes = [Detection(tuple(box), np.empty((5, 2)), 1.0) for box in answer["boxes"]]
    return boxes, answer["seconds"]["find"]


if __name__ == "__main__":
    main()
