"""Count the faces that are found at every --min-face: ORL, composed photos, and folders of one's own.

Composed photos have known answers (`group_photos.py`); of a folder, the photos with a face and the further
faces are counted. Prints a line each and, last, one JSON line.

    python scripts/bench_min_face.py [--photos 16] [--folder FOLDER ...]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from bench_faces import count
from bench_main_job import surroundings
from bench_photos import orl_heads
from group_photos import compose

from embedder import load_image
from embedder.built_in import load_built_in
from embedder.config import DetectorConfig
from embedder.faces.crop import load_detector

SIZES, SEED = (20, 30, 60, 100), 4000
COMPOSED: tuple[tuple[int, tuple[int, int], tuple[float, float], float, int], ...] = (
    (60, (4000, 3000), (60, 400), 15, 12),
    (60, (2000, 1500), (60, 160), 30, 12),
    (60, (800, 600), (107, 230), 30, 1),
    (20, (1600, 1200), (20, 60), 0, 20),
    (20, (1600, 1200), (20, 60), 20, 20),
    (20, (4000, 3000), (20, 200), 20, 20),
    (30, (1600, 1200), (30, 90), 20, 12),
    (30, (1600, 1200), (30, 90), 45, 12),
    (100, (2000, 1500), (100, 200), 20, 6),
)  # smallest face, size of the photo, widths of the faces, degrees they are tilted by at most, people


def main() -> None:
    """Count, print the lines and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=16, help="composed photos of each kind")
    parser.add_argument("--folder", type=Path, action="append", default=[])
    options = parser.parse_args()
    heads = orl_heads().reshape(-1, 112, 92)
    rows: list[dict[str, Any]] = []
    for smallest, size, widths, degrees, people in COMPOSED:
        seeds = range(SEED, SEED + options.photos)
        made = (compose(heads, seed, size, people, widths, degrees) for seed in seeds)
        kind = f"{size[0]} x {size[1]}, {people} of {widths[0]:g} to {widths[1]:g}, {degrees:g} degrees"
        rows.append({"min_face": smallest, "photos": kind, **count(detector(smallest).find, made)})
        print(rows[-1], flush=True)
    sets = {"ORL": [np.repeat(head[:, :, None], 3, axis=2) for head in heads]}
    sets |= {path.name: [load_image(file) for file in sorted(path.rglob("*.*"))] for path in options.folder}
    for name, pictures in sets.items():
        for smallest in SIZES:
            find = detector(smallest).find
            found = [len(find(picture)) for picture in pictures]
            facts = {"found": sum(n > 0 for n in found), "of": len(found), "further": sum(found) - len(found)}
            rows.append({"min_face": smallest, "photos": name, **facts})
            print(rows[-1], flush=True)
    print(json.dumps({"script": "bench_min_face", **surroundings(), "seed": SEED, "rows": rows}))


def detector(smallest: int) -> Any:
    """Load the detector for faces of a size."""
    return load_detector(DetectorConfig(min_face=smallest), load_built_in().parts["detector"])


if __name__ == "__main__":
    main()
