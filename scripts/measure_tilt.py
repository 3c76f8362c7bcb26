"""Measure what tilt does to finding faces, and looks and turns to their points, for `faces/search.py`.

1. Found: ORL heads laid onto photos (`group_photos.py`), each tilted by exactly 0 to 90 degrees, by the width
   of the face.
2. Points: the same heads, 100 pixels wide, for each number of looks that place the points and each number of
   times a face is turned for them. Laid back onto its head, a face's points ought to be where they are seen
   upright and sharp: the error is how far they lie from there, in shares of the face's width, and by how many
   degrees they are turned.
3. Vectors: how far apart photos of one person are, by the same settings; of ORL, or of a labelled folder.

Prints three tables and, last, one JSON line.

    python scripts/measure_tilt.py [--photos 12] [--people FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from bench_faces import is_on, print_table
from bench_main_job import surroundings
from bench_photos import orl_heads
from group_photos import CENTER, FACE, Truth, compose
from numpy.typing import NDArray

from embedder import Extractor, load_image
from embedder.built_in import load_built_in
from embedder.config import DetectorConfig
from embedder.faces import search
from embedder.faces.crop import load_detector
from embedder.faces.detection import Detection, Detector
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import squared_distances

SEED = 6000
TILTS = (0, 15, 30, 45, 60, 75, 90)
WIDTHS = (24, 40, 80, 160)
SIDE = 10  # widths of a face that a photo is wide
PER_PHOTO = 4  # faces
WIDTH, TILTED = 100, (0, 10, 20, 30, 40)  # pixels and degrees of the faces whose points are measured
# Sizes of a look and whether it is mirrored, and how often a face is turned; the last is what is used.
LOOKS: dict[str, tuple[tuple[float, ...], tuple[bool, ...], int]] = {
    "as found": ((), (), 0),
    "1 look": ((0.5,), (False,), 0),
    "2 looks, one mirrored": ((0.5,), (False, True), 0),
    "4 looks": (search._SHARES, search._SIDES, 0),
    "6 looks": ((0.4, 0.5, 0.6), (False, True), 0),
    "1 look, turned": ((0.5,), (False,), search._TURNS),
    "4 looks, turned once": (search._SHARES, search._SIDES, 1),
    "4 looks, turned": (search._SHARES, search._SIDES, search._TURNS),
}


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=12, help="of each width and tilt")
    parser.add_argument("--people", type=Path, help="a labelled folder instead of ORL, for the vectors")
    options = parser.parse_args()
    heads = orl_heads().reshape(-1, 112, 92)
    found = [measure_found(heads, width, options.photos) for width in WIDTHS]
    print_table(found)
    points = measure_points(heads, options.photos)
    print_table(points)
    with tempfile.TemporaryDirectory() as scratch:
        if options.people is None:
            write_dataset("orl", Path(scratch) / "orl")
        vectors = measure_vectors(options.people or Path(scratch) / "orl")
    print_table(vectors)
    facts = {**surroundings(), "seed": SEED, "photos": options.photos}
    facts["people"] = options.people.name if options.people else "ORL"
    figures = {"found": found, "points": points, "vectors": vectors}
    print(json.dumps({"script": "measure_tilt", **facts, **figures}))


def measure_found(heads: NDArray[np.uint8], width: int, photos: int) -> dict[str, Any]:
    """Count the faces of a width that are found, by tilt."""
    detector = _detector(round(0.8 * width))
    row: dict[str, Any] = {"pixels across": width}
    false = 0
    for degrees in TILTS:
        hits = faces = 0
        for image, truths in composed(heads, width, degrees, photos):
            detections = detector.find(image)
            right = sum(any(is_on(face, truth) for face in detections) for truth in truths)
            hits, faces, false = hits + right, faces + len(truths), false + len(detections) - right
        row[f"{degrees}°"] = f"{hits}/{faces}"
    return {**row, "false": false}


def composed(
    heads: NDArray[np.uint8], width: int, degrees: float, photos: int
) -> Iterator[tuple[NDArray[np.uint8], list[Truth]]]:
    """Compose photos of faces that are all as wide and as tilted; the same heads for every width and tilt."""
    size = (SIDE * width, SIDE * width * 3 // 4)
    for seed in range(SEED, SEED + photos):
        yield compose(heads, seed, size, PER_PHOTO, (width, width), degrees, exactly=True)


@contextmanager
def placing(sizes: tuple[float, ...], sides: tuple[bool, ...], turns: int) -> Iterator[None]:
    """Place points with other looks than usual; without any, they stay as the face was found."""
    with patch.multiple(search, _SHARES=sizes, _SIDES=sides, _TURNS=turns):
        yield


def measure_points(heads: NDArray[np.uint8], photos: int) -> list[dict[str, Any]]:
    """Give the error of the points by looks and turns, at each tilt."""
    detector = _detector(round(0.8 * WIDTH))
    right = dict(_points_on_heads(detector, heads, 0, photos, larger=2))
    rows = []
    for name, setting in LOOKS.items():
        row: dict[str, Any] = {"points": name}
        for degrees in TILTED:
            with placing(*setting):
                seen = list(_points_on_heads(detector, heads, degrees, photos))
            known = [(points, right[head]) for head, points in seen if head in right]
            off = [np.abs(points - there).mean() / FACE for points, there in known]
            turned = [abs(_roll(points) - _roll(there)) for points, there in known]
            row[f"{degrees}°"] = f"{100 * np.median(off):.1f} %, {np.median(turned):.1f}°"
        rows.append(row)
    return rows


def _points_on_heads(
    detector: Detector, heads: NDArray[np.uint8], degrees: float, photos: int, larger: int = 1
) -> Iterator[tuple[int, NDArray[np.complex128]]]:
    """Find faces, and give each one's number and its points laid back onto its head, (5,) x + iy."""
    for image, truths in composed(heads, larger * WIDTH, degrees, photos):
        faces = detector.find(image)
        for truth in truths:
            for face in faces:
                if is_on(face, truth):
                    yield truth.head, _laid_back(face, truth)
                    break


