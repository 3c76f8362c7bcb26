"""Does memory stay flat over many answers? 100,000 photos of varied sizes, one `Identifier`, one process.

Each call gets one of many pictures, drawn at random, 60 to 1,200 pixels wide: most are faces of ORL in
changing proportions, some have no face, some are broken. 100 photos of ORL are enrolled. Reads the resident
size (VmRSS) along the way; prints it and, last, one JSON line. The exit code is 1 if it ends more than 5 %
above what it was after 1,000 calls. Linux only.

    python scripts/soak_identify.py [--calls 100000] [--pictures 2000] [--every 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from bench_photos import Heads, make_model, orl_heads
from PIL import Image

from embedder import Extractor
from embedder.errors import ImageError
from enroll import Gallery, Identifier

FIRST, ALLOWED = 1000, 0.05
WIDTHS = (60.0, 1200.0)  # drawn evenly in the logarithm
KINDS = {"face": 0.8, "no face": 0.1, "broken": 0.1}  # with their shares
FORMATS = ("JPEG", "PNG", "BMP")
ENROLLED = 100


def main() -> int:
    """Answer, and compare."""
    from bench_main_job import surroundings
    from soak_training import resident

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=2000, help="made beforehand, as making takes longest")
    parser.add_argument("--every", type=int, default=1000, help="calls between two looks at the memory")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    heads = orl_heads()
    sizes: dict[int, float] = {}
    answers: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        extractor = Extractor.load(make_model(Path(scratch)))
        with Gallery.open(Path(scratch) / "gallery.db", extractor) as gallery:
            enroll_some(gallery, Path(scratch) / "orl")
            identifier = Identifier(extractor, gallery)
            photos = [Path(scratch) / f"{number}" for number in range(options.pictures)]
            for number, photo in enumerate(photos):
                photo.write_bytes(picture(heads, np.random.default_rng([options.seed, number])))
            drawn = np.random.default_rng(options.seed).integers(0, len(photos), options.calls)
            start = time.perf_counter()
            for call, number in enumerate(drawn, 1):
                answers[outcome(identifier, photos[number])] += 1
                if call % options.every == 0 or call in (FIRST, options.calls):
                    sizes[call] = resident()
                    print(f"call {call:7d}  {sizes[call]:8.1f} MB  {dict(answers)}", flush=True)
            seconds = time.perf_counter() - start
    growth = sizes[options.calls] / sizes[FIRST] - 1 if options.calls > FIRST else None
    said = "not measured" if growth is None else f"{growth:+.2%}"
    print(f"resident size from call {FIRST} to the last: {said}; at most {ALLOWED:.0%} is allowed")
    facts = {"seconds": round(seconds, 1), "answers": answers, "resident_mb": sizes, "growth": growth}
    print(json.dumps({"script": "soak_identify", **surroundings(), **vars(options), **facts}))
    return 0 if growth is not None and growth <= ALLOWED else 1


def enroll_some(gallery: Gallery, folder: Path) -> None:
    """Enroll the first people of ORL."""
    people = sorted(folder.iterdir())
    for person in people[: ENROLLED * len(people) // len(list(folder.glob("*/*")))]:
        gallery.enroll(person.name, sorted(person.iterdir()))


def outcome(identifier: Identifier, photo: Path) -> str:
    """Answer a photo and say how that went, in a word or two."""
    try:
        answer = identifier.identify(photo)
    except ImageError:
        return "refused"
    if not answer.faces:
        return "no face"
    return "named" if answer.faces[0].decision.identity else "unknown"


def picture(heads: Heads, rng: np.random.Generator) -> bytes:
    """Make the bytes of an image file of some kind, size and format."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    width = int(np.exp(rng.uniform(*np.log(WIDTHS))))
    size = (width, int(width * rng.uniform(1.0, 1.5)))
    if kind == "no face":
        pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    else:
        pixels = heads[rng.integers(heads.shape[0]), rng.integers(heads.shape[1])]
    image = Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    data = encoded(image, str(rng.choice(FORMATS)))
    return data[: len(data) // 2] if kind == "broken" else data


def encoded(image: Image.Image, kind: str) -> bytes:
    """The bytes of a picture."""
    options: dict[str, Any] = {"compress_level": 1} if kind == "PNG" else {}
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
