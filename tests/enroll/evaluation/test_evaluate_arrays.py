"""Evaluation of arrays, by other scorers, and at the thresholds that calibrating gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.strangers import StrangerDistances
from enroll.calibration import calibrate
from enroll.config import EvaluationConfig
from enroll.evaluation.protocol import evaluate, evaluate_samples
from enroll.evaluation.verification import PairComparisons, compare_pairs
from enroll.report.evaluation import all_figures, summarize
from enroll.scoring import get_scorer
from tests.conftest import TOY_STRANGERS
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder

CONFIG = EvaluationConfig(splits=3, replicates=30, seed=3)
FOLDER = made_folder()
NAMES = np.array(FOLDER.identities)[FOLDER.labels]


@pytest.mark.parametrize(
    "labels", [NAMES, NAMES.tolist(), NAMES.astype(object), FOLDER.labels, FOLDER.labels * 7]
)
def test_arrays_give_what_a_folder_gives(labels: Any) -> None:
    folder = evaluate_samples(FOLDER, CONFIG)
    for vectors in (FOLDER.vectors, FOLDER.vectors.astype(np.float64), FOLDER.vectors.tolist()):
        arrays = evaluate(vectors, labels, CONFIG)
        for fpir in (0.05, 0.1, 0.3):
            assert arrays.tpir(fpir).value == pytest.approx(folder.tpir(fpir).value)
            assert arrays.tpir(fpir).low == pytest.approx(folder.tpir(fpir).low)
        assert arrays.rank(1) == folder.rank(1)
    assert evaluate(FOLDER.vectors, labels).config == EvaluationConfig()


def test_photos_without_a_face_are_searched_for_in_vain() -> None:
    folder = made_folder(no_face=(4, 9), poor=(30,))
    expected = evaluate_samples(folder, CONFIG)
    broken = np.where(folder.found[:, None], folder.vectors, np.nan)
    found = evaluate(broken, folder.labels, CONFIG, detected=folder.found, enrollable=folder.enrollable)
    assert (found.rank(1), found.tpir(0.1)) == (expected.rank(1), expected.tpir(0.1))
    some = evaluate(broken, folder.labels, CONFIG, detected=folder.found.tolist())
    assert some.samples.enrollable.sum() == 70
    assert found.rank(1) != evaluate_samples(made_folder(), CONFIG).rank(1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": NAMES[1:]}, ValueError, r"expected \(n, dim\) vectors and \(n,\) labels, got"),
        ({"vectors": FOLDER.vectors[:, 0]}, ValueError, r"expected \(n, dim\) vectors"),
        ({"vectors": 2 * FOLDER.vectors}, ValueError, "expected rows of length 1"),
        ({"vectors": FOLDER.vectors * np.nan}, UsageError, "a vector is not finite"),
        ({"labels": np.where(FOLDER.labels == 1, np.nan, FOLDER.labels)}, ValueError, "got nan in row 6"),
        ({"labels": np.array([7, *NAMES[1:]], object)}, ValueError, "expected names or numbers, got both"),
        ({"labels": [None, *NAMES[1:]]}, ValueError, "labels: expected a name or a number a row, got None"),
        (
            {"detected": np.ones(72)},
            ValueError,
            r"detected: expected \(72,\) of bool, .* got float64 \(72,\)",
        ),
        ({"enrollable": np.ones(7, bool)}, ValueError, r"enrollable: expected \(72,\) of bool, .*\(7,\)"),
        ({"scorer": "median"}, ValueError, "expected a scorer of nearest, .*, got 'median'"),
    ],
)
def test_arrays_that_cannot_be_evaluated_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate(**{"vectors": FOLDER.vectors, "labels": NAMES, "config": CONFIG, **change})


@pytest.mark.parametrize("scorer", ["mean", "margin", "t-norm"])
def test_scores_stand_for_distances(scorer: str) -> None:
    found = evaluate(FOLDER.vectors, NAMES, CONFIG, scorer=scorer)
    for split in found.splits:
        fitted = get_scorer(scorer).fit(FOLDER.vectors[split.enrolled], FOLDER.labels[split.enrolled])
        scores = fitted.scores(FOLDER.vectors[split.mated])
        own = scores[np.arange(len(scores)), np.searchsorted(fitted.people, FOLDER.labels[split.mated])]
        assert split.distance == pytest.approx(scores.min(axis=1))
        assert split.rank.tolist() == (scores <= own[:, None]).sum(axis=1).tolist()
        assert split.second == pytest.approx(np.sort(scores, axis=1)[:, 1])
        nearest = fitted.people[scores.argmin(axis=1)]
        assert FOLDER.labels[split.nearest].tolist() == nearest.tolist()
        others = fitted.scores(FOLDER.vectors[split.non_mated])
        assert split.other_distance == pytest.approx(others.min(axis=1))
    assert found.as_calibrated(0.05) is None  # a threshold on distances is none on these
    assert found.tpir(0.1) != evaluate(FOLDER.vectors, NAMES, CONFIG).tpir(0.1)


@pytest.mark.parametrize("known", [None, TOY_STRANGERS])
def test_as_calibrated_is_what_a_user_gets(known: StrangerDistances | None) -> None:
    found = evaluate(FOLDER.vectors, NAMES, CONFIG, strangers=known)
    got = found.as_calibrated(0.2)
    assert got is not None and got.target_fpir == 0.2
    thresholds, tpirs, fpirs = [], [], []
    for split in found.splits:
        rows = split.enrolled
        threshold = calibrate(FOLDER.vectors[rows], FOLDER.labels[rows], 0.2, known=known).threshold
        thresholds.append(threshold)
        tpirs.append(((split.rank == 1) & (split.distance <= threshold)).mean())
        fpirs.append((split.other_distance <= threshold).mean())
    assert got.threshold == pytest.approx(np.mean(thresholds))
    assert got.tpir.value == pytest.approx(np.mean(tpirs)) and got.fpir.value == pytest.approx(np.mean(fpirs))
    assert got.tpir.low < got.tpir.value < got.tpir.high


def test_what_the_model_knows_moves_the_threshold() -> None:
    near, far = (replace(TOY_STRANGERS, mean=mean) for mean in (-0.3, 0.3))
    found = [
        evaluate(FOLDER.vectors, NAMES, CONFIG, strangers=one).as_calibrated(0.05)
        for one in (None, near, far)
    ]
    assert found[0].threshold < found[1].threshold < found[2].threshold  # six people alone say little
    assert found[0].tpir.value < found[2].tpir.value


def test_too_few_to_calibrate_is_said_by_none() -> None:
    few = made_evaluation(made_folder(6, 4), known=0.34)
    assert len(few.splits[0].known) == 2 and few.as_calibrated(0.01) is None
    assert "TPIR as calibrated" not in all_figures(few)
    poor = made_folder(6, 4, poor=tuple(range(1, 24)))
    assert evaluate_samples(poor, CONFIG).as_calibrated(0.01) is None


def test_the_report_says_what_a_calibrated_threshold_gives() -> None:
    evaluation = made_evaluation(replace(FOLDER, strangers=TOY_STRANGERS))
    got = evaluation.as_calibrated(0.01)
    outcome = summarize(evaluation)
    figures = outcome.figures
    assert (figures["TPIR as calibrated"], figures["FPIR as calibrated"]) == (got.tpir, got.fpir)
    (line,) = [line for line in outcome.lines if line.startswith("as calibrated: ")]
    assert line == (
        "as calibrated: at the threshold that `embed calibrate --fpir 0.01` sets, "
        f"{got.threshold:.3f} on average of the splits"
    )
    assert outcome.facts["as_calibrated"]["threshold"] == got.threshold
    assert outcome.facts["as_calibrated"]["tpir"]["value"] == got.tpir.value


def test_pairs_of_arrays() -> None:
    found = compare_pairs(FOLDER.vectors.tolist(), NAMES.tolist())
    expected = PairComparisons.of_vectors(FOLDER.vectors, FOLDER.labels)
    assert np.array_equal(found.mated, expected.mated) or found.mated == pytest.approx(expected.mated)
    assert found.eer() == pytest.approx(expected.eer())
    with pytest.raises(ValueError, match="expected rows of length 1"):
        compare_pairs(2 * FOLDER.vectors, NAMES)
