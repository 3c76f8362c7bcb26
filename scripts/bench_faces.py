"""Finding and aligning faces, measured: the detector, alignment against dlib's own, mirror averaging.

1. The detector: the 400 photos of ORL, composed photos of 12 people in 4000 x 3000 with faces
   from 60 to 400 pixels, photos of 800 x 600 with one face of 107 to 230 pixels, turned by up to 30 degrees.
   One thread, medians.
   The 400 photos turned by each quarter, with --any-rotation.
2. Alignment: ORL, the frozen face trunk, 10 splits of 20 known and 20 unknown people, 5 photos enrolled, with
   and without the mirror picture; as is, and shrunk until faces are 24 pixels wide; in the same run dlib's
   own detector, landmarks and network (`dlib-bin`). A photo in which no face is found counts as missed.

Prints two tables and, last, one JSON line.

    python scripts/bench_faces.py [--groups 30] [--portraits 60]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from group_photos import Truth, compose
from measure_quality import smaller

from embedder import Extractor, load_image
from embedder.built_in import load_built_in
from embedder.config import DetectorConfig, TrainConfig
from embedder.faces.crop import load_detector
from embedder.faces.detection import Detection
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import gallery_searches
from embedder.model_folder import load_manifest, read_part
from embedder.training.run import train

Picture = np.ndarray[Any, np.dtype[np.uint8]]
Vectors = np.ndarray[Any, np.dtype[np.float32]]
SPLITS, KNOWN, ENROLLED = 10, 20, 5
FAR = 1000.0  # beyond any distance between faces


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--groups", type=int, default=30)
    parser.add_argument("--portraits", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_dataset("orl", Path(scratch) / "orl")
        samples = scan_folder(Path(scratch) / "orl").samples
        images = [load_image(sample.path) for sample in samples]
        _, labels = np.unique([sample.identity for sample in samples], return_inverse=True)
        train(Path(scratch) / "orl", Path(scratch) / "model", TrainConfig(epochs=0, crop="face"))
        detectors = [measure_detector(images, options.groups, options.portraits)]
        print_table(detectors)
        turned = measure_turned(images)
        print(f"\nupright again with --any-rotation: {turned}")
        aligned = list(measure_alignment(images, labels, Path(scratch) / "model"))
        print_table(aligned)
    facts = {**surroundings(), "dlib-bin": version("dlib-bin"), "seed": 0}
    figures = {"detectors": detectors, "turned": turned, "alignment": aligned}
    print(json.dumps({"script": "bench_faces", **facts, **figures}))


def measure_detector(images: list[Picture], groups: int, portraits: int) -> dict[str, Any]:
    """Count what a detector finds and misses, and how long it takes."""
    detector = load_detector(DetectorConfig(), load_built_in().parts["detector"])
    heads = np.stack([image[..., 0] for image in images])
    found = [len(detector.find(image)) for image in images]
    group = count(detector.find, (compose(heads, seed) for seed in range(groups)))
    size, widths = (800, 600), (107.0, 230.0)
    portrait = count(
        detector.find,
        (compose(heads, seed, size, 1, widths, degrees=30) for seed in range(1000, 1000 + portraits)),
    )
    return {
        "detector": "YuNet",
        "ORL found": f"{sum(n > 0 for n in found)}/{len(found)}",
        "ORL extra": sum(max(0, n - 1) for n in found),
        **{f"12 people, {key}": value for key, value in group.items()},
        **{f"800 x 600, {key}": value for key, value in portrait.items()},
    }


def measure_turned(images: list[Picture]) -> str:
    """Turn each photo by each quarter; one face must be found, its eyes on the side where they are."""
    detector = load_detector(DetectorConfig(any_rotation=True), load_built_in().parts["detector"])
    right = 0
    for image in images:
        for quarters in range(4):
            faces = detector.find(np.ascontiguousarray(np.rot90(image, quarters)))
            if len(faces) == 1:
                eyes = complex(*(faces[0].points[1] - faces[0].points[0])) * 1j**quarters
                right += eyes.real > abs(eyes.imag)
    return f"{right}/{4 * len(images)}"


def count(
    find: Callable[[Picture], list[Detection]], photos: Iterable[tuple[Picture, list[Truth]]]
) -> dict[str, Any]:
    """Compare with where the faces are; a second box on a face counts as false."""
    hits = faces = false = 0
    seconds: list[float] = []
    for image, truths in photos:
        find(image) if not seconds else None  # the first photo prepares the networks
        start = time.perf_counter()
        detections = find(image)
        seconds.append(time.perf_counter() - start)
        right = sum(any(is_on(face, truth) for face in detections) for truth in truths)
        hits, faces, false = hits + right, faces + len(truths), false + len(detections) - right
    return {"found": f"{hits}/{faces}", "false": false, "ms": round(1000 * float(np.median(seconds)), 1)}


def is_on(face: Detection, truth: Truth) -> bool:
    """Whether a box lies on a face: its middle within .4 of the width, its size within a factor of 2."""
    x, y, width, height = face.box
    away = np.hypot(x + width / 2 - truth.center[0], y + height / 2 - truth.center[1])
    return bool(away < 0.4 * truth.width and truth.width / 2 < width < truth.width * 2)


def measure_alignment(images: list[Picture], labels: Any, model: Path) -> Iterable[dict[str, Any]]:
    """The same protocol for our pipeline and for dlib's."""
    manifest = load_manifest(model)
    network, detector = (read_part(model, manifest, part) for part in ("extractor", "detector"))
    finding = DetectorConfig(min_face=15)
    degraded = [smaller(image, 24) for image in images]
    for photos, pictures in (("as is", images), ("24 px faces", degraded)):
        for mirror in (False, True):
            extractor = Extractor(replace(manifest, mirror=mirror), network, detector, finding=finding)
            vectors = [face[0].vector if (face := extractor.faces(p)) else None for p in pictures]
            yield {
                "photos": photos,
                "pipeline": "ours, mirrored and averaged" if mirror else "ours, --no-mirror",
                **protocol(vectors, labels),
            }
        yield {"photos": photos, "pipeline": "dlib's own", **protocol(list(dlib_vectors(pictures)), labels)}


