"""Damage pictures of every format, and read them: a picture or an ImageError, quickly, in little memory.

Prints what went wrong and, last, one JSON line; ends with 1 if anything went wrong.

    python scripts/fuzz_images.py [--count 100000] [--seed 0] [--processes 2]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from bench_main_job import surroundings
from mutations import mutate, try_all
from PIL import Image

from embedder.errors import ImageError
from embedder.images import decode_image, reading

sys.path.insert(0, str(Path(__file__).parents[1]))  # other packages, too, bring a folder `tests`
from tests.embedder.pictures import PICTURE, SAMPLES, decode_here, encode


def main() -> None:
    """Read all damaged pictures, print what went wrong and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    pictures = samples()
    reading.decode_apart = decode_here  # type: ignore[attr-defined,assignment]  # put in its place
    started = time.monotonic()

    def check(case: int) -> str:
        return read(mutate(pictures[case % len(pictures)], np.random.default_rng([options.seed, case])))

    outcomes, problems = try_all(check, options.count, options.processes)
    for problem in problems:
        print(problem)
    print(
        json.dumps(
            {
                "script": "fuzz_images",
                **surroundings(),
                "seed": options.seed,
                "samples": len(pictures),
                "outcomes": dict(outcomes),
                "problems": len(problems),
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )
    sys.exit(bool(problems))


def samples() -> list[bytes]:
    """Give one small picture in every kind of file, and some with EXIF."""
    picture = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"  # orientation
    exif.get_ifd(0x8769)[0x9286] = b"a comment"
    return [
        *(data for data, _ in SAMPLES.values()),
        *(encode(picture, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")),
    ]


def read(data: bytes) -> str:
    """Read a picture; gives what became of it."""
    try:
        image = decode_image(data, "photo")
    except ImageError as error:
        assert error.reason, "no reason"
        assert "\n" not in error.reason, f"a reason of several lines: {error.reason!r}"
        return "refused"
    sound = image.dtype == np.uint8 and (image.ndim, image.shape[2]) == (3, 3)
    assert sound, (image.dtype, image.shape)
    assert image.size, "an empty picture"
    return "read"


if __name__ == "__main__":
    main()
