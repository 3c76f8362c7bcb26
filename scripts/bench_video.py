"""How fast films are answered, and how rightly: 720p, 25 frames a second, of which 2 are looked at.

Films of ORL faces over moving noise, each with people who are enrolled and people who are not; the photos
that are shown are not those that are enrolled. One JSON line at the end: times real time, what was named,
versions, seed and machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent))
from made_films import Visit, film_frames, write_film

from embedder.extractor import Extractor
from embedder.folders import write_dataset
from embedder.images import load_image
from enroll.config import FilmConfig
from enroll.gallery.gallery import Gallery
from enroll.library.film import FilmIdentifier
from enroll.sightings import FilmAnswer

SIZE = (1280, 720)
RATE = 25
NOISE, QUALITY = 5.0, "23"  # give some 4 Mbit/s, as cameras of 720p do
ENROLLED = 5  # photos of each known person; the others are shown
KNOWN = 20  # people of ORL that are enrolled; the other 20 are strangers


def visits_of(heads: dict[str, list[Path]], people: list[str], seconds: float) -> list[Visit]:
    """Let people come into sight by twos, one above the other, and leave again."""
    each = seconds / len(people)
    found = []
    for index, person in enumerate(people):
        photos = np.stack([load_image(path)[:, :, 0] for path in heads[person][ENROLLED:]])
        row = 0.3 if index % 2 else 0.7
        start = index * each
        end = min(seconds, start + 1.6 * each)
        found.append(Visit(photos, start, end, (0.15, row), (0.85, row), width=110.0))
    return found


def judge(answer: FilmAnswer, visits: dict[str, Visit], known: set[str]) -> dict[str, int]:
    """Count whom the film shows and what was said of them, by the place of the best frame."""
    found = dict.fromkeys(("right", "wrong", "unknown", "strangers", "strangers_named", "persons_more"), 0)
    said: dict[str, list[str | None]] = {person: [] for person in visits}
    for person in answer.people:
        best = person.best[0]
        assert best.box is not None
        middle = best.box[0] + best.box[2] / 2, best.box[1] + best.box[3] / 2
        near = {
            name: abs(place[0] - middle[0]) + abs(place[1] - middle[1])
            for name, visit in visits.items()
            if (place := visit.box_at(best.seconds, SIZE))
        }
        if near:
            said[min(near, key=lambda name: near[name])].append(person.identity)
    for name, names in said.items():
        found["persons_more"] += max(0, len(names) - 1)
        given = {one for one in names if one is not None}
        if name not in known:
            found["strangers"] += 1
            found["strangers_named"] += bool(given)
        elif given == {name}:
            found["right"] += 1
        else:
            found["wrong" if given else "unknown"] += 1
    return found


def main() -> None:
    """Make films, answer them, print a table and a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    totals: dict[str, int] = {}
    ratios, rates, computing = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset("orl", root / "orl")
        heads = {place.name: sorted(place.iterdir()) for place in sorted((root / "orl").iterdir())}
        people = list(rng.permutation(sorted(heads)))
        known, strangers = people[:KNOWN], people[KNOWN:]
        extractor = Extractor.load()
        with Gallery.open(root / "gallery.db", extractor) as gallery:
            list(gallery.enroll_many({person: heads[person][:ENROLLED] for person in known}))
            identifier = FilmIdentifier(extractor, gallery, config=FilmConfig(fps=options.fps))
            for number in range(options.films):
                shown = [*known[number * 5 :][:5], *strangers[number * 5 :][:5]]
                order = [str(one) for one in rng.permutation(shown)]
                visits = visits_of(heads, order, options.seconds)
                by_name = dict(zip(order, visits, strict=True))
                film = write_film(
                    root / f"{number}.mp4",
                    film_frames(visits, options.seconds, SIZE, RATE, options.seed + number, noise=NOISE),
                    RATE,
                    crf=QUALITY,
                )
                rates.append(film.stat().st_size * 8 / options.seconds / 1e6)
                start, used = time.perf_counter(), time.process_time()
                answer = identifier.identify(film)
                took = time.perf_counter() - start
                computing.append((time.process_time() - used) / options.seconds)
                ratios.append(options.seconds / took)
                judged = judge(answer, by_name, set(map(str, known)))
                totals = {key: totals.get(key, 0) + value for key, value in judged.items()}
                print(f"film {number}: {ratios[-1]:.1f} times real time, {rates[-1]:.1f} Mbit/s, {judged}")
    print(json.dumps(_record(options, ratios, rates, computing, totals)))


def _record(
    options: Any, ratios: list[float], rates: list[float], computing: list[float], totals: dict[str, int]
) -> dict[str, Any]:
    return {
        "size": SIZE,
        "rate": RATE,
        "looked_at_per_second": options.fps,
        "films": options.films,
        "seconds_each": options.seconds,
        "times_real_time": {
            "median": round(float(np.median(ratios)), 2),
            "least": round(min(ratios), 2),
            "most": round(max(ratios), 2),
        },
        "processor_seconds_per_second": round(float(np.median(computing)), 3),
        "mbit_per_second": round(float(np.mean(rates)), 2),
        "people": totals,
        "seed": options.seed,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("av", "numpy", "ai-edge-litert", "pillow")},
    }


if __name__ == "__main__":
    main()
