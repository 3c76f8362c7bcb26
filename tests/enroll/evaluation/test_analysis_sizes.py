"""FPIR against the number of enrolled people."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from embedder.metrics import interval
from enroll.evaluation import analysis as module
from enroll.evaluation.analysis import fpir_by_size, gallery_sizes
from enroll.evaluation.protocol import Evaluation
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder, photos_of


def enumerated(evaluation: Evaluation, limit: float, size: int) -> np.ndarray:
    """FPIR of each row of weights by searching in every sub-gallery; the first row weighs all the same."""
    folder = evaluation.samples
    rows = [np.ones(len(folder.identities)), *evaluation.weights()]
    shares = np.full((len(rows), len(evaluation.splits)), np.nan)
    for number, split in enumerate(evaluation.splits):
        named = np.zeros(len(split.non_mated))
        for index, probe in enumerate(split.non_mated):
            answers = []
            for part in combinations(split.known, size):
                templates = [
                    row for row in split.enrolled if folder.enrollable[row] and folder.labels[row] in part
                ]
                apart = [
                    np.linalg.norm(folder.vectors[row].astype(float) - folder.vectors[probe].astype(float))
                    for row in templates
                ]
                answers.append(bool(folder.found[probe]) and any(distance < limit for distance in apart))
            named[index] = np.mean(answers)
        for row, weights in enumerate(rows):
            drawn = weights[folder.labels[split.non_mated]]
            if drawn.sum():
                shares[row, number] = drawn @ named / drawn.sum()
    there = np.isfinite(shares)  # a replicate may have drawn no stranger of any split
    return np.array(
        [row[known].mean() if known.any() else np.nan for row, known in zip(shares, there, strict=True)]
    )


@pytest.mark.parametrize("at_once", [4_000_000, 20, 1], ids=["at once", "in parts", "one by one"])
def test_same_as_every_sub_gallery(monkeypatch: pytest.MonkeyPatch, at_once: int):
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", at_once)
    folder = made_folder(8, 4, noise=0.8, no_face=(3, 17), poor=(0, 1, 2, 9, 21))
    evaluation = made_evaluation(folder, known=0.6, splits=3, replicates=20)
    limit = float(np.median(np.concatenate([split.other_distance for split in evaluation.splits])))
    found = fpir_by_size(evaluation, limit)
    assert found.people == (1, 2, 5) and found.limit == limit
    for size, figure in zip(found.people, found.fpir, strict=True):
        value, *replicates = enumerated(evaluation, limit, size)
        assert 0.05 < value < 1
        assert figure.value == pytest.approx(value)
        assert (figure.low, figure.high) == pytest.approx(interval(np.array(replicates)))
    assert found.fmr == found.fpir[0].value


def test_two_strangers_with_a_single_photo():
    folder = photos_of(made_folder(noise=0.8), [4, 4, 4, 1, 1])
    evaluation = made_evaluation(folder, known=0.6, splits=2, replicates=20)
    assert evaluation.non_mated_searches == 2
    limit = float(np.mean([split.other_distance for split in evaluation.splits]))
    found = fpir_by_size(evaluation, limit)
    for size, figure in zip(found.people, found.fpir, strict=True):
        value, *replicates = enumerated(evaluation, limit, size)
        assert 0 < value < 1
        assert figure.value == pytest.approx(value)
        assert (figure.low, figure.high) == pytest.approx(interval(np.array(replicates)))


def test_whole_gallery_is_the_protocol():
    evaluation = made_evaluation()
    for fpir in (0.05, 0.3):
        limit = evaluation.splits[0].limit(fpir)
        measured = np.mean([(split.other_distance < limit).mean() for split in evaluation.splits])
        assert 0 < measured < 1
        assert fpir_by_size(evaluation, limit).fpir[-1].value == pytest.approx(measured)


def test_a_distance_at_the_limit_does_not_pass():
    evaluation = made_evaluation(splits=1)
    nearest = float(evaluation.splits[0].other_distance.min())
    assert fpir_by_size(evaluation, nearest).fpir[-1].value == 0
    assert fpir_by_size(evaluation, np.nextafter(nearest, 3)).fpir[-1].value == pytest.approx(1 / 36)


def test_no_template_names_no_one():
    folder = made_folder(6, 2, poor=tuple(range(1, 12)))
    evaluation = made_evaluation(folder, known=0.34, splits=1)
    split = evaluation.splits[0]
    assert not folder.enrollable[split.enrolled].any()
    found = fpir_by_size(evaluation, 3.0)
    assert [figure.value for figure in found.fpir] == [0, 0]
    assert found.expected(np.array([1, 1000])).tolist() == [0, 0]


def test_everyone_passes():
    found = fpir_by_size(made_evaluation(), 3.0)
    assert [figure.value for figure in found.fpir] == pytest.approx([1, 1, 1, 1])
    assert found.expected(np.array([1, 7])).tolist() == pytest.approx([1, 1])


def test_expected_of_independent_comparisons():
    evaluation = made_evaluation()
    found = fpir_by_size(evaluation, evaluation.splits[0].limit(0.2))
    people = np.array([1, 3, 1000])
    assert 0 < found.fmr < 0.2
    assert found.expected(people) == pytest.approx(1 - (1 - found.fmr) ** people)
    assert found.expected(people)[0] == pytest.approx(found.fpir[0].value)


@pytest.mark.parametrize(
    ("known", "sizes"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (3, (1, 2, 3)),
        (10, (1, 2, 5, 10)),
        (20, (1, 2, 5, 10, 20)),
        (137, (1, 2, 5, 10, 20, 50, 100, 137)),
    ],
)
def test_sizes(known: int, sizes: tuple[int, ...]):
    assert gallery_sizes(known) == sizes
