"""Open-set identification by `OpenSetNeighborsClassifier` beside what scikit-learn has, and an EVM.

The splits are those of `enroll.evaluate`: half of the people enrolled with half of their photos, their others
searched for, all photos of everyone else as strangers. Each method gives a person and a score for each photo;
TPIR at an FPIR is at the score that so many strangers pass, set in each split for each method. Intervals
are of 95 %, over people drawn with replacement; differences are to the first method, on the same draws.

A method with a parameter is shown at the best of the values named, as these same photos say: that favours it.

    python scripts/bench_classifiers.py [FOLDER ...] [--splits 20] [--model built-in] [--seed 0]

Without folders ORL. What the first method gives at the threshold that it calibrates itself, with what the
model knows of strangers, stands below each table. Prints a table a folder, and last one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from bench_main_job import surroundings
from scipy.stats import weibull_min
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.svm import OneClassSVM

from embedder import Extractor
from embedder.folders import scan_folder, write_dataset
from embedder.metrics import squared_distances
from enroll.classifier import OpenSetNeighborsClassifier
from enroll.config import EvaluationConfig
from enroll.evaluation.protocol import Evaluation, evaluate_samples
from enroll.evaluation.samples import EmbeddedSamples
from enroll.folder_embedding import embed_folder

Array = np.ndarray[Any, Any]
# Enrolled vectors and their people, and queries -> person and score of each query; smaller is nearer.
Method = Callable[[Array, Array, Array], tuple[Array, Array]]
FPIR = 0.01


def ours(vectors: Array, labels: Array, queries: Array, scorer: str = "nearest") -> tuple[Array, Array]:
    """Ours, by the scores that its threshold is compared with."""
    fitted = OpenSetNeighborsClassifier(scorer=scorer).fit(vectors, labels)
    nearest = [one.candidates[0] for one in fitted.decisions(queries)]
    return fitted.people_[[int(one.identity) for one in nearest]], np.array([one.distance for one in nearest])


def neighbors(vectors: Array, labels: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """scikit-learn's votes of the k nearest, weighted by distance; of one, its distance."""
    fitted = KNeighborsClassifier(min(k, len(labels)), weights="distance").fit(vectors, labels)
    if k == 1:
        return fitted.predict(queries), fitted.kneighbors(queries)[0][:, 0]
    votes = fitted.predict_proba(queries)
    return fitted.classes_[votes.argmax(axis=1)], -votes.max(axis=1)


