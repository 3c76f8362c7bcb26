"""`face_recognition` at work, stage by stage; run by the Python of a rival's own environment.

Says its versions in one JSON line. Then, for each path of a photo on standard input, one line more: what its
faces are and how many seconds each stage took. The calls are those of its manual, all at their defaults: HOG
with one upsampling, five landmarks, 128 numbers, distances to all known ones.

    python scripts/rival_worker.py TEMPLATES
"""

import io
import json
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.filterwarnings("ignore")  # of pkg_resources, which face_recognition_models imports

import dlib  # noqa: E402
import face_recognition  # noqa: E402
import numpy as np  # noqa: E402


def main() -> None:
    """Answer until standard input ends."""
    known = np.random.default_rng(0).normal(size=(int(sys.argv[1]), 128))
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    facts = {name: version(name) for name in ("face_recognition", "numpy", "pillow")}
    build = {"dlib": dlib.__version__, "avx": dlib.USE_AVX_INSTRUCTIONS, "blas": dlib.DLIB_USE_BLAS}
    print(json.dumps({**facts, **build}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(Path(line.rstrip("\n")), known)), flush=True)


def answer(photo: Path, known: np.ndarray) -> dict:
    """Answer one photo, from its bytes on."""
    data = photo.read_bytes()
    times = [time.perf_counter()]
    image = face_recognition.load_image_file(io.BytesIO(data))
    times.append(time.perf_counter())
    places = face_recognition.face_locations(image)
    times.append(time.perf_counter())
    vectors = face_recognition.face_encodings(image, places)
    times.append(time.perf_counter())
    nearest = [int(face_recognition.face_distance(known, vector).argmin()) for vector in vectors]
    times.append(time.perf_counter())
    stages = dict(zip(("decode", "find", "align and embed", "search"), np.diff(times).tolist(), strict=True))
    boxes = [[left, top, right - left, bottom - top] for top, right, bottom, left in places]
    return {"seconds": {**stages, "all": times[-1] - times[0]}, "boxes": boxes, "nearest": nearest}


if __name__ == "__main__":
    main()
