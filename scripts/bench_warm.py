"""One photo from its bytes to an answer, in a process that stays; beside the same through `face_recognition`.

10,000 templates: random unit vectors, ten a person, and one photo each of the people asked for. Photos of
800 x 600 pixels with one face (`bench_photos.py`), six of them answered by ours, then by each rival, in
turns; the first of six, which meets cold caches, is left out. Ours is `Identifier.identify`, with the
model as it is trained and with its weights in int8 (`embed quantize`); its stages
are then run by themselves on the same photo. Theirs is its default: `face_locations`, `face_encodings`,
`face_distance` to as many known vectors. Prints medians and, last, one JSON line.

    python scripts/bench_warm.py [--photos 60] [--templates 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from bench_photos import make_model, quantized, write_people
from bench_rivals import start_rivals

from embedder import Extractor
from embedder.built_in import load_built_in
from embedder.faces.crop import load_detector
from embedder.images import decode_image, read_image_file
from enroll import Gallery, Identifier
from enroll.store import NewPerson
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate

PER_PERSON = 20  # photos, the first of which is enrolled
OWN = 10  # random templates a person has
BLOCK = 6  # photos that each answers in its turn; the first finds the other's data in the caches
STAGES = ("decode", "find", "align and judge", "embed", "search")


def main() -> None:
    """Measure, print the medians and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--templates", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), options.photos * BLOCK // (BLOCK - 1), options.templates)
    for name, stages in figures["ms"].items():
        print(name + ": " + ", ".join(f"{key} {statistics.median(ms):.2f} ms" for key, ms in stages.items()))
    from bench_main_job import surroundings

    print(json.dumps({"script": "bench_warm", **surroundings(), "seed": 0, **vars(options), **figures}))


def measure(folder: Path, photos: int, templates: int) -> dict[str, Any]:
    """Fill a gallery and let all answer the same photos in turns."""
    paths = write_people(folder / "people", photos, PER_PERSON)
    model = make_model(folder)
    models = {"ours": model, "ours, int8": quantized(model)}
    with ExitStack() as stack:
        rivals, notes = start_rivals(stack, templates)
        everyone: dict[str, Any] = {}
        for name, own in models.items():
            extractor = Extractor.load(own)
            fill(folder / f"{name}.db", extractor, templates)
            gallery = stack.enter_context(Gallery.open(folder / f"{name}.db", extractor))
            list(gallery.enroll_many({path.parent.name: [path] for path in paths[::PER_PERSON]}))
            everyone[name] = Ours(extractor, gallery)
        everyone |= rivals
        blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
        counted = [answer for block in blocks for answer in turn(everyone, block)[1:]]
    names = list(counted[0])
    return {
        "rivals": notes,
        "right": sum(answer["ours"]["right"] for answer in counted),
        "found": {name: sum(bool(answer[name]["boxes"]) for answer in counted) for name in names},
        "ms": {
            name: {
                stage: [round(1000 * answer[name]["seconds"][stage], 3) for answer in counted]
                for stage in counted[0][name]["seconds"]
            }
            for name in names
        },
    }


def turn(everyone: dict[str, Any], block: list[Path]) -> list[dict[str, Any]]:
    """Let each answer some photos, one after the other; gives the answers photo by photo."""
    answers = {name: [one.ask(path) for path in block] for name, one in everyone.items()}
    return [{name: own[place] for name, own in answers.items()} for place in range(len(block))]


def fill(path: Path, extractor: Extractor, templates: int) -> None:
    """Write random templates, ten a person."""
    vectors = np.random.default_rng(0).normal(size=(templates, extractor.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with SqliteStore(path, create=True) as store:
        store.bind(extractor.fingerprint, extractor.dim)
        people = []
        for first in range(0, templates, OWN):
            rows = range(first, min(first + OWN, templates))
            new = [NewTemplate(f"{row}.jpg", row.to_bytes(32, "big"), vectors[row]) for row in rows]
            people.append(NewPerson(f"random {first:06d}", new))
        store.add_many(people)


class Ours:
    """The toolkit, whole and stage by stage."""

    def __init__(self, extractor: Extractor, gallery: Gallery) -> None:
        self._extractor, self._gallery = extractor, gallery
        self._identifier = Identifier(extractor, gallery)
        built_in = load_built_in()
        assert built_in.manifest.detector is not None
        settings = built_in.manifest.detector.settings
        self._detector = load_detector(settings, built_in.parts["detector"], os.cpu_count() or 1)

    def ask(self, photo: Path) -> dict[str, Any]:
        """Answer like a rival; the stages add up to about `all`, which is one call."""
        start = time.perf_counter()
        answer = self._identifier.identify(photo)
        whole = time.perf_counter() - start
        data = read_image_file(photo)
        times = [time.perf_counter()]
        image = decode_image(data, photo)
        times.append(time.perf_counter())
        self._detector.find(image)
        times.append(time.perf_counter())
        crops = self._extractor.crops(image)  # finds again, then aligns and judges
        times.append(time.perf_counter())
        vectors = self._extractor.embed([crop.pixels for crop in crops])
        times.append(time.perf_counter())
        if crops:
            self._gallery.nearest_people(vectors, 5)
        times.append(time.perf_counter())
        seconds = dict(zip(STAGES, np.diff(times).tolist(), strict=True))
        seconds["align and judge"] -= seconds["find"]
        return {
            "seconds": {**seconds, "all": whole},
            "boxes": [face.box for face in answer.faces],
            "right": any(face.decision.identity == photo.parent.name for face in answer.faces),
        }


if __name__ == "__main__":
    main()
