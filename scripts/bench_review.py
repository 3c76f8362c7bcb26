"""Measure how long a decision and the next page take in `embed serve`, with very many generated faces.

Faces are as many a person as LFW has, and the scanned photos do not exist: crops are not part of it. Half of
the faces of half of the people are confirmed first. Then decisions of each kind are sent to a server in this
process, without a network, and the page that comes after each is asked for. Prints a table and one JSON line.

    python scripts/bench_review.py [--faces 50000] [--folder FOLDER] [--rounds 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_groups import lfw_shaped
from bench_main_job import surroundings
from starlette.testclient import TestClient

from embedder.extractor import Extractor
from enroll.serve import ServeConfig, create_app
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate

API = "/api/v1/library"
GOOD = {"size": 96.0, "visible": 1.0, "sharpness": 0.4, "brightness": 0.5, "yaw": 0.0, "roll": 0.0}
GOOD["score"] = 0.9
PAGE = {"limit": 20, "faces": 12}


def fill(path: Path, extractor: Extractor, count: int, seed: int) -> None:
    """Write a gallery of so many faces, each in a photo of its own, of which a quarter has names."""
    vectors, people = lfw_shaped(count, seed)
    rng = np.random.default_rng(seed)
    model = extractor.fingerprint
    with SqliteStore(path, create=True) as store:
        store.bind(model, extractor.dim)
        library = store.library()
        new = []
        for row, vector in enumerate(vectors):
            digest = hashlib.sha256(row.to_bytes(8, "big")).digest()
            photo = SeenPhoto(digest, (PhotoFile(f"{row}.jpg", 1, 1),), 640, 480, None, None, model)
            key = hashlib.sha256(digest).digest()
            new.append((photo, [SeenFace(0, (10, 10, 96, 96), vector, GOOD, None, model, 0, key)]))
        library.write(new)
        # Confirmed here without steps one by one, which would take long and measure nothing.
        faces = library.faces()
        chosen = rng.permutation(people.max() + 1)[: people.max() // 2]
        names: dict[int, int | None] = {}
        with store.together():
            for person in chosen.tolist():
                rows = np.flatnonzero(people == person)
                theirs = [faces[row] for row in rows[: max(1, len(rows) // 2)]]
                templates = [NewTemplate(f"{face.photo}.jpg", face.key, face.vector) for face in theirs]
                store.add(f"person {person}", templates)
                number = library.person(f"person {person}")
                library.decide({"do": "confirm", "faces": [f.number for f in theirs], "person": number})
                names |= dict.fromkeys((face.number for face in theirs), number)
        library.set_names(names)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Give the seconds that work takes, and those of all cores, which other programs do not change."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=int, default=50_000)
    parser.add_argument("--folder", help="where the gallery is made; else the one for temporary files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    extractor = Extractor.load()
    found: dict[str, Any] = {"faces": options.faces}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "gallery.db"
        fill(path, extractor, options.faces, options.seed)
        app = create_app(ServeConfig(gallery=str(path), answer_seconds=3600), extractor)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:

            def get(place: str, **asked: Any) -> dict[str, Any]:
                answered = client.get(f"{API}{place}", params=asked)
                assert answered.status_code == 200, answered.text
                content: dict[str, Any] = answered.json()
                return content

            def decide(do: str, **given: Any) -> dict[str, Any]:
                answered = client.post(f"{API}/decisions", json={"do": do, **given})
                assert answered.status_code == 201, answered.text
                content: dict[str, Any] = answered.json()
                return content

            found["first look"] = timed(lambda: get(""))
            found["confirmed"] = get("")["confirmed"]

            def group() -> None:
                job = client.post(f"{API}/groups").json()["id"]
                client.get(f"/api/v1/jobs/{job}/events")

            found["grouping"] = timed(group)
            found["first suggestions"] = timed(lambda: get("/suggestions", **PAGE))
            rows: dict[str, list[tuple[float, ...]]] = {}

            def measured(kind: str, page: str, do: str, **given: Any) -> None:
                first = timed(lambda: undo() if do == "undo" else decide(do, **given))
                after = timed(lambda: get(page, **PAGE))
                both = [one + other for one, other in zip(first, after, strict=True)]
                rows.setdefault(kind, []).append((first[0], after[0], *both))

            def undo() -> None:
                assert client.post(f"{API}/undo").json()["undone"]

            for turn in range(options.rounds):
                groups = [group["id"] for group in get("/groups", **PAGE)["groups"][turn : turn + 4]]
                measured("name a group", "/groups", "confirm", groups=groups[:1], name=f"new {turn}")
                measured("undo it", "/groups", "undo")
                measured("ignore a group", "/groups", "ignore", groups=groups[1:2])
                measured("merge two groups", "/groups", "merge", groups=groups[2:])
                face = get("/groups", **PAGE)["groups"][0]["faces"][0]["face"]
                measured("split a face off", "/groups", "split", faces=[face])
                one = get("/suggestions", **PAGE)["people"][turn]
                measured("confirm suggestions", "/suggestions", "confirm", faces=one["ids"], name=one["name"])
                one = get("/suggestions", **PAGE)["people"][turn]
                measured("not this person", "/suggestions", "reject", faces=one["ids"][:1], name=one["name"])
                measured("undo that", "/suggestions", "undo")
    print("| decision | it, s | next page, s | both, s | both, s of all cores |\n|---|---|---|---|---|")
    for kind, measures in rows.items():
        found[kind] = [round(statistics.median(column), 3) for column in zip(*measures, strict=True)]
        print(f"| {kind} | {' | '.join(f'{value:.3f}' for value in found[kind])} |")
    found["mebibytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(found | surroundings()))


if __name__ == "__main__":
    main()
