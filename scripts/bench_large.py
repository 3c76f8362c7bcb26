"""Large photos, 12 and 50 megapixels: read at a half, a quarter or an eighth of their size, beside whole.

JPEG is decoded at a smaller size at once, as `--max-pixels` asks for. Read at 1/s, a photo is searched for
faces of `NETWORK` pixels, which are s times as wide in the photo: that is the stated size. Read whole, faces
of that very size are looked for. Photos have several faces of ORL in known places (`group_photos.py`), of 40
to 400 pixels in 12 megapixels; a face counts as found if a box lies on it, as `bench_faces.py` says. All take
turns, photo by photo, with all cores. Prints a table and, last, one JSON line.

    python scripts/bench_large.py [--photos 4] [--megapixels 12 50]
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import time
from typing import Any

import numpy as np
from bench_faces import is_on
from bench_photos import JPEG_QUALITY, orl_heads
from group_photos import Truth, compose
from PIL import Image

from embedder import Extractor
from embedder.config import DetectorConfig, ImageLimits
from embedder.faces.detection import Detection
from embedder.images import decode_image

SEED = 5000
SCALES = (2, 4, 8)
NETWORK = 20  # pixels across the smallest face that the detector sees, and that --min-face takes
FACES, WIDTHS, DEGREES = 12, (40.0, 400.0), 15.0
SIDES = 4, 3


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=4, help="of each size")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12.0, 50.0])
    options = parser.parse_args()
    rows = [row for size in options.megapixels for row in measure(size, options.photos)]
    for row in rows:
        print(
            f"{row['megapixels']:g} megapixels, read {row['read']}, faces from {row['from']} pixels:", end=" "
        )
        print(f"{summary(row)}, found {row['found']} of {row['faces']}")
    from bench_main_job import surroundings

    print(
        json.dumps({"script": "bench_large", **surroundings(), "seed": SEED, **vars(options), "rows": rows})
    )


def summary(row: dict[str, Any]) -> str:
    """Say the medians."""
    decode, whole = (statistics.median(row[what]) for what in ("decode_ms", "ms"))
    return f"decoding {decode:.0f} ms, all {whole:.0f} ms"


def measure(megapixels: float, photos: int) -> list[dict[str, Any]]:
    """Read each photo whole and reduced, for each scale in turns."""
    sides = sides_of(megapixels)
    heads = orl_heads().reshape(-1, 112, 92)
    widths = (WIDTHS[0], WIDTHS[1] * math.sqrt(megapixels / 12))
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for scale in SCALES:
        for read, shown in (("whole", 1), (f"at 1/{scale}", scale)):
            rows[scale, read] = {
                "megapixels": megapixels,
                "scale": scale,
                "read": read,
                "from": NETWORK * scale,
                "found": 0,
                "faces": 0,
                "decode_ms": [],
                "ms": [],
                "extractor": Extractor.load(finding=DetectorConfig(min_face=NETWORK * scale // shown)),
                "limits": ImageLimits(max_pixels=math.ceil(sides[0] / shown) * math.ceil(sides[1] / shown)),
                "shown": shown,
            }
    for number in range(photos + 1):  # the first one prepares the networks
        photo, truths = compose(heads, SEED + number, sides, FACES, widths, DEGREES)
        data = encoded(photo)
        for row in rows.values():
            look(row, data, truths, counts=number > 0)
    for row in rows.values():
        for name in ("extractor", "limits", "shown"):
            del row[name]
    return list(rows.values())


def sides_of(megapixels: float) -> tuple[int, int]:
    """Width and height of a photo, multiples of 8, so that every reduction is whole."""
    unit = math.sqrt(megapixels * 1e6 / math.prod(SIDES))
    return round(SIDES[0] * unit / 8) * 8, round(SIDES[1] * unit / 8) * 8


def encoded(photo: np.ndarray[Any, Any]) -> bytes:
    """Give a photo as JPEG."""
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def look(row: dict[str, Any], data: bytes, truths: list[Truth], counts: bool) -> None:
    """Read a photo as a row says, find its faces, and count those of the stated size."""
    start = time.perf_counter()
    image = decode_image(data, "photo.jpg", row["limits"])
    decoded = time.perf_counter()
    crops = row["extractor"].crops(image)
    end = time.perf_counter()
    if counts:
        row["decode_ms"].append(round(1000 * (decoded - start), 2))
        row["ms"].append(round(1000 * (end - start), 2))
        found, faces = count([crop.box for crop in crops], truths, row["shown"], row["from"])
        row["found"] += found
        row["faces"] += faces


def count(boxes: list[Any], truths: list[Truth], shown: int, smallest: int) -> tuple[int, int]:
    """Count the faces of at least a size, and those of them that a box lies on.

    Args:
        boxes: x, y, width and height, in pixels of a picture that was read at 1/shown.
        truths: in pixels of the photo.
        shown: by how much it was reduced.
        smallest: pixels of the photo.
    """
    placed = [Detection(tuple(shown * side for side in box), np.empty((5, 2)), 1.0) for box in boxes]
    wide = [truth for truth in truths if truth.width >= smallest]
    return sum(any(is_on(box, truth) for box in placed) for truth in wide), len(wide)


if __name__ == "__main__":
    main()
