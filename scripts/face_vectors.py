"""Vectors that lie like faces, a million in seconds, to measure indexes with: uniform noise tells nothing.

The model is `synthetic_people.Population`, fitted to ORL by the built-in network: 40 people, 400 photos.
People are drawn in blocks, each from a generator of its own, so a longer draw begins with the shorter one.
Printed: how the distances lie beside the real ones, in galleries of the same size, and how long a draw takes.

What it cannot show: 40 people span 39 directions, a million real people more; and how near the nearest of a
million real people come, no small data set says.

    python scripts/face_vectors.py [--people 200000] [--photos 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from bench_photos import orl_heads
from synthetic_people import Population

from embedder import Extractor
from embedder.faces.crop import main_face
from enroll.distances import person_distances

Array = np.ndarray[Any, Any]
SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
_BLOCK = 8192  # people
_GALLERIES = 25  # drawn, to compare with the one real


def main() -> None:
    """Compare with the real ones; print a table and the JSON line."""
    from bench_main_job import surroundings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--photos", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    vectors, labels = real_faces()
    population = Population.fit(vectors, labels)
    start = time.perf_counter()
    drawn = draw_many(population, options.people, options.photos, options.seed)
    seconds = round(time.perf_counter() - start, 1)
    rows = likeness(population, vectors, labels, options.seed)
    print("| distance to | faces | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |")
    print("|" + " --- |" * (2 + len(SHARES)))
    for row in rows:
        print(f"| {row['to']} | {row['faces']} | " + " | ".join(f"{q:.3f}" for q in row["quantiles"]) + " |")
    print(f"\n{len(drawn) * options.photos} x {drawn.shape[2]} in {seconds} s\n")
    print(
        json.dumps(
            {
                "script": "face_vectors",
                **surroundings(),
                "seed": options.seed,
                "drawn": [len(drawn) * options.photos, drawn.shape[2]],
                "seconds": seconds,
                "likeness": rows,
            }
        )
    )


def real_faces() -> tuple[Array, Array]:
    """Embed ORL by the built-in network: (400, dim) unit rows and whose they are. Takes some seconds."""
    heads = orl_heads()
    extractor = Extractor.load()
    pictures = [np.repeat(head[:, :, None], 3, axis=2) for head in heads.reshape(-1, *heads.shape[2:])]
    crops = [main_face(extractor.crops(picture), picture.shape).pixels for picture in pictures]
    return extractor.embed(crops), np.repeat(np.arange(len(heads)), heads.shape[1])


def draw_many(population: Population, people: int, photos: int, seed: int) -> Array:
    """Draw people, (people, photos, dim) float32 unit rows."""
    dim = len(population.mean)
    mean, between, within = (
        part.astype(np.float32) for part in (population.mean, population.between.T, population.within.T)
    )
    drawn = np.empty((people, photos, dim), np.float32)
    for block, start in enumerate(range(0, people, _BLOCK)):
        rng = np.random.default_rng([seed, block])
        part = drawn[start : start + _BLOCK]
        places = mean + rng.standard_normal((len(part), dim), np.float32) @ between
        factors = np.exp(rng.normal(population.spread, population.spread_varies, len(part)))
        noise = rng.standard_normal((len(part) * photos, dim), np.float32) @ within
        part[:] = noise.reshape(part.shape) * factors.astype(np.float32)[:, None, None] + places[:, None]
        part /= np.linalg.norm(part, axis=2, keepdims=True)
    return drawn


def likeness(population: Population, vectors: Array, labels: Array, seed: int) -> list[dict[str, Any]]:
    """Quantiles of the distance of a photo to the nearest other photo of its person, and of anyone else."""
    people = len(np.unique(labels))
    photos = len(labels) // people
    galleries = draw_many(population, people * _GALLERIES, photos, seed).reshape(_GALLERIES, len(labels), -1)
    whose = np.repeat(np.arange(people), photos)
    pairs = {"real": [(vectors, labels)], "drawn": [(gallery, whose) for gallery in galleries]}
    rows = []
    for to, measure in (("the same person", _to_own), ("the nearest other person", _to_others)):
        for faces, some in pairs.items():
            distances = np.concatenate([measure(*one) for one in some])
            quantiles = [round(float(value), 3) for value in np.quantile(distances, SHARES)]
            rows.append({"to": to, "faces": faces, "quantiles": quantiles})
    return rows


def _to_own(vectors: Array, labels: Array) -> Array:
    away = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    own = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    nearest: Array = np.where(own, away, np.inf).min(axis=1)
    return nearest


def _to_others(vectors: Array, labels: Array) -> Array:
    people = np.unique(labels)
    away = person_distances(vectors, vectors, labels)
    nearest: Array = np.where(labels[:, None] == people, np.inf, away).min(axis=1)
    return nearest


if __name__ == "__main__":
    main()
