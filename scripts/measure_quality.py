"""From which quality on is a face too poor to enroll? ORL faces, each spoiled step by step.

Each of the 400 photos, enlarged four times so that there is something to spoil, is made smaller, blurred,
darkened, brightened or cut by the border. The built-in network then searches for it among the other 9
photos of its person and those of the 39 others as they are. Printed for each step: the medians of the
quality it spoils and of the distance to the person's nearest other photo, and the share of the photos in
which a face was found, was nearest to its person and within the threshold that lets 1 % of strangers pass;
and of those faces that the limits refuse to enroll, how many would have been named rightly. Last comes one
JSON line.

    python scripts/measure_quality.py [--photos 400]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from PIL import Image, ImageFilter

from embedder import Extractor, load_image
from embedder.config import DetectorConfig, QualityLimits
from embedder.faces.quality import rejection_reason
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import leave_one_out, threshold_at_fpir

Picture = np.ndarray[Any, np.dtype[np.uint8]]
ENOUGH = 0.9  # share of spoiled photos that must still be recognized
FACE = 70 / 92  # share of an ORL picture's width that the face takes


def smaller(image: Picture, width: float) -> Picture:
    """Make the face so many pixels wide."""
    scale = width / (image.shape[1] * FACE)
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def blurred(image: Picture, share: float) -> Picture:
    """Blur by a Gaussian whose sigma is a share of the face's width."""
    sigma = share * image.shape[1] * FACE
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def exposed(image: Picture, stops: float) -> Picture:
    """Take as a camera would with so many stops more light: darker is coarser, brighter clips."""
    linear = (image / 255) ** 2.2 * 2**stops
    return (linear.clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)


def cut_off(image: Picture, share: float) -> Picture:
    """Let the left border of the photo cut off a share of the face."""
    start = (1 - FACE) / 2 * image.shape[1]
    return np.ascontiguousarray(image[:, round(start + share * FACE * image.shape[1]) :])


STEPS: dict[str, tuple[Callable[[Picture, float], Picture], tuple[float, ...]]] = {
    "size": (smaller, (150, 80, 60, 50, 40, 32, 26, 20, 16, 12)),
    "sharpness": (blurred, (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1)),
    "dark": (exposed, (0, -2, -4, -5, -6, -7, -8, -9)),
    "bright": (exposed, (0, 1, 2, 3, 4, 5)),
    "visible": (cut_off, (0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5)),
}
QUALITY = {"dark": "brightness", "bright": "brightness"}


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=400)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_dataset("orl", Path(scratch) / "orl")
        extractor = Extractor.load()
        thorough = Extractor.load(finding=DetectorConfig(min_face=10))
        samples = scan_folder(Path(scratch) / "orl").samples
        _, labels = np.unique([sample.identity for sample in samples], return_inverse=True)
        images = [load_image(sample.path) for sample in samples]
    faces = [extractor.faces(image)[0] for image in images]
    clean = np.array([face.vector for face in faces])
    threshold = threshold_at_fpir(leave_one_out(clean, labels).non_mated, 0.01)
    print(f"threshold at FPIR 1 %: {threshold:.3f}\n")
    chosen = np.linspace(0, len(images) - 1, options.photos).astype(int)
    large = [
        np.asarray(Image.fromarray(images[i]).resize((368, 448), Image.Resampling.BICUBIC)) for i in chosen
    ]
    rows: list[dict[str, Any]] = []
    scores: list[tuple[float, bool]] = []
    for name, (spoil, steps) in STEPS.items():
        print(
            f"| {name}: step | {QUALITY.get(name, name)} | found | distance | recognized "
            "| refused | though right |"
        )
        print("|" + " --- |" * 7)
        for step in steps:
            spoiled = [spoil(image, step) for image in large]
            row = {
                "spoiled": name,
                "step": step,
                **recognized(
                    spoiled,
                    chosen,
                    thorough if name == "size" else extractor,
                    clean,
                    labels,
                    name,
                    threshold,
                    scores,
                ),
            }
            rows.append(row)
            print(
                f"| {step:g} | {row['quality']} | {row['found']:.3f} | {row['distance']} "
                f"| {row['recognized']:.3f} | {row['refused']:.3f} | {row['refused_though_right']:.3f} |",
                flush=True,
            )
        print()
    rows += list(as_they_are(faces, clean, labels, threshold))
    rows += list(by_score(scores))
    for row in rows[-8:]:
        print(row)
    print(
        json.dumps(
            {
                "script": "measure_quality",
                **surroundings(),
                "seed": None,
                "threshold": threshold,
                "rows": rows,
            }
        )
    )


def recognized(
    spoiled: list[Picture],
    chosen: Any,
    extractor: Extractor,
    clean: Any,
    labels: Any,
    name: str,
    threshold: float,
    scores: list[tuple[float, bool]],
) -> dict[str, float]:
    """Search for spoiled photos among the others as they are."""
    found, right, distances, qualities = 0, 0, [], []
    refused: list[bool] = []  # of those: whether it would have been named rightly
    for image, index in zip(spoiled, chosen, strict=True):
        faces = extractor.faces(image)
        if not faces or faces[0].quality is None:
            continue
        found += 1
        qualities.append(getattr(faces[0].quality, QUALITY.get(name, name)))
        away = np.linalg.norm(clean - faces[0].vector, axis=1)
        away[index] = np.inf
        own = labels == labels[index]
        distances.append(float(away[own].min()))
        known = bool(own[away.argmin()] and away.min() <= threshold)
        right += known
        scores.append((faces[0].quality.score, known))
        if rejection_reason(faces[0].quality, QualityLimits()):
            refused.append(known)
    return {
        "quality": round(float(np.median(qualities)), 3) if found else float("nan"),
        "found": found / len(spoiled),
        "distance": round(float(np.median(distances)), 3) if found else float("nan"),
        "recognized": right / len(spoiled),
        "refused": len(refused) / len(spoiled),
        "refused_though_right": sum(refused) / len(spoiled),
    }


def as_they_are(faces: Any, clean: Any, labels: Any, threshold: float) -> Any:
    """Group the photos as they are by how far they look aside."""
    yaw = np.abs([face.quality.yaw for face in faces])
    away = np.linalg.norm(clean[:, None] - clean[None], axis=2) + np.diag(np.full(len(clean), np.inf))
    own = np.where(labels[:, None] == labels[None], away, np.inf).min(axis=1)
    right = (own <= away.min(axis=1)) & (own <= threshold)
    for low, high in ((0, 10), (10, 20), (20, 30), (30, 90)):
        rows = (yaw >= low) & (yaw < high)
        yield {
            "spoiled": "yaw",
            "step": low,
            "photos": int(rows.sum()),
            "distance": round(float(np.median(own[rows])), 3) if rows.any() else None,
            "recognized": float(right[rows].mean()) if rows.any() else None,
        }


def by_score(scores: list[tuple[float, bool]]) -> Any:
    """All spoiled photos, by the detector's score."""
    values, known = np.array([score for score, _ in scores]), np.array([known for _, known in scores])
    for low, high in ((0.7, 0.8), (0.8, 0.85), (0.85, 0.9), (0.9, 1.01)):
        rows = (values >= low) & (values < high)
        yield {
            "spoiled": "score",
            "step": low,
            "photos": int(rows.sum()),
            "recognized": round(float(known[rows].mean()), 3),
        }


if __name__ == "__main__":
    main()
