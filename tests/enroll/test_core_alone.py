"""The core, arrays in and arrays out, runs where no picture, gallery or network can be opened."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import cross_val_score

import enroll
from enroll.calibration import calibrate
from enroll.confidence import fit_confidence_model, leave_one_out_searches
from enroll.config import EvaluationConfig
from enroll.decision import decide
from enroll.doctor.examine import examine
from enroll.evaluation.analysis import confusions, fpir_by_size, mistakes, probable_duplicates
from enroll.evaluation.lfw import FailedPhoto, verify_pairs
from enroll.evaluation.protocol import evaluate_samples
from enroll.evaluation.samples import EmbeddedSamples
from enroll.scoring import SCORERS, get_scorer
from enroll.search import exact
from enroll.search.base import nearest_people, nearest_templates
from enroll.templates import Templates
from tests.enroll.doctor.people import made_people

ROOT = Path(__file__).parents[2]
REFUSED = ("PIL", "sqlite3", "keras", "tensorflow", "embedder.images", "ai_edge_litert")

# Refuses modules, and what is in them, as if they were not installed.
ALONE = f"""
import json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if any(name == refused or name.startswith(refused + ".") for refused in {REFUSED}):
            raise ModuleNotFoundError(f"the core asked for {{name}}")

assert not set({REFUSED}) & set(sys.modules)
sys.meta_path.insert(0, Refuse())
for name in {REFUSED}:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert str(error).startswith("the core asked for"), error
    else:
        raise AssertionError(name)
"""
RUN = """
import json
from tests.enroll.test_core_alone import core
print(json.dumps(core()))
"""


def core() -> dict[str, Any]:
    """Fit, calibrate, examine and evaluate generated people, and give all that comes out."""
    vectors, labels = made_people(24, 8, noise=0.35)
    names = np.array([f"p{label:02d}" for label in labels], object)
    known = labels < 20
    return {
        "fitted": fitted(vectors, names, known),
        "classified": classified(vectors, names, known),
        "calibrated": calibrated(vectors, labels, known),
        "examined": examined(*made_people(24, 8, noise=0.15)),
        "evaluated": evaluated(vectors, labels),
        "verified": verified(vectors, labels),
    }


def fitted(vectors: NDArray[np.float32], names: NDArray[np.object_], known: NDArray[np.bool_]) -> Any:
    """A search index, searched for strangers; every rule, with these as its cohort."""
    templates = Templates(np.flatnonzero(known), names[known], vectors[known])
    few = exact.ExactIndex(templates)
    before = exact.FEW, exact.ALONE
    exact.FEW = exact.ALONE = 0  # as for a large gallery: by scikit-learn
    try:
        many = nearest_people(exact.ExactIndex(templates), vectors[~known], 3)
    finally:
        exact.FEW, exact.ALONE = before
    near = nearest_people(few, vectors[~known], 3)
    assert near == many
    _, labels = np.unique(names[known], return_inverse=True)
    return {
        "decisions": [asdict(decide(candidates, 0.9, 0.01)) for candidates in near],
        "templates": [[asdict(one) for one in found] for found in nearest_templates(few, vectors[:5], 4)],
        "scorers": {
            name: get_scorer(name).fit(vectors[known], labels, vectors[~known]).scores(vectors[:9]).tolist()
            for name in SCORERS
        },
    }


def classified(vectors: NDArray[np.float32], names: NDArray[np.object_], known: NDArray[np.bool_]) -> Any:
    """The classifier of scikit-learn, its splits and its scorer, by their public names."""
    classifier = enroll.OpenSetNeighborsClassifier(fpir=0.05).fit(vectors[known], names[known])
    cv, scorer = enroll.OpenSetSplit(3), enroll.tpir_scorer(0.05)
    return {
        "answers": classifier.predict(vectors).tolist(),
        "probabilities": classifier.predict_proba(vectors[:9]).tolist(),
        "scores": cross_val_score(classifier, vectors, names.astype(str), scoring=scorer, cv=cv).tolist(),
    }


def calibrated(vectors: NDArray[np.float32], labels: NDArray[np.int64], known: NDArray[np.bool_]) -> Any:
    """The threshold, with strangers, and the confidence."""
    promise = calibrate(vectors[known], labels[known], 0.05, vectors[~known], labels[~known])
    curve = fit_confidence_model(leave_one_out_searches(vectors, labels))
    assert curve is not None
    return {"promise": asdict(promise), "curve": asdict(curve), "sure": curve.probability(0.5, 0.9)}


def examined(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    """A gallery with two wrong photos and a person under two names."""
    given = labels.copy()
    given[[3, 50]] = 7, 1
    given[np.flatnonzero(labels == 10)[:4]] = 30
    found = examine(vectors, given)
    return {
        "duplicates": [asdict(pair) for pair in found.duplicates],
        "mislabeled": [asdict(photo) for photo in found.judged.mislabeled],
        "confused": [asdict(pair) for pair in found.lookalikes],
        "forecast": found.forecast and asdict(found.forecast),
        "notes": found.notes,
    }


def evaluated(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    """All figures of the open-set protocol and of pairs, and who is confused with whom."""
    found = np.arange(len(labels)) % 17 != 0
    samples = EmbeddedSamples(
        identities=tuple(f"p{label:02d}" for label in range(24)),
        labels=labels,
        vectors=vectors,
        found=found,
        enrollable=found & (np.arange(len(labels)) % 13 != 0),
    )
    evaluation = evaluate_samples(samples, EvaluationConfig(splits=4, replicates=30))
    trust, pairs = evaluation.reliability(), samples.comparisons()
    assert trust is not None
    return {
        "figures": [asdict(evaluation.rank(1)), asdict(evaluation.tpir(0.05))],
        "curve": [part.tolist() for part in evaluation.curve()],
        "trust": asdict(trust),
        "pairs": [pairs.eer(), *pairs.best_f1(), asdict(pairs.at_fmr(0.01))],
        "confusions": [asdict(one) for one in confusions(evaluation, 0.05)],
        "mistakes": [[asdict(one) for one in kind] for kind in mistakes(evaluation, 0.05)],
        "duplicates": probable_duplicates(samples),
        "by size": asdict(fpir_by_size(evaluation, evaluation.splits[0].limit(0.05))),
    }


def verified(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Any:
    """Pairs by the LFW protocol, of a file; vectors come from wherever the caller has them."""
    lines = ["4\t3"]
    for fold in range(4):
        people = [3 * fold + one for one in range(3)]
        lines += [f"p{one}\t1\t2" for one in people] + [f"p{one}\t3\tp{one + 1}\t4" for one in people]

    def embed(photos: Mapping[tuple[str, int], int]) -> list[NDArray[np.float32] | FailedPhoto]:
        rows = [np.flatnonzero(labels == int(name[1:]))[number - 1] for name, number in photos]
        return [FailedPhoto("p0, photo 1", "no face"), *(vectors[row] for row in rows[1:])]

    with TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.txt"
        pairs.write_text("\n".join(lines))
        return asdict(verify_pairs(pairs, embed))


def printed(code: str) -> Any:
    """What a process of its own gives."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_core_needs_no_pictures_galleries_or_networks():
    assert all(find_spec(name) for name in REFUSED)  # they are here, so refusing them means something
    alone = printed(ALONE + RUN)
    assert alone == printed(RUN)
    assert "unknown" in alone["classified"]["answers"] and min(alone["classified"]["scores"]) > 0
    assert alone["examined"]["duplicates"] and len(alone["examined"]["mislabeled"]) == 2
    assert alone["evaluated"]["mistakes"][0] and alone["verified"]["figures"]["accuracy"] > 0.5