def dlib_vectors(images: Iterable[Picture]) -> Iterable[Vectors | None]:
    """Dlib's detector (upsampling as `face_recognition` would on small photos), landmarks and network."""
    import dlib

    spec = find_spec("face_recognition_models")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))
    for image in images:
        boxes = detector(np.ascontiguousarray(image), 2)
        if not boxes:
            yield None
            continue
        box = max(boxes, key=lambda found: found.area())
        chip = dlib.get_face_chip(image, landmarks(image, box), size=150, padding=0.25)
        vector = np.array(network.compute_face_descriptor(chip), np.float32)
        yield vector  # euclidean and not of unit length, as dlib compares them


def protocol(vectors: list[Vectors | None], labels: Any) -> dict[str, Any]:
    """Search in the splits; a photo without a face finds no one and is found by no one."""
    known = next(vector for vector in vectors if vector is not None)
    everyone = np.stack(
        [np.full_like(known, FAR * (index + 1)) if v is None else v for index, v in enumerate(vectors)]
    )
    rank1, tpir = [], []
    for split in range(SPLITS):
        rng = np.random.default_rng([split])
        people = rng.permutation(40)
        searches = gallery_searches(everyone, labels, people[:KNOWN], people[KNOWN:], ENROLLED, rng)
        searches = replace(searches, correct=searches.correct & (searches.mated < FAR / 2))
        rank1.append(searches.rank1)
        tpir.append(searches.tpir(0.01))
    return {
        "found": f"{sum(vector is not None for vector in vectors)}/{len(vectors)}",
        "rank-1": round(float(np.mean(rank1)), 4),
        "TPIR at FPIR 1 %": round(float(np.mean(tpir)), 4),
    }


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print Markdown."""
    print("\n| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
