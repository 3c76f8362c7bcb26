"""One photo from its bytes to an answer, in a process that stays; beside OpenCV's YuNet, SFace and numpy.

10,000 templates: random unit vectors, ten a person, and one photo each of the people asked for. Photos of
800 x 600 pixels with one face (`bench_photos.py`), six of them answered by ours, then by OpenCV
(`opencv_worker.py`), in turns; the first of six, which meets cold caches, is left out. Ours is
`Identifier.identify` with the built-in network. `networks` is what its networks alone took in that call. Then
its stages run by themselves on the same photo, and beside each what bounds it on this machine:

decode  libjpeg's own decoding, by Pillow         search  one pass over the vectors' memory
find    the detector's runs alone                 decide  nothing
align   cutting a crop twice, by Pillow           print   a write of the same bytes to a terminal
embed   the network's runs alone

Prints medians and, last, one JSON line.

    python scripts/bench_warm.py [--photos 60] [--templates 10000]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from bench_photos import write_people
from bench_rivals import start_opencv
from PIL import Image, JpegImagePlugin

from embedder import Extractor
from embedder.faces.crop import Cropping, load_cropper, load_detector
from embedder.images import decode_image, read_image_file
from enroll import Gallery, Identifier
from enroll.decision import decide
from enroll.report.answers import to_lines
from enroll.store import NewPerson
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate

PER_PERSON = 20  # photos, the first of which is enrolled
OWN = 10  # random templates a person has
BLOCK = 6  # photos that each answers in its turn; the first finds the other's data in the caches
CANDIDATES = 5
STAGES = ("decode", "find", "align", "embed", "search", "decide", "print")


def main() -> None:
    """Measure, print the medians and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--templates", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(Path(scratch), options.photos * BLOCK // (BLOCK - 1), options.templates)
    for what in ("ms", "limits"):
        for name, stages in figures[what].items():
            said = ", ".join(f"{stage} {statistics.median(ms):.2f}" for stage, ms in stages.items())
            print(f"{name}, {what}: {said}")
    from bench_main_job import surroundings

    print(json.dumps({"script": "bench_warm", **surroundings(), "seed": 0, **vars(options), **figures}))


def measure(folder: Path, photos: int, templates: int) -> dict[str, Any]:
    """Fill a gallery and let both answer the same photos in turns."""
    paths = write_people(folder / "people", photos, PER_PERSON)
    with ExitStack() as stack:
        rivals, notes = start_opencv(stack, templates)
        extractor = Extractor.load()
        fill(folder / "gallery.db", extractor, templates)
        gallery = stack.enter_context(Gallery.open(folder / "gallery.db", extractor))
        list(gallery.enroll_many({path.parent.name: [path] for path in paths[::PER_PERSON]}))
        everyone: dict[str, Any] = {"ours": Ours(extractor, gallery, templates)} | rivals
        blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
        counted = [answer for block in blocks for answer in turn(everyone, block)[1:]]
    return {
        "rivals": notes,
        "right": sum(answer["ours"]["right"] for answer in counted),
        "found": {name: sum(bool(answer[name]["boxes"]) for answer in counted) for name in everyone},
        "ms": {name: in_ms([answer[name]["seconds"] for answer in counted]) for name in everyone},
        "limits": {"ours": in_ms([answer["ours"]["limits"] for answer in counted])},
    }


def in_ms(seconds: list[dict[str, float]]) -> dict[str, list[float]]:
    """Turn the stages of each photo into a list for each stage."""
    return {stage: [round(1000 * one[stage], 3) for one in seconds] for stage in seconds[0]}


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


