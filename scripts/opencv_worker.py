"""YuNet and SFace as OpenCV runs them, with numpy; run by the Python of its own environment.

What one writes after OpenCV's own samples: `FaceDetectorYN` on the photo in its full size, `alignCrop` and
`feature` of each face, one product with all known vectors. NETWORKS has the two files of OpenCV's zoo.

    python scripts/opencv_worker.py NETWORKS enroll KNOWN.npz FOLDER      FOLDER/<person>/<photos>
    python scripts/opencv_worker.py NETWORKS identify KNOWN.npz PHOTO     prints a name
    python scripts/opencv_worker.py NETWORKS bulk KNOWN.npz FOLDER        a process a core, a thread each
    python scripts/opencv_worker.py NETWORKS answer TEMPLATES             paths on standard input, JSON lines
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

DETECTOR, RECOGNIZER = "face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"
SCORE, OVERLAP, MOST = 0.7, 0.3, 5000
AT_ONCE = 8  # photos a process takes
Vectors = np.ndarray[Any, Any]


class Faces:
    """Both networks, loaded."""

    def __init__(self, networks: str) -> None:
        """Load them."""
        path = Path(networks)
        self.detector = cv2.FaceDetectorYN.create(str(path / DETECTOR), "", (320, 320), SCORE, OVERLAP, MOST)
        self.recognizer = cv2.FaceRecognizerSF.create(str(path / RECOGNIZER), "")

    def vectors(self, data: bytes) -> tuple[Vectors, list[list[float]], list[float]]:
        """Give unit vectors of a photo's faces, their boxes, and the times after each stage."""
        times = [time.perf_counter()]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None, "no picture"
        times.append(time.perf_counter())
        self.detector.setInputSize(image.shape[1::-1])
        _, detected = self.detector.detect(image)
        faces: list[Vectors] = [] if detected is None else list(detected)
        times.append(time.perf_counter())
        crops = [self.recognizer.alignCrop(image, face) for face in faces]
        times.append(time.perf_counter())
        found = np.array([self.recognizer.feature(chip)[0].copy() for chip in crops]).reshape(-1, 128)
        times.append(time.perf_counter())
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found, [face[:4].tolist() for face in faces], times


def enroll(networks: str, known: str, folder: str) -> None:
    """Embed the first face of each photo and keep the vectors."""
    faces, rows, names = Faces(networks), [], []
    for photo in sorted(Path(folder).glob("*/*.jpg")):
        found, _, _ = faces.vectors(photo.read_bytes())
        if len(found):
            rows.append(found[0])
            names.append(photo.parent.name)
    np.savez(known, vectors=np.array(rows), names=np.array(names))


def identify(networks: str, known: str, photo: str) -> None:
    """Name the nearest person of each face."""
    kept = np.load(known)
    found, _, _ = Faces(networks).vectors(Path(photo).read_bytes())
    print(*(kept["names"][(found @ kept["vectors"].T).argmax(axis=1)]) if len(found) else ["no one"])


def bulk(networks: str, known: str, folder: str) -> None:
    """Identify all photos of a folder by as many processes as there are cores."""
    photos = sorted(Path(folder).glob("*/*.jpg"))
    with ProcessPoolExecutor(os.cpu_count(), initializer=_start, initargs=(networks, known)) as pool:
        for name in pool.map(_name, photos, chunksize=AT_ONCE):
            print(json.dumps({"faces": name}))


# Of a process of `bulk`.
FACES: Faces
KNOWN: dict[str, Vectors]


def _start(networks: str, known: str) -> None:
    global FACES, KNOWN
    cv2.setNumThreads(1)
    FACES, KNOWN = Faces(networks), dict(np.load(known))


def _name(photo: Path) -> list[str]:
    found, _, _ = FACES.vectors(photo.read_bytes())
    return [str(KNOWN["names"][row]) for row in (found @ KNOWN["vectors"].T).argmax(axis=1)]


def answer(networks: str, templates: str) -> None:
    """Answer paths of photos until standard input ends, with what each stage took."""
    known = np.random.default_rng(0).normal(size=(int(templates), 128)).astype(np.float32)
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    faces = Faces(networks)
    print(json.dumps({"opencv": cv2.__version__, "numpy": np.__version__}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        data = Path(line.rstrip("\n")).read_bytes()
        found, boxes, times = faces.vectors(data)
        nearest = (found @ known.T).argmax(axis=1).tolist()
        times.append(time.perf_counter())
        names = ("decode", "find", "align", "embed", "search")
        stages = dict(zip(names, np.diff(times).tolist(), strict=True))
        said = {"seconds": {**stages, "all": times[-1] - start}, "boxes": boxes, "nearest": nearest}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    _, own_networks, task, *arguments = sys.argv
    tasks: dict[str, Callable[..., None]] = {
        "enroll": enroll,
        "identify": identify,
        "bulk": bulk,
        "answer": answer,
    }
    tasks[task](own_networks, *arguments)