def outliers(vectors: Array, labels: Array, queries: Array, k: int) -> tuple[Array, Array]:
    """Refuse by how much sparser the place of a query is than that of its neighbours; name the nearest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicates
        found = LocalOutlierFactor(n_neighbors=min(k, len(labels) - 1), novelty=True).fit(vectors)
    names, _ = neighbors(vectors, labels, queries, 1)
    return names, -found.score_samples(queries)


def one_class(vectors: Array, labels: Array, queries: Array, gamma: float) -> tuple[Array, Array]:
    """One support vector machine a person."""
    people = np.unique(labels)
    scores = np.array(
        [
            OneClassSVM(gamma=gamma, nu=0.5).fit(vectors[labels == person]).score_samples(queries)
            / (labels == person).sum()
            for person in people
        ]
    )
    return people[scores.argmax(axis=0)], -scores.max(axis=0)


def extreme_values(vectors: Array, labels: Array, queries: Array, tail: int) -> tuple[Array, Array]:
    """The extreme value machine of Rudd et al. 2018: a Weibull distribution of margins a template."""
    apart = np.sqrt(squared_distances(vectors, vectors))
    shapes, scales = np.empty(len(labels)), np.empty(len(labels))
    for row, person in enumerate(labels):
        margins = np.sort(apart[row][labels != person])[:tail] / 2
        shapes[row], _, scales[row] = weibull_min.fit(margins, floc=0)
    distances = np.maximum(np.sqrt(squared_distances(queries, vectors)), 1e-12)
    beyond = shapes * np.log(distances / scales)  # the probability is exp(-exp(beyond))
    nearest = beyond.argmin(axis=1)
    return labels[nearest], beyond[np.arange(len(queries)), nearest]


@dataclass(frozen=True)
class Kind:
    """A method, and the values of its parameter that are tried."""

    name: str
    of: Callable[..., tuple[Array, Array]]
    parameter: str = ""
    values: tuple[Any, ...] = ()

    def settings(self) -> Iterator[tuple[str, Method]]:
        """Give each setting with its name."""
        for value in self.values or (None,):
            given = {} if value is None else {self.parameter: value}
            yield f"{self.parameter} {value}" if given else "", partial(self.of, **given)


KINDS = (
    Kind("OpenSetNeighborsClassifier", ours),
    Kind("the same by other scorers", ours, "scorer", ("mean", "nearest+mean", "margin", "t-norm")),
    Kind("KNeighborsClassifier", neighbors, "k", (1, 3, 5)),
    Kind("LocalOutlierFactor, nearest", outliers, "k", (3, 5, 10, 20)),
    Kind("OneClassSVM a person", one_class, "gamma", (0.25, 1.0, 4.0)),
    Kind("extreme value machine", extreme_values, "tail", (5, 10, 20, 50)),
)


def searched(evaluation: Evaluation[EmbeddedSamples], method: Method) -> Evaluation[EmbeddedSamples]:
    """Do the searches of an evaluation by a method."""
    samples, splits = evaluation.samples, []
    for split in evaluation.splits:
        gallery = split.enrolled[samples.enrollable[split.enrolled]]
        of, found = samples.labels[gallery], []
        for probes in (split.mated, split.non_mated):
            names, scores = np.full(len(probes), -1), np.full(len(probes), np.inf)
            there = samples.found[probes]
            names[there], scores[there] = method(samples.vectors[gallery], of, samples.vectors[probes[there]])
            found.append((names, scores))
        (names, distance), (_, other) = found
        rank = np.where(names == samples.labels[split.mated], 1.0, np.inf)
        splits.append(replace(split, rank=rank, distance=distance, other_distance=other))
    return replace(evaluation, splits=tuple(splits))


def compare(samples: EmbeddedSamples, config: EvaluationConfig) -> list[dict[str, Any]]:
    """Measure every setting of every method."""
    base = evaluate_samples(samples, config)
    first = None
    rows = []
    for kind in KINDS:
        for setting, method in kind.settings():
            found = searched(base, method)
            replicates = found.tpir_replicates(FPIR, found.weights())
            first = replicates if first is None else first
            figure, gain = found.tpir(FPIR), np.quantile(replicates - first, [0.025, 0.975])
            rows.append(
                {
                    "method": kind.name,
                    "setting": setting,
                    "tpir": figure.value,
                    "tpir_low": figure.low,
                    "tpir_high": figure.high,
                    "needed": figure.needed,
                    "rank1": found.rank(1).value,
                    "difference_low": float(gain[0]),
                    "difference_high": float(gain[1]),
                }
            )
    return rows


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the best setting of each method."""
    names = dict.fromkeys(row["method"] for row in rows)
    return [
        max((row for row in rows if row["method"] == name), key=lambda row: (row["tpir"] or 0, row["rank1"]))
        for name in names
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Give the table of a folder."""
    lines = ["| method | TPIR at FPIR 1 % | difference | rank-1 |", "| --- | --- | --- | --- |"]
    for row in best(rows):
        name = f"{row['method']} ({row['setting']})" if row["setting"] else row["method"]
        if row["tpir"] is None:
            lines.append(f"| {name} | not supported; needs {row['needed']} | | {row['rank1']:.3f} |")
            continue
        shown = f"{row['tpir']:.3f} ({row['tpir_low']:.3f} to {row['tpir_high']:.3f})"
        gain = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}" if row is not rows[0] else ""
        lines.append(f"| {name} | {shown} | {gain} | {row['rank1']:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--splits", type=int, default=EvaluationConfig.splits)
    parser.add_argument("--seed", type=int, default=EvaluationConfig.seed)
    parser.add_argument("--model", default="built-in")
    given = parser.parse_args()
    extractor = Extractor.load(given.model)
    config = EvaluationConfig(splits=given.splits, seed=given.seed)
    facts: dict[str, Any] = {"seed": given.seed, "splits": given.splits, "sets": {}, **surroundings()}
    facts["versions"]["scipy"] = version("scipy")
    with tempfile.TemporaryDirectory() as scratch:
        if not given.folders:
            write_dataset("orl", Path(scratch) / "ORL")
        for folder in given.folders or [Path(scratch) / "ORL"]:
            samples = embed_folder(scan_folder(folder), extractor)
            rows = compare(samples, config)
            got = evaluate_samples(samples, config).as_calibrated(FPIR)
            facts["sets"][folder.name] = {"methods": rows, "as_calibrated": got and asdict(got)}
            print(f"\n{folder.name}: {len(samples.identities)} people, {len(samples.labels)} photos\n")
            print(table(rows))
            if got is not None:
                print(f"\nas calibrated for FPIR 1 %: TPIR {got.tpir}, FPIR {got.fpir}", flush=True)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
