"""Which scorer names people best? ORL, frozen `face-resnet`, aligned and whole, as it is and at 24 pixels.

A split enrolls 5 photos each of some people, searches with their others (mated) and with all photos of other
people (non-mated), and gives the scorers all photos of a third group as a cohort of strangers. Of 20 splits
the searches are pooled and one threshold is taken for all: a scorer must give scores that mean the same in
every gallery. Intervals are of 95 %, over people drawn with replacement; differences to `nearest` are paired.

1. Each scorer as it comes: all 40 people, 20 known, 10 strangers, 10 in the cohort.
2. Parameters chosen by TPIR at FPIR 1 % (of equal ones at 10 %) on people 1-20 and reported on 21-40, and the
   reverse, averaged; 10 known, 5 strangers, 5 in the cohort. The last columns take the threshold from the
   other half, too.
3. A few scorers as they come in galleries of other sizes: fewer people, fewer photos of each.

Prints tables and, last, one JSON line with every setting of every scorer.

    python scripts/bench_scoring.py [--splits 20] [--replicates 1000]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bench_main_job import prepare, surroundings
from measure_quality import smaller

from embedder import Extractor, load_image
from embedder.config import DetectorConfig, TrainConfig
from embedder.folders import scan_folder
from embedder.metrics import identity_weights, interval
from embedder.model_folder import load_manifest, read_part
from embedder.training.run import train
from enroll.scoring.base import Scorer
from enroll.scoring.cohort import CohortNormalized
from enroll.scoring.margin import Margin
from enroll.scoring.mean import Mean, NearestAndMean
from enroll.scoring.nearest import KNearest, Nearest
from enroll.scoring.normalization import Normalized

Array = np.ndarray[Any, np.dtype[Any]]
ENROLLED = 5
GROUPS = {"all": np.arange(40), "1-20": np.arange(20), "21-40": np.arange(20, 40)}
SIZES = ((2, 5), (5, 5), (10, 5), (20, 5), (20, 2), (20, 1))  # people known, photos enrolled of each
FPIRS = (0.01, 0.1)
FIGURES = ("TPIR at FPIR 1 %", "TPIR at FPIR 10 %", "rank-1")
_MARGINS: tuple[tuple[Literal["difference", "ratio", "gate"], tuple[float, ...]], ...] = (
    ("difference", (0.5, 0.25, 1)),
    ("ratio", (0.5, 1)),
    ("gate", (0.02, 0.05, 0.1)),
)

SCORERS: dict[str, list[Scorer]] = {
    "nearest": [Nearest()],
    "k-nearest": [KNearest(k) for k in (3, 2, 4, 5)],
    "mean": [Mean()],
    "nearest+mean": [NearestAndMean(weight) for weight in (0.5, 0.25, 0.75)],
    "margin": [
        Margin(form, weight, base)
        for base in (Nearest(), Mean())
        for form, weights in _MARGINS
        for weight in weights
    ],
    "cohort": [
        CohortNormalized(count, weight, base)
        for base in (Nearest(), Mean())
        for weight in (0.5, 0.25, 1)
        for count in (5, 1, 20)
    ],
    **{
        f"{form}-norm": [
            Normalized(form, top, base) for base in (Nearest(), Mean()) for top in (None, 10, 30)
        ]
        for form in ("z", "t", "s")
    },
}


def parameters(scorer: Scorer) -> str:
    """The parameters of a scorer, for tables."""
    values = ((field.name, getattr(scorer, field.name)) for field in fields(scorer))  # type: ignore[arg-type]
    shown = ((name, type(value).__name__.lower() if name == "base" else value) for name, value in values)
    return ", ".join(f"{name} {value}" for name, value in shown)


# Every setting under its own name; the first of each scorer is the scorer as it comes.
SETTINGS = {
    name: {f"{name}: {parameters(scorer)}": scorer for scorer in scorers} for name, scorers in SCORERS.items()
}
NEAREST = next(iter(SETTINGS["nearest"]))


@dataclass(frozen=True)
class Outcome:
    """Searches of all splits by one setting, best scores first: sorted, so that a threshold is a place.

    Attributes:
        hits, hit_people: scores of mated searches whose first person is the right one; who it is.
        misses: person of each mated search whose first is wrong.
        others, other_people: scores of non-mated searches; who searched.
    """

    hits: Array
    hit_people: Array
    misses: Array
    others: Array
    other_people: Array

    def figures(self, weights: Array) -> Array:
        """TPIR at each of `FPIRS`, and rank-1, as (replicates, 3); weights (replicates, people)."""
        mated = weights[:, self.hit_people].sum(1) + weights[:, self.misses].sum(1)
        mated[mated == 0] = np.nan  # a draw without anyone to search for counts for nothing
        right = np.pad(np.cumsum(weights[:, self.hit_people], axis=1), ((0, 0), (1, 0)))
        columns = []
        for fpir in FPIRS:
            passed = np.searchsorted(self.hits, self.limits(weights, fpir), side="left")
            columns.append(np.take_along_axis(right, passed[:, None], 1)[:, 0] / mated)
        return np.stack([*columns, right[:, -1] / mated], axis=1)

    def limits(self, weights: Array, fpir: float) -> Array:
        """Scores that must be undercut so that at most a share `fpir` of non-mated searches passes."""
        passed = np.cumsum(weights[:, self.other_people], axis=1)
        first = (passed <= fpir * passed[:, -1:] + 1e-9).sum(axis=1)
        scores: Array = np.append(self.others, np.inf)[first]
        return scores

    def at(self, limit: float) -> tuple[float, float]:
        """FPIR and TPIR below a score."""
        mated = len(self.hits) + len(self.misses)
        return float((self.others < limit).mean()), float((self.hits < limit).sum() / mated)


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    conditions = []
    for photos, vectors, labels in picture_sets():
        start = time.perf_counter()
        every = {setting: scorer for settings in SETTINGS.values() for setting, scorer in settings.items()}
        data = Data(vectors, labels, options.splits)
        outcomes = {
            name: {setting: search(scorer, data, people) for setting, scorer in every.items()}
            for name, people in GROUPS.items()
        }
        conditions.append(
            {
                "photos": photos,
                "found": len(labels),
                "as they come": compare_defaults(outcomes["all"], options.replicates),
                "chosen": compare_chosen(outcomes["1-20"], outcomes["21-40"], options.replicates),
                "sizes": compare_sizes(data, options.replicates),
                "every setting": every_setting(outcomes["all"]),
                "seconds": round(time.perf_counter() - start),
            }
        )
        print(f"{photos}: {len(labels)} photos, {conditions[-1]['seconds']} s", flush=True)
    print_tables(conditions)
    facts = {**surroundings(), "scipy": version("scipy"), "seed": 0, "splits": options.splits}
    print(json.dumps({"script": "bench_scoring", **facts, "conditions": conditions}))


def picture_sets() -> Iterator[tuple[str, Array, Array]]:
    """Names, vectors and labels 0 to 39; photos without a face are left out."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {photos: prepare(Path(scratch) / photos, photos) for photos in ("as is", "24 px")}
        train(folders["as is"] / "train", Path(scratch) / "model", TrainConfig(epochs=0))
        manifest = load_manifest(Path(scratch) / "model")
        network = read_part(Path(scratch) / "model", manifest, "extractor")
        aligned = Extractor.load(Path(scratch) / "model", finding=DetectorConfig(min_face=15))
        whole = Extractor(replace(manifest, crop="whole"), network)
        photos = {name: read(folder) for name, folder in folders.items()}
    pictures, labels = photos["as is"]
    for name, shown in (
        ("aligned, as is", pictures),
        ("aligned, faces of 24 px", [smaller(p, 24) for p in pictures]),
    ):
        faces = [aligned.faces(picture) for picture in shown]
        found = np.array([bool(face) for face in faces])
        yield name, np.stack([face[0].vector for face in faces if face]), labels[found]
    for name, (shown, labels) in photos.items():
        yield f"whole, {name}", whole.embed(shown), labels


