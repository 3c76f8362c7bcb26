"""Measure where YuNet sees the landmarks of faces on the chips that dlib cuts: the template of face-resnet.

Dlib's network was trained on chips that `dlib.get_face_chip` cuts by dlib's own landmarks, 150 pixels with a
padding of .25. YuNet looks at those chips of all ORL photos and at their mirror pictures; the medians of what
it sees are where its landmarks have to come to lie. Prints shares of the side and one JSON line.

    python scripts/measure_landmarks.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings

from embedder import load_image
from embedder.built_in import load_built_in
from embedder.config import DetectorConfig
from embedder.faces.crop import load_detector
from embedder.faces.detection import POINTS
from embedder.folders import scan_folder, write_dataset

SIDE, PADDING = 150, 0.25


def main() -> None:
    """Measure, print the medians and the JSON line."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    detector = load_detector(DetectorConfig(), load_built_in().parts["detector"])
    with tempfile.TemporaryDirectory() as scratch:
        write_dataset("orl", Path(scratch) / "orl")
        images = [load_image(sample.path) for sample in scan_folder(Path(scratch) / "orl").samples]
    chips = dlib_chips(images)
    chips += [np.ascontiguousarray(chip[:, ::-1]) for chip in chips]
    seen = [faces[0].points for chip in chips if (faces := detector.find(chip))]
    points = np.median(seen, axis=0) / SIDE
    spread = np.median(np.abs(np.array(seen) / SIDE - points), axis=0)
    for name, where, off in zip(POINTS, points, spread, strict=True):
        print(f"{name}: {where.round(4)}, median absolute deviation {off.round(4)}")
    facts = {**surroundings(), "dlib-bin": version("dlib-bin"), "photos": len(images), "chips": len(seen)}
    figures = {"template": points.round(4).tolist(), "deviation": spread.round(4).tolist()}
    print(json.dumps({"script": "measure_landmarks", **facts, **figures}))


def dlib_chips(images: list[Any]) -> list[Any]:
    """Cut the largest face that dlib finds in each image, as its network was trained on."""
    import dlib

    spec = find_spec("face_recognition_models")
    assert spec is not None and spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "models"
    landmarks = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    detector = dlib.get_frontal_face_detector()
    chips = []
    for image in images:
        if boxes := detector(np.ascontiguousarray(image), 2):
            box = max(boxes, key=lambda found: found.area())
            chips.append(dlib.get_face_chip(image, landmarks(image, box), size=SIDE, padding=PADDING))
    return chips


if __name__ == "__main__":
    main()
