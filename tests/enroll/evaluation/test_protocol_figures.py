"""Figures of small and uneven evaluations, each against its definition, written out slowly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.errors import UsageError
from enroll.confidence import FARTHEST, fit_confidence_model, leave_one_out_searches, reliability
from enroll.evaluation import searches
from enroll.evaluation.estimates import Estimate, difference, figure
from enroll.evaluation.protocol import FPIRS, Evaluation
from enroll.evaluation.splits import SearchSplit
from tests.enroll.evaluation.evaluations import made_evaluation, made_folder, photos_of
from tests.enroll.evaluation.test_protocol import slow_tpir

FOLDER = made_folder(noise=0.8, no_face=(3, 20), poor=(10, 50))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return made_evaluation(FOLDER)


def test_the_fpirs_that_are_reported() -> None:
    """The names of the figures in `evaluate --json` are made of them."""
    assert [f"{100 * fpir:g} %" for fpir in FPIRS] == ["0.1 %", "1 %", "5 %", "10 %"]


def slow_rank(evaluation: Evaluation, k: int, weights: NDArray[np.float64]) -> float:
    """Every search as often as its person was drawn; splits in which no one was drawn do not count."""
    shares = []
    for split in evaluation.splits:
        times = [weights[FOLDER.labels[row]] for row in split.mated]
        hits = [weight * (rank <= k) for weight, rank in zip(times, split.rank, strict=True)]
        if sum(times):
            shares.append(sum(hits) / sum(times))
    return float(np.mean(shares)) if shares else float("nan")


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_rank_k_is_what_plain_loops_give(evaluation: Evaluation, k: int) -> None:
    weights = np.concatenate([np.ones((1, 12)), evaluation.weights(), np.eye(12)])
    expected = [slow_rank(evaluation, k, row) for row in weights]
    np.testing.assert_allclose(evaluation.rank_replicates(k, weights), expected, atol=1e-12)
    found = evaluation.rank(k)  # six people are enrolled
    assert found.value == pytest.approx(expected[0])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(expected[1:41], [0.025, 0.975])))


def test_ranks_are_what_plain_loops_count(evaluation: Evaluation) -> None:
    seen = set()
    for split in evaluation.splits:
        gallery = [row for row in split.enrolled if FOLDER.enrollable[row]]
        for probe, rank in zip(split.mated, split.rank, strict=True):
            if not FOLDER.found[probe]:
                assert rank == np.inf
                continue
            away = {
                person: min(
                    np.linalg.norm(FOLDER.vectors[row].astype(float) - FOLDER.vectors[probe])
                    for row in gallery
                    if FOLDER.labels[row] == person
                )
                for person in split.known
            }
            own = away.pop(FOLDER.labels[probe])
            assert rank == 1 + sum(other < own for other in away.values())
            seen.add(rank)
    assert len(seen) > 3


def test_a_search_at_the_distance_that_must_not_pass_is_missed(evaluation: Evaluation) -> None:
    split = evaluation.splits[0]
    at_limit = replace(split, distance=np.where(split.rank == 1, split.limit(0.5), split.distance))
    one = replace(evaluation, splits=(at_limit,))
    assert one.tpir_replicates(0.5, np.ones((1, 12))).tolist() == [0.0]
    nearer = replace(split, distance=np.where(split.rank == 1, np.nextafter(split.limit(0.5), 0), np.inf))
    one = replace(evaluation, splits=(nearer,))
    assert one.tpir_replicates(0.5, np.ones((1, 12))) == pytest.approx([(split.rank == 1).mean()])


def test_where_no_one_could_be_enrolled_no_one_is_found() -> None:
    found = made_evaluation(made_folder(6, 2, poor=tuple(range(1, 12))), known=0.34, splits=1)
    (split,) = found.splits
    assert len(split.known) == 2 and np.isinf(split.rank).all() and (split.nearest == -1).all()
    assert np.isinf(np.concatenate([split.distance, split.second, split.other_distance])).all()
    assert (found.rank(1).value, found.tpir(0.5).value) == (0.0, 0.0)


def test_tpir_of_each_person_alone(evaluation: Evaluation) -> None:
    """Of many replicates some draw no one who is enrolled in a split, or no stranger."""
    rows = np.eye(12)[:, None] + np.eye(12)[None]  # each two people
    for weights in rows.reshape(-1, 12)[::7]:
        (found,) = evaluation.tpir_replicates(0.5, weights[None])
        known = [split for split in evaluation.splits if weights[split.known].any()]
        assert np.isnan(found) == (not known)
        if known:
            assert found == pytest.approx(slow_tpir(evaluation, 0.5, weights), abs=1e-12)


def test_the_curve_goes_from_one_search_to_all(evaluation: Evaluation) -> None:
    fpirs, fnirs = evaluation.curve()
    allowed = fpirs * 36
    np.testing.assert_allclose(allowed, np.rint(allowed))
    # 25 steps by the same factor from 1 to 36; to the nearest whole number the first few are the same.
    expected = sorted({round(36 ** (step / 24)) for step in range(25)})
    assert allowed.round().astype(int).tolist() == expected
    ones = np.ones(12)
    np.testing.assert_allclose(fnirs, [1 - slow_tpir(evaluation, fpir, ones) for fpir in fpirs], atol=1e-12)
    assert 0 < fnirs[-1] < fnirs[0] < 1


def test_a_single_split(evaluation: Evaluation) -> None:
    one = replace(evaluation, splits=evaluation.splits[:1])
    assert one.rank(6).value == pytest.approx(slow_rank(one, 6, np.ones(12)))
    assert one.rank(7).needed == "7 enrolled people"


def test_an_interval_of_equal_replicates_is_the_exact_one_only_at_the_ends() -> None:
    reach = 1 - 0.025 ** (1 / 7)
    assert figure(0.0, np.zeros(9), 7) == Estimate(0.0, 0.0, pytest.approx(reach))
    assert figure(1.0, np.ones(9), 7) == Estimate(1.0, pytest.approx(1 - reach), 1.0)
    assert figure(0.5, np.full(9, 0.5), 7) == Estimate(0.5, 0.5, 0.5)
    assert difference(0.0, np.zeros(9)) == Estimate(0.0, 0.0, 0.0)
    spread = figure(1.0, np.array([0.0, 1.0]), 7)
    assert (spread.low, spread.high) == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Estimate(0.5, 0.25, 0.75), "0.500 (0.250 to 0.750)"),
        (Estimate(0.5, 0.25), "0.500"),
        (Estimate(0.5), "0.500"),
        (Estimate(None, needed="9 photos"), "not supported; needs 9 photos"),
    ],
)
def test_a_figure_in_words(shown: Estimate, words: str) -> None:
    assert str(shown) == f"{shown}" == words


def test_a_difference_shows_its_sign() -> None:
    assert f"{Estimate(0.01, -0.02, 0.0):+}" == "+0.010 (-0.020 to +0.000)"
    assert f"{Estimate(-0.0001, -0.02, 0.01):+}" == "+0.000 (-0.020 to +0.010)"  # nothing has no minus


@pytest.mark.parametrize(
    ("counts", "share", "known"),
    [
        ([6] * 12, 0.5, 6),
        ([6] * 12, 0.99, 11),  # one is left to be a stranger
        ([6] * 12, 0.01, 1),
        ([6] * 11, 0.5, 6),  # 5.5 to the even number
        ([2, 2, 2] + [1] * 9, 0.9, 3),  # who has two photos
        ([2, 2, 1], 0.5, 2),
        ([2, 2, 2], 0.9, 2),
    ],
)
def test_how_many_are_enrolled(counts: list[int], share: float, known: int) -> None:
    found = made_evaluation(photos_of(made_folder(), counts), known=share)
    for split in found.splits:
        assert len(split.known) == known
        assert all(counts[person] >= 2 for person in split.known)
        assert len(split.enrolled) == sum(counts[person] // 2 for person in split.known)
    assert found.non_mated_searches == min(
        sum(count for person, count in enumerate(counts) if person not in split.known)
        for split in found.splits
    )


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([2, 2], "got 2 people, 2 of them"),
        ([2, 2, 0], "got 2 people, 2 of them"),
        ([2, 1, 1], "got 3 people, 1 of them"),
        ([1] * 9, "0 of them"),
    ],
)
def test_too_few_people_or_photos(counts: list[int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made_evaluation(photos_of(made_folder(), counts))


def test_uneven_people_support_what_the_smallest_split_does() -> None:
    found = made_evaluation(photos_of(made_folder(), [2] * 6 + [6] * 6), splits=8)
    sizes = [len(split.non_mated) for split in found.splits]
    assert found.non_mated_searches == min(sizes) < max(sizes)
    assert found.supports(1 / min(sizes)) and not found.supports(1 / (min(sizes) + 1))
    assert found.tpir(1 / min(sizes)).needed is None
    assert round(found.curve()[0][0] * min(sizes), 9) == 1


def test_a_gallery_of_one_person_has_no_second() -> None:
    found = made_evaluation(FOLDER, known=0.01)
    for split in found.splits:
        there = np.isfinite(split.distance)
        assert (split.second[there] == FARTHEST).all() and (split.rank[there] == 1).all()
        assert (split.other_second[np.isfinite(split.other_distance)] == FARTHEST).all()
    assert found.reliability() is None
    assert found.rank(1).value is not None
    assert found.rank(2).needed == "2 enrolled people"


def test_a_gallery_of_two_people_has_a_second() -> None:
    split = made_evaluation(photos_of(made_folder(), [6, 6, 6]), known=0.7, splits=1).splits[0]
    vectors, labels = made_folder().vectors.astype(float), made_folder().labels
    for probe, nearest, second in zip(split.mated, split.distance, split.second, strict=True):
        away = [
            min(np.linalg.norm(vectors[row] - vectors[probe]) for row in split.enrolled if labels[row] == one)
            for one in split.known
        ]
        assert (nearest, second) == pytest.approx(tuple(sorted(away)), abs=1e-6)


def test_in_blocks_searches_are_the_same(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    for pairs in (1, 40):  # one probe at a time, two at a time
        monkeypatch.setattr(searches, "_PAIRS_AT_ONCE", pairs)
        for one, other in zip(made_evaluation(FOLDER).splits, evaluation.splits, strict=True):
            for name in ("rank", "nearest", "other_nearest"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            for name in ("distance", "second", "other_distance", "other_second"):
                np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-7)


def taught(splits: tuple[SearchSplit, ...]) -> list[tuple[float, bool, float]]:
    """Probability, outcome and weight of each search: a half for all mated ones, a half for the others."""
    answers = []
    for split in splits:
        rows = [row for row in split.enrolled if FOLDER.enrollable[row]]
        curve = fit_confidence_model(leave_one_out_searches(FOLDER.vectors[rows], FOLDER.labels[rows]))
        assert curve is not None
        mated = list(zip(split.distance, split.second, split.rank == 1, strict=True))
        others = [(*pair, False) for pair in zip(split.other_distance, split.other_second, strict=True)]
        for kind in (mated, others):
            there = [entry for entry in kind if np.isfinite(entry[0])]
            answers += [
                (curve.probability(distance, second), right, 0.5 / len(there))
                for distance, second, right in there
            ]
    return answers


def test_reliability_weighs_mated_and_non_mated_searches_alike(evaluation: Evaluation) -> None:
    found = evaluation.reliability()
    probabilities, right, weights = map(np.array, zip(*taught(evaluation.splits), strict=True))
    expected = reliability(probabilities, right, weights)
    assert found is not None
    assert sum(found.count) == pytest.approx(4)  # a whole for each split
    for name in ("confidence", "accuracy", "count", "error"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_splits_that_teach_nothing_are_left_out(evaluation: Evaluation) -> None:
    good = evaluation.splits[1:]
    untaught = replace(evaluation.splits[0], enrolled=evaluation.splits[0].enrolled[:3])  # of one person
    expected = replace(evaluation, splits=good).reliability()
    assert expected is not None
    for some in ((untaught, *good), (*good, untaught)):
        found = replace(evaluation, splits=some).reliability()
        assert found is not None
        assert found.count == pytest.approx(expected.count)
        assert found.error == pytest.approx(expected.error)
    assert replace(evaluation, splits=(untaught,)).reliability() is None


def test_two_enrolled_people_teach_a_confidence() -> None:
    found = made_evaluation(photos_of(made_folder(noise=0.8), [6, 6, 6]), known=0.7, splits=2)
    assert [len(split.known) for split in found.splits] == [2, 2]
    measured = found.reliability()
    assert measured is not None
    assert sum(measured.count) == pytest.approx(2)


def test_a_split_without_a_face_searched_for_counts_its_strangers(evaluation: Evaluation) -> None:
    split = evaluation.splits[0]
    blind = replace(split, distance=np.full_like(split.distance, np.inf))
    found = replace(evaluation, splits=(blind,)).reliability()
    assert found is not None
    assert sum(found.count) == pytest.approx(0.5)
    assert set(found.accuracy) == {0.0}