def read(folder: Path) -> tuple[list[Array], Array]:
    """Pictures and labels of both halves."""
    samples = [*scan_folder(folder / "train").samples, *scan_folder(folder / "all").samples]
    return [load_image(s.path) for s in samples], np.array([int(s.identity[1:]) - 1 for s in samples])


@dataclass(frozen=True)
class Data:
    """Vectors (n, dim), labels (n,) 0 to 39, and how many splits to search in."""

    vectors: Array
    labels: Array
    splits: int


def search(
    scorer: Scorer, data: Data, people: Array, known: int | None = None, enrolled: int = ENROLLED
) -> Outcome:
    """Fit the scorer in each split and search; a quarter are strangers, a quarter the cohort."""
    vectors, labels, parts = data.vectors, data.labels, []
    for split in range(data.splits):
        rng = np.random.default_rng([split])  # the same for every scorer
        strangers, cohort, rest = np.split(rng.permutation(people), [len(people) // 4, len(people) // 2])
        drawn = [rng.permutation(np.flatnonzero(labels == person)) for person in rest[:known]]
        gallery = np.concatenate([rows[:enrolled] for rows in drawn])
        mated = np.concatenate([rows[ENROLLED:] for rows in drawn])
        other = np.flatnonzero(np.isin(labels, strangers))
        fitted = scorer.fit(vectors[gallery], labels[gallery], vectors[np.isin(labels, cohort)])
        scores = fitted.scores(vectors[np.concatenate([mated, other])])
        first, best = fitted.people[scores.argmin(1)], scores.min(1)
        n, right = len(mated), first[: len(mated)] == labels[mated]
        parts.append((best[:n][right], labels[mated][right], labels[mated][~right], best[n:], labels[other]))
    hits, hit_people, misses, others, other_people = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    by_hit, by_other = np.argsort(hits, kind="stable"), np.argsort(others, kind="stable")
    return Outcome(hits[by_hit], hit_people[by_hit], misses, others[by_other], other_people[by_other])


def drawn_people(groups: list[Array], replicates: int) -> Array:
    """Weights (1 + replicates, 40): first everyone once, then people drawn within each group."""
    rng, weights = np.random.default_rng(0), np.zeros((1 + replicates, 40))
    for group in groups:
        weights[0, group] = 1
        weights[1:, group] = identity_weights(len(group), replicates, rng)
    return weights


def summary(values: Array, nearest: Array) -> dict[str, Any]:
    """Figures (1 + replicates, 3) with intervals, and what they are above those of `nearest`."""
    row: dict[str, Any] = {}
    for column, figure in enumerate(FIGURES):
        for name, drawn in ((figure, values), (f"{figure}, difference", values - nearest)):
            low, high = interval(drawn[1:, column])
            row[name] = [round(float(x), 4) for x in (drawn[0, column], low, high)]
    return row


def compare_defaults(outcomes: dict[str, Outcome], replicates: int) -> list[dict[str, Any]]:
    """The first setting of each scorer on all people."""
    weights = drawn_people([np.arange(40)], replicates)
    nearest = outcomes[NEAREST].figures(weights)
    names = {scorer: next(iter(settings)) for scorer, settings in SETTINGS.items()}
    return [
        {
            "scorer": scorer,
            "setting": setting.split(": ")[1],
            **summary(outcomes[setting].figures(weights), nearest),
        }
        for scorer, setting in names.items()
    ]


def compare_chosen(
    first: dict[str, Outcome], second: dict[str, Outcome], replicates: int
) -> list[dict[str, Any]]:
    """Each scorer, and the best of all, with the setting that is best on the half not reported."""
    halves = ((second, first), (first, second))  # choose on the one, report on the other
    weights = drawn_people([np.arange(20), np.arange(20, 40)], replicates)
    once = weights[:1]
    nearest = (first[NEAREST].figures(weights) + second[NEAREST].figures(weights)) / 2
    rows = []
    everything = {"any of these": [s for settings in SETTINGS.values() for s in settings]}
    for scorer, settings in {**{r: list(s) for r, s in SETTINGS.items()}, **everything}.items():
        values, chosen, carried = [], [], []
        for seen, told in halves:
            best = max(settings, key=lambda setting: tuple(seen[setting].figures(once)[0]))
            chosen.append(best)
            values.append(told[best].figures(weights))
            carried.append([told[best].at(float(seen[best].limits(once, fpir)[0])) for fpir in FPIRS])
        rates = np.mean(carried, axis=0).round(4).tolist()
        rows.append(
            {
                "scorer": scorer,
                "setting": " / ".join(c if scorer.startswith("any") else c.split(": ")[1] for c in chosen),
                **summary(np.mean(values, axis=0), nearest),
                "FPIR, TPIR at the other half's threshold for 1 %": rates[0],
                "FPIR, TPIR at the other half's threshold for 10 %": rates[1],
            }
        )
    return rows


def compare_sizes(data: Data, replicates: int) -> list[dict[str, Any]]:
    """Some scorers as they come in galleries of other sizes."""
    weights, rows = drawn_people([np.arange(40)], replicates), []
    for known, enrolled in SIZES:
        found = {
            scorer: search(SCORERS[scorer][0], data, GROUPS["all"], known, enrolled).figures(weights)
            for scorer in ("nearest", "mean", "margin", "cohort")
        }
        for scorer, values in found.items():
            rows.append(
                {
                    "scorer": scorer,
                    "gallery": f"{known} people, {enrolled} photos",
                    **summary(values, found["nearest"]),
                }
            )
    return rows


def every_setting(outcomes: dict[str, Outcome]) -> dict[str, list[float]]:
    """Figures of all settings on all people, to look at and not to choose by."""
    everyone = np.ones((1, 40))
    return {name: found.figures(everyone)[0].round(4).tolist() for name, found in outcomes.items()}


def print_tables(conditions: list[dict[str, Any]]) -> None:
    """Print Markdown: a scorer a row, photos in columns; after a figure its difference to `nearest`."""
    for table in ("as they come", "chosen", "sizes"):
        for figure in FIGURES[: 3 if table == "as they come" else 2]:
            print_table(f"{figure}, {table}", conditions, table, partial(cell, figure=figure))
    for fpir in ("1 %", "10 %"):
        name = f"FPIR, TPIR at the other half's threshold for {fpir}"
        print_table(name, conditions, "chosen", partial(rates_in, name=name))
    print_table("Settings chosen on 21-40 and on 1-20", conditions, "chosen", lambda row: row["setting"])
    print()


def rates_in(row: dict[str, Any], name: str) -> str:
    """Both rates of a row."""
    return " / ".join(f"{rate:.3f}" for rate in row[name])


def print_table(
    title: str, conditions: list[dict[str, Any]], table: str, shown: Callable[[dict[str, Any]], str]
) -> None:
    """One cell of every row of every condition."""
    heads = ["gallery"] if table == "sizes" else []
    names = [*heads, "scorer", *(condition["photos"] for condition in conditions)]
    print(f"\n**{title}**\n\n| " + " | ".join(names) + " |\n|" + " --- |" * len(names))
    for rows in zip(*(condition[table] for condition in conditions), strict=True):
        print("| " + " | ".join([*(rows[0][h] for h in heads), rows[0]["scorer"], *map(shown, rows)]) + " |")


def cell(row: dict[str, Any], figure: str) -> str:
    """A figure, and its interval (`nearest`) or its difference to `nearest` with that one's."""
    value, low, high = row[figure]
    if row["scorer"] == "nearest":
        return f"{value:.3f} ({low:.3f} to {high:.3f})"
    difference, low, high = (x + 0.0 for x in row[f"{figure}, difference"])  # no minus zero
    return f"{value:.3f}: {difference:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
