"""YuNet on LiteRT beside the same file in OpenCV (`cv2.FaceDetectorYN`), in turns, in one process.

Both see the same photos, composed of ORL faces (`group_photos.py`), in four sizes, with one thread and with
two. Compared are the places that both find and the time of one look, candidates decoded, non-maximum
suppression included: medians, and the median of the ratios of the turns. Then the import of each in a fresh
process. OpenCV is no dependency of the project: `pip install opencv-python-headless`. Prints a table and,
last, one JSON line.

    python scripts/bench_detector.py [--turns 15] [--photos FOLDER]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from bench_photos import orl_heads
from group_photos import compose
from PIL import Image

from embedder import load_image
from embedder._internal.wheels import read_from_wheel
from embedder.built_in import load_built_in
from embedder.export.yunet import DISTRIBUTION, FILE, MODULE, SHA256
from embedder.faces.detection import first_of_each_place
from embedder.faces.yunet import YuNet

SIZES, THREADS = (320, 640, 1280, 2048), (1, 2)
SCORE, OVERLAP, MOST = 0.6, 0.3, 5000
SEED = 3000
IMPORTS = {
    "cv2": "import numpy, cv2",
    "LiteRT": "import numpy, ai_edge_litert.interpreter",
    "numpy": "import numpy",
}


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--photos", type=Path, help="a folder of photos to compare the places in, too")
    options = parser.parse_args()
    heads = orl_heads().reshape(-1, 112, 92)
    photo = compose(heads, SEED, (2048, 1536), 8, (60, 300), degrees=10)[0]
    rows = [compare(photo, longest, threads, options.turns) for threads in THREADS for longest in SIZES]
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    imports = {name: seconds_of(code, options.turns) for name, code in IMPORTS.items()}
    print("seconds of a fresh process that imports:", imports)
    facts = {"script": "bench_detector", **surroundings(), "opencv": version("opencv-python-headless")}
    figures: dict[str, Any] = {"seed": SEED, "rows": rows, "imports": imports}
    if options.photos:
        figures["places"] = places([load_image(path) for path in sorted(options.photos.iterdir())])
        print("pixels between the places that both find:", figures["places"])
    print(json.dumps({**facts, **figures}))


def compare(photo: Any, longest: int, threads: int, turns: int) -> dict[str, Any]:
    """Let both look at a photo of a size in turns."""
    import cv2

    cv2.setNumThreads(threads)
    size = (longest, longest * photo.shape[0] // photo.shape[1])
    picture = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    ours, theirs = YuNet(load_built_in().parts["detector"], threads), opencv(size)
    backwards = np.ascontiguousarray(picture[..., ::-1])
    seconds: dict[str, list[float]] = {"LiteRT": [], "OpenCV": []}
    for _ in range(turns + 1):
        start = time.perf_counter()
        found = look(ours, picture)
        middle = time.perf_counter()
        others = theirs.detect(backwards)[1]
        seconds["LiteRT"].append(middle - start)
        seconds["OpenCV"].append(time.perf_counter() - middle)
    first, second = (np.array(times[1:]) * 1000 for times in seconds.values())  # the first prepares
    return {
        "size": f"{size[0]} x {size[1]}",
        "threads": threads,
        "LiteRT, ms": round(float(np.median(first)), 1),
        "OpenCV, ms": round(float(np.median(second)), 1),
        "OpenCV / LiteRT": round(float(np.median(second / first)), 2),
        "faces": f"{len(found)} and {0 if others is None else len(others)}",
        "pixels apart, at most": apart(found, others),
    }


def opencv(size: tuple[int, int]) -> Any:
    """Load OpenCV's detector with the file of the wheel."""
    import cv2

    read_from_wheel(MODULE, FILE, SHA256, DISTRIBUTION)
    spec = find_spec(MODULE)
    assert spec is not None and spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / FILE
    return cv2.FaceDetectorYN.create(str(path), "", size, SCORE, OVERLAP, MOST)


def look(network: YuNet, picture: Any) -> Any:
    """Look, and suppress as OpenCV does; (n, 15) box, points, score."""
    seen = network.look(picture, SCORE)
    kept = first_of_each_place(seen.boxes, OVERLAP, of_union=True)
    return np.column_stack([seen.boxes[kept], seen.points[kept].reshape(-1, 10), seen.scores[kept]])


def apart(ours: Any, theirs: Any) -> float | None:
    """Give the largest difference of a coordinate or a score, None unless both find as many."""
    if theirs is None or len(ours) != len(theirs):
        return None if theirs is not None or len(ours) else 0.0
    return round(float(np.abs(ours - theirs).max()), 5)


def places(pictures: list[Any]) -> list[float | None]:
    """Compare what both find in photos as they are."""
    network = YuNet(load_built_in().parts["detector"], 1)
    return [
        apart(look(network, one), opencv(one.shape[1::-1]).detect(np.ascontiguousarray(one[..., ::-1]))[1])
        for one in pictures
    ]


def seconds_of(code: str, turns: int) -> float:
    """Give the median time of a process that runs code."""
    with tempfile.TemporaryDirectory() as folder:
        times = []
        for _ in range(turns):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
            times.append(time.perf_counter() - start)
    return round(float(np.median(times)), 3)


if __name__ == "__main__":
    main()