def _laid_back(face: Detection, truth: Truth) -> NDArray[np.complex128]:
    turn = np.exp(1j * np.deg2rad(truth.degrees)) * FACE / truth.width
    return np.asarray((face.points @ (1, 1j) - complex(*truth.center)) * turn + complex(*CENTER))


def _roll(points: NDArray[np.complex128]) -> float:
    left, right, _, mouth_left, mouth_right = points
    return float(np.rad2deg(np.angle(right - left + mouth_right - mouth_left)))


def measure_vectors(folder: Path) -> list[dict[str, Any]]:
    """Give the distances between photos of one person and of two, by looks and turns."""
    samples = scan_folder(folder).samples
    images = [load_image(sample.path) for sample in samples]
    names = np.array([sample.identity for sample in samples])
    rows = []
    for name, setting in LOOKS.items():
        extractor = Extractor.load()  # a new one: looks keep their networks
        with placing(*setting):
            faces = [extractor.faces(image) for image in images]
        seen = np.array([bool(face) for face in faces])
        vectors = np.stack([face[0].vector for face in faces if face])
        distances = np.sqrt(squared_distances(vectors, vectors))
        same = names[seen][:, None] == names[seen]
        np.fill_diagonal(distances, np.nan)
        others = np.where(same, np.nan, distances)
        rows.append(
            {
                "points": name,
                "faces": f"{seen.sum()}/{len(seen)}",
                "same person, mean": round(float(np.nanmean(distances[same])), 3),
                "nearest other person, mean": round(float(np.nanmean(np.nanmin(others, axis=1))), 3),
                "same person, farther than 1 % of others": _share(distances, same),
            }
        )
    return rows


def _share(distances: NDArray[np.float64], same: NDArray[np.bool_]) -> str:
    """Say what share of the pairs of one person are no nearer than 1 % of the pairs of two are."""
    limit = np.nanquantile(distances[~same], 0.01)
    own = distances[same]
    return f"{100 * np.mean(own[np.isfinite(own)] > limit):.2f} %"


def _detector(smallest: int) -> Detector:
    return load_detector(DetectorConfig(min_face=smallest), load_built_in().parts["detector"])


if __name__ == "__main__":
    main()