class NetworkClock:
    """Adds up how long LiteRT's networks run, whoever runs them."""

    def __init__(self) -> None:
        """Listen to all networks of this process."""
        from ai_edge_litert.interpreter import Interpreter

        self.seconds = 0.0
        invoke = Interpreter.invoke

        def timed(interpreter: Any) -> None:
            start = time.perf_counter()
            invoke(interpreter)
            self.seconds += time.perf_counter() - start

        Interpreter.invoke = timed

    def during(self, work: Callable[[], Any]) -> tuple[Any, float, float]:
        """Do some work; gives its result, its seconds, and those of the networks in it."""
        before, start = self.seconds, time.perf_counter()
        result = work()
        return result, time.perf_counter() - start, self.seconds - before


class Ours:
    """The toolkit, whole and stage by stage."""

    def __init__(self, extractor: Extractor, gallery: Gallery, templates: int) -> None:
        """Take what answers, and what it is bounded by."""
        self._extractor, self._gallery = extractor, gallery
        self._identifier = Identifier(extractor, gallery)
        model, parts, finding = extractor.manifest, extractor.parts, extractor.finding
        assert finding is not None
        self._detector = load_detector(finding, parts["detector"], os.cpu_count() or 1)
        cropping = Cropping(model.crop, model.input_size, model.landmarks, finding, parts["detector"])
        self._cropper: Any = load_cropper(cropping)
        self._memory = np.ones((templates, extractor.dim), np.float32)
        self._clock = NetworkClock()

    def ask(self, photo: Path) -> dict[str, Any]:
        """Answer like a rival; the stages add up to about `all`, which is one call."""
        during = self._clock.during
        answer, whole, networks = during(lambda: self._identifier.identify(photo))
        data = read_image_file(photo)
        image, decode, _ = during(lambda: decode_image(data, photo))
        found, find, finding = during(lambda: self._detector.find(image))
        self._cropper._detector = lambda: SimpleNamespace(find=lambda _: found)
        crops, align, _ = during(lambda: self._cropper.crops(image))
        vectors, embed, embedding = during(lambda: self._extractor.embed([crop.pixels for crop in crops]))
        near, search, _ = during(lambda: self._gallery.nearest_people(vectors, CANDIDATES) if crops else [])
        _, deciding, _ = during(lambda: [decide(some, self._identifier.threshold) for some in near])
        with terminal() as (shown, write):
            _, printing, _ = during(lambda: print(*to_lines(answer), sep="\n", file=shown, flush=True))
            line = "\n".join(to_lines(answer)).encode() + b"\n"
            _, written, _ = during(lambda: write(line))
        stages = (decode, find, align, embed, search, deciding, printing)
        _, decoded, _ = during(lambda: JpegImagePlugin.JpegImageFile(io.BytesIO(data)).load())
        _, cuts, _ = during(lambda: [small_cut(image) for _ in range(2 * len(crops))])
        _, passed, _ = during(self._memory.sum)
        limits = (decoded, finding, cuts, embedding, passed, 0.0, written)
        return {
            "seconds": {**dict(zip(STAGES, stages, strict=True)), "networks": networks, "all": whole},
            "limits": dict(zip(STAGES, limits, strict=True)),
            "boxes": [face.box for face in answer.faces],
            "right": any(face.decision.identity == photo.parent.name for face in answer.faces),
        }


def small_cut(image: Any, size: int = 112) -> Any:
    """Cut a turned square out of the middle, as Pillow does it."""
    height, width = image.shape[:2]
    how = (1.5, 0.1, width / 3, -0.1, 1.5, height / 3)
    box = Image.fromarray(image[height // 4 : -height // 4, width // 4 : -width // 4])
    return box.transform((size, size), Image.Transform.AFFINE, how, Image.Resampling.BILINEAR)


@contextmanager
def terminal() -> Iterator[tuple[Any, Callable[[bytes], Any]]]:
    """Give a terminal as a file, and what writes bytes to it; what is written is read at the end."""
    ours, theirs = os.openpty()
    try:
        with os.fdopen(theirs, "w") as shown:
            yield shown, lambda line: os.write(theirs, line)
            os.read(ours, 1 << 16)
    finally:
        os.close(ours)


if __name__ == "__main__":
    main()
