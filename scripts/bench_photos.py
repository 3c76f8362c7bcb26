"""Photos to measure with: one person each, 800 x 600 unless asked otherwise, ORL's faces on backgrounds.

`group_photos.py` composes them: a face of 107 to 230 pixels in 800, tilted by up to 15 degrees and tinted, on
a drawn background or one of scikit-learn's two photos. Every photo has a seed of its own: no two files are
alike. ORL has 40 people; person 40 has the face of person 0 again, in other photos.

    python scripts/bench_photos.py FOLDER [--photos 10000] [--per-person 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import group_photos
import numpy as np
from measured_run import run_measured
from PIL import Image

from embedder import load_image
from embedder.folders import ORL_PEOPLE, write_dataset

Heads = np.ndarray[Any, np.dtype[np.uint8]]
Size = tuple[int, int]  # width and height in pixels
EMBED = [str(Path(sys.executable).with_name("embed"))]  # the command, as it is installed
SIZE, WIDTHS, DEGREES = (800, 600), (107.0, 230.0), 15.0
JPEG_QUALITY = 90
_SEEDS = 1_000_000  # photos that a seed has


def main() -> None:
    """Write them, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--per-person", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    paths = write_people(options.folder, options.photos, options.per_person, options.seed)
    print(f"{len(paths)} photos in {time.perf_counter() - start:.0f} s")


def write_people(
    folder: Path, photos: int, per_person: int = 10, seed: int = 0, sizes: Sequence[Size] = (SIZE,)
) -> list[Path]:
    """Write FOLDER/p<person>/<number>.jpg on all cores; what the same code wrote before is left as it is.

    Args:
        folder: where to.
        photos: how many.
        per_person: photos of each person.
        seed: of everything.
        sizes: widths and heights, one after the other.

    Returns:
        The photos, one person after the other.
    """
    paths = [folder / f"p{number // per_person:05d}" / f"{number:06d}.jpg" for number in range(photos)]
    sources = b"".join(Path(file).read_bytes() for file in (__file__, group_photos.__file__))
    made = [photos, per_person, seed, [list(size) for size in sizes], hashlib.sha256(sources).hexdigest()]
    mark = folder.with_name(f"{folder.name}.json")  # not a photo, so not in the folder
    if mark.exists() and json.loads(mark.read_text()) == made:
        return paths
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True, exist_ok=True)
    write = partial(_write, heads=orl_heads(), per_person=per_person, seed=seed, sizes=sizes)
    if photos < 50:  # less than starting processes takes
        list(map(write, range(photos), paths))
    else:
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(write, range(photos), paths, chunksize=25))
    mark.write_text(json.dumps(made))
    return paths


@lru_cache
def orl_heads() -> Heads:
    """Read ORL: (40, 10, 112, 92) grey."""
    with tempfile.TemporaryDirectory() as scratch:
        write_dataset("orl", Path(scratch))
        files = sorted(Path(scratch).glob("*/*"))
        return np.stack([load_image(file)[:, :, 0] for file in files]).reshape(ORL_PEOPLE, -1, 112, 92)


def write_photo(path: Path, heads: Heads, person: int, number: int, seed: int = 0, size: Size = SIZE) -> None:
    """Write one photo of a person; `number` says which."""
    own = heads[person % len(heads)]
    widths = WIDTHS[0] * size[0] / SIZE[0], WIDTHS[1] * size[0] / SIZE[0]
    photo, _ = group_photos.compose(own, seed * _SEEDS + number, size, 1, widths, DEGREES)
    Image.fromarray(photo).save(path, quality=JPEG_QUALITY)


def _write(number: int, path: Path, heads: Heads, per_person: int, seed: int, sizes: Sequence[Size]) -> None:
    write_photo(path, heads, number // per_person, number, seed, sizes[number % len(sizes)])


def make_model(folder: Path) -> Path:
    """Make the frozen face trunk a model, in a process of its own: this one stays free of TensorFlow."""
    write_dataset("orl", folder / "orl")
    command = [*EMBED, "train", str(folder / "orl"), "--model", str(folder / "model"), "--epochs", "0"]
    run_measured(command)
    return folder / "model"


if __name__ == "__main__":
    main()
