"""The pictures of docs/error-rates.md: distances, error rates and thresholds of the built-in network on ORL.

Faces of the 40 people of ORL are found and embedded by the built-in network. Half of the people (drawn by
the seed) are enrolled with five photos each; their other photos are searched for, and all photos of the other
half as strangers. Prints, last, one JSON line with the figures that the page names.

    python scripts/concept_figures.py [--seed 0] [--folder docs/pictures]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings

from embedder import Extractor, scan_folder
from embedder.folders import write_dataset
from embedder.metrics import squared_distances
from embedder.strangers import StrangerDistances
from enroll import embed_folder

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
ENROLLED = 5  # photos of each person
FPIR = 0.01
# Colours that people with any kind of colour vision can tell apart (Okabe and Ito 2008).
KNOWN, STRANGERS, CHOSEN = "#0072b2", "#d55e00", "#595959"
PEOPLE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # sizes of galleries

Numbers = np.ndarray[Any, np.dtype[np.float64]]


def searches(vectors: Numbers, labels: np.ndarray[Any, Any], seed: int) -> tuple[Numbers, Numbers]:
    """Give the distances to the nearest template, of people who are enrolled and of strangers."""
    rng = np.random.default_rng(seed)
    people = rng.permutation(np.unique(labels))
    known = people[: len(people) // 2]
    enrolled = np.zeros(len(labels), bool)
    for person in known:
        enrolled[rng.permutation(np.flatnonzero(labels == person))[:ENROLLED]] = True
    distances = np.sqrt(np.maximum(squared_distances(vectors, vectors[enrolled]), 0))
    own = distances.copy()
    own[labels[:, None] != labels[enrolled][None]] = np.inf
    mated = np.isin(labels, known) & ~enrolled
    return own[mated].min(axis=1), distances[~np.isin(labels, known)].min(axis=1)


def draw(own: Numbers, other: Numbers, threshold: float, strangers: StrangerDistances, folder: Path) -> None:
    """Write the three pictures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def figure(label_x: str, label_y: str) -> tuple[Any, Any]:
        picture = Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
        FigureCanvasAgg(picture)
        axes = picture.add_subplot()
        axes.set_xlabel(label_x)
        axes.set_ylabel(label_y)
        axes.spines[["top", "right"]].set_visible(False)
        return picture, axes

    def save(picture: Any, name: str) -> None:
        picture.savefig(folder / name, metadata={"Software": None})

    picture, axes = figure("distance to the nearest enrolled photo", "searches")
    bins = np.linspace(0, 1.5, 61)
    axes.hist(own, bins, color=KNOWN, alpha=0.75, label="people who are enrolled")
    axes.hist(other, bins, color=STRANGERS, alpha=0.75, hatch="///", edgecolor="white", label="strangers")
    axes.axvline(threshold, color=CHOSEN, linestyle="--")
    axes.annotate(
        "threshold", (threshold, axes.get_ylim()[1] * 0.95), (-4, 0), textcoords="offset points", ha="right"
    )
    axes.legend(loc="upper left", frameon=False)
    save(picture, "distances.png")

    picture, axes = figure("threshold", "share of searches")
    grid = np.linspace(0.5, 1.4, 400)
    axes.plot(grid, [(own <= at).mean() for at in grid], color=KNOWN, label="known people named (TPIR)")
    axes.plot(
        grid,
        [(other <= at).mean() for at in grid],
        color=STRANGERS,
        linestyle="-.",
        label="strangers named (FPIR)",
    )
    axes.axvline(threshold, color=CHOSEN, linestyle="--")
    axes.legend(loc="center left", frameon=False)
    save(picture, "error-rates.png")

    picture, axes = figure("people in the gallery", f"threshold for {FPIR:.0%} of strangers")
    axes.semilogx(PEOPLE, [strangers.threshold(FPIR, n) for n in PEOPLE], "o-", color=KNOWN)
    axes.set_xticks(PEOPLE, [str(n) for n in PEOPLE])
    axes.minorticks_off()
    save(picture, "gallery-size.png")


def main() -> None:
    """Embed ORL, draw, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=PICTURES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_dataset("orl", Path(scratch) / "orl")
        extractor = Extractor.load("built-in")
        embedded = embed_folder(scan_folder(Path(scratch) / "orl"), extractor)
    strangers = extractor.manifest.strangers
    assert strangers is not None
    labels = np.asarray(embedded.labels)
    own, other = searches(embedded.vectors.astype(np.float64), labels, given.seed)
    people = len(np.unique(labels)) // 2
    threshold = strangers.threshold(FPIR, people, ENROLLED)
    given.folder.mkdir(parents=True, exist_ok=True)
    draw(own, other, threshold, strangers, given.folder)
    facts = {
        "people": people,
        "mated": len(own),
        "non_mated": len(other),
        "threshold": round(threshold, 3),
        "tpir": round(float((own <= threshold).mean()), 4),
        "fpir": round(float((other <= threshold).mean()), 4),
        "nearest_stranger": round(float(other.min()), 3),
        "thresholds": {n: round(strangers.threshold(FPIR, n), 3) for n in PEOPLE},
    }
    print(json.dumps({"script": "concept_figures", **surroundings(), "seed": given.seed, **facts}))


if __name__ == "__main__":
    main()
