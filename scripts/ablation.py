"""What does each part of training add? Frozen, softmax and center loss on ORL, with paired intervals.

Trains on people 1-20 of ORL, once a seed, with the options `embed train` has by default. Then divides people
21-40 at random into 10 known people and 10 strangers, 20 times and alike for every model; enrolls 5 photos of
each known person and searches with their other 5 and with all photos of the strangers. TPIR is at one
threshold a model: the one that 1 % of the strangers' searches of all 20 divisions pass.

Two heads are compared on the same seeds, people and photos. The intervals of 95 % come from drawing people
and seeds again, with replacement and alike for both heads: a person drawn twice counts twice in all searches.
A person drawn not at all still is in the galleries. Prints two tables and, last, one JSON line.

    python scripts/ablation.py [--seeds 5] [--photos "as is" "24 px"] [--vectors FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import ENROLLED, KNOWN, embed_people, options_of, prepare, random_people, surroundings

from embedder import Extractor
from embedder.config import TrainConfig
from embedder.metrics import gallery_searches, identity_weights, interval
from embedder.training.run import train

Floats = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.intp]]

TRUNK = "face-resnet"
HEADS = ("frozen", "softmax", "center")
PAIRS = (("softmax", "frozen"), ("center", "frozen"), ("center", "softmax"))
ALIGNED = ", aligned"
PHOTOS = ("as is", "24 px", "as is" + ALIGNED)
FIRST_PERSON = int(KNOWN[0])  # of those who were not trained on
PEOPLE = 20
SPLITS = 20
FPIR = 0.01
FIGURES = ("rank-1", "TPIR at FPIR 1 %")
REPLICATES = 4000


@dataclass(frozen=True)
class Searched:
    """Searches of all divisions, and whose photo each one was made with.

    Attributes:
        correct: (mated,) bool; the nearest template is of the right person.
        mated: (mated,) distance of the nearest template of a mated search.
        known: (mated,) whose photo, from 0.
        non_mated: (searches,) distance of the nearest template of a stranger's search.
        strangers: (searches,) whose photo, from 0.
    """

    correct: np.ndarray[Any, np.dtype[np.bool_]]
    mated: Floats
    known: Indices
    non_mated: Floats
    strangers: Indices

    def figures(self, weights: Floats, fpir: float = FPIR) -> Floats:
        """Rank-1 and TPIR when people count as often as they were drawn.

        Args:
            weights: (replicates, people), how often each person counts.
            fpir: share of the strangers' searches that may pass, people counted likewise.

        Returns:
            (replicates, 2); NaN where no known person or no stranger was drawn.
        """
        order = np.argsort(self.non_mated, kind="stable")
        passed = weights[:, self.strangers[order]].cumsum(axis=1)
        allowed = (passed <= fpir * passed[:, -1:] + 1e-9).sum(axis=1)
        first_refused = np.append(self.non_mated[order], np.inf)[allowed]
        counts = weights[:, self.known]
        named = self.correct & (self.mated < first_refused[:, None])
        with np.errstate(invalid="ignore"):
            shares = np.stack([counts @ self.correct, (counts * named).sum(axis=1)]) / counts.sum(axis=1)
        shares[1, passed[:, -1] == 0] = np.nan
        turned: Floats = shares.T
        return turned


def main() -> None:
    """Train, search, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--photos", nargs="+", default=PHOTOS[:2], choices=PHOTOS)
    parser.add_argument("--epochs", type=int, help="default: those of the trunk")
    parser.add_argument(
        "--vectors", type=Path, help="keep vectors here; models whose are here stay untrained"
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        cache = options.vectors or Path(scratch) / "vectors"
        cache.mkdir(parents=True, exist_ok=True)
        runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for seed in range(options.seeds):  # outermost: whatever ends it early leaves whole seeds
            for photos in options.photos:
                for head in HEADS:
                    if head == "frozen" and seed:  # nothing in it is random
                        continue
                    base = TrainConfig(crop="face" if photos.endswith(ALIGNED) else "whole")
                    config = options_of(base, TRUNK, head, seed)
                    if config.epochs is None:
                        config = replace(config, epochs=options.epochs)
                    run = vectors_of(photos, config, cache, Path(scratch))
                    runs.setdefault((photos, head), []).append(run)
                    print(f"{photos}, {head}, seed {seed}: {run['seconds']:.0f} s", flush=True)

    weights, seed_weights = resamples(options.seeds)
    rows, differences = [], []
    for photos in options.photos:
        figures = {head: figures_of(runs[photos, head], weights, options.seeds) for head in HEADS}
        rows += [row(photos, head, figures[head], seed_weights, runs[photos, head]) for head in HEADS]
        differences += [
            {"photos": photos, "pair": f"{a} − {b}", **compare(figures[a], figures[b], seed_weights)}
            for a, b in PAIRS
        ]
    print("\n" + "\n".join(models_table(rows)) + "\n\n" + "\n".join(differences_table(differences)) + "\n")
    facts = {"seeds": options.seeds, "splits": SPLITS, "replicates": REPLICATES}
    print(json.dumps({"script": "ablation", **surroundings(), **facts, "models": rows, "pairs": differences}))


def vectors_of(photos: str, config: TrainConfig, cache: Path, scratch: Path) -> dict[str, Any]:
    """Train, unless it was done before, and embed the people held out of training."""
    path = cache / f"{photos} {config.head if config.epochs != 0 else 'frozen'} {config.seed}.npz"
    options = json.dumps(config.to_dict())
    if path.exists():
        with np.load(path) as stored:
            if str(stored["options"]) == options:
                return {**stored, "seconds": float(stored["seconds"])}
    folder = scratch / photos
    if not folder.exists():
        prepare(folder, photos.removesuffix(ALIGNED))
    start = time.perf_counter()
    manifest = train(folder / "train", scratch / "model", config).manifest
    seconds = time.perf_counter() - start
    assert manifest is not None  # in one process
    vectors, labels = embed_people(folder / "all", Extractor.load(scratch / "model"))
    run = {
        "vectors": vectors,
        "labels": labels,
        "seconds": seconds,
        "best_epoch": manifest.training["best_epoch"],
        "options": options,
    }
    np.savez(path, **run)
    return run


def search(vectors: Any, labels: Any) -> Searched:
    """Search in all divisions."""
    parts = []
    for known, strangers, rng in random_people(SPLITS):
        done = gallery_searches(vectors, labels, known, strangers, ENROLLED, rng)
        of_known = np.concatenate([np.repeat(who, (labels == who).sum() - ENROLLED) for who in known])
        of_strangers = labels[np.isin(labels, strangers)]
        parts.append((done.correct, done.mated, of_known, done.non_mated, of_strangers))
    correct, mated, of_known, non_mated, of_strangers = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    return Searched(correct, mated, of_known - FIRST_PERSON, non_mated, of_strangers - FIRST_PERSON)


def resamples(seeds: int) -> tuple[Floats, Floats]:
    """Draw people and seeds; before the drawn rows stands one in which all count alike.

    Returns:
        (1 + replicates, people), how often each person counts, and (1 + replicates, seeds), shares.
    """
    rng = np.random.default_rng(0)
    people = identity_weights(PEOPLE, REPLICATES, rng)
    shares = identity_weights(seeds, REPLICATES, rng) / seeds
    return np.vstack([np.ones(PEOPLE), people]), np.vstack([np.full(seeds, 1 / seeds), shares])


def figures_of(runs: Sequence[Mapping[str, Any]], weights: Floats, seeds: int) -> Floats:
    """Figures (1 + replicates, seeds, 2) of a head; a head of one run is alike at every seed."""
    figures = [search(run["vectors"], run["labels"]).figures(weights) for run in runs]
    return np.stack(figures if len(figures) == seeds else figures * seeds, axis=1)


def over_seeds(figures: Floats, seed_weights: Floats) -> dict[str, Any]:
    """Mean over seeds and its interval, for each of `FIGURES`: [mean, low, high].

    Args:
        figures: (1 + replicates, seeds, 2); the first row is of all people once.
        seed_weights: (1 + replicates, seeds), shares; the first row is of all seeds alike.
    """
    means = (figures * seed_weights[:, :, None]).sum(axis=1)
    return {
        name: [round(float(value), 4) for value in (column[0], *interval(column[1:]))]
        for name, column in zip(FIGURES, means.T, strict=True)
    }


def compare(first: Floats, second: Floats, seed_weights: Floats) -> dict[str, Any]:
    """Paired difference of two heads, first - second: the same people, photos and seeds in both."""
    return over_seeds(first - second, seed_weights)


def row(
    photos: str, head: str, figures: Floats, seed_weights: Floats, runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is known of a head."""
    return {
        "photos": photos,
        "head": head,
        **over_seeds(figures, seed_weights),
        "by seed": [dict(zip(FIGURES, seed.round(4).tolist(), strict=True)) for seed in figures[0]],
        "best_epochs": [int(run["best_epoch"]) for run in runs],
        "seconds": [round(float(run["seconds"]), 1) for run in runs],
    }


def models_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: mean over seeds with its interval, and the lowest and highest seed."""
    lines = table_head(["photos", "head", *FIGURES, "TPIR by seed"])
    for entry in rows:
        by_seed = [seed[FIGURES[1]] for seed in entry["by seed"]]
        spread = (
            f"{min(by_seed):.3f} … {max(by_seed):.3f}" if min(by_seed) < max(by_seed) else "always the same"
        )
        figures = [
            f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in map(entry.__getitem__, FIGURES)
        ]
        lines.append("| " + " | ".join([entry["photos"], entry["head"], *figures, spread]) + " |")
    return lines


def differences_table(differences: Sequence[Mapping[str, Any]]) -> list[str]:
    """Markdown: paired differences, in bold those whose interval is on one side of 0."""
    lines = table_head(["photos", "difference", *FIGURES])
    for entry in differences:
        cells = []
        for mean, low, high in map(entry.__getitem__, FIGURES):
            text = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "−")
            cells.append(f"**{text}**" if round(low, 3) > 0 or round(high, 3) < 0 else text)
        lines.append("| " + " | ".join([entry["photos"], entry["pair"], *cells]) + " |")
    return lines


def table_head(columns: Sequence[str]) -> list[str]:
    """Two lines of Markdown."""
    return ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]


if __name__ == "__main__":
    main()
