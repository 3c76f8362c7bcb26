"""Figures and paired differences of the ablation, on searches whose answer is known."""

from __future__ import annotations

import ablation
import numpy as np
import pytest
from bench_main_job import random_people

from embedder.metrics import OpenSetScores


@pytest.fixture
def searched() -> ablation.Searched:
    """Searches of 6 people, with ties among the distances."""
    rng = np.random.default_rng(1)
    return ablation.Searched(
        correct=rng.random(120) < 0.8,
        mated=rng.integers(0, 40, 120) / 40,
        known=np.repeat(np.arange(6), 20),
        non_mated=rng.integers(5, 60, 240) / 40,
        strangers=np.tile(np.arange(6), 40),
    )


def as_counted(searched: ablation.Searched, counts: np.ndarray) -> OpenSetScores:
    """The same searches, each written down as often as its person counts."""
    mated, non_mated = counts[searched.known], counts[searched.strangers]
    return OpenSetScores(
        searched.correct.repeat(mated), searched.mated.repeat(mated), searched.non_mated.repeat(non_mated)
    )


@pytest.mark.parametrize("fpir", [0.0, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("counts", [[1, 1, 1, 1, 1, 1], [0, 2, 1, 0, 3, 0], [6, 0, 0, 0, 0, 0]])
def test_a_person_who_counts_twice_is_like_two(searched: ablation.Searched, counts: list[int], fpir: float):
    expected = as_counted(searched, np.array(counts))
    found = searched.figures(np.array([counts, [1] * 6], float), fpir)
    assert found[0] == pytest.approx([expected.rank1, expected.tpir(fpir)])


def test_no_stranger_drawn_is_no_figure():
    searched = ablation.Searched(
        np.array([True]), np.array([0.1]), np.array([0]), np.array([0.5]), np.array([1])
    )
    (rank1, tpir), (_, without_known) = searched.figures(np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert rank1 == 1
    assert np.isnan(tpir) and np.isnan(without_known)


def test_searches_know_whose_photo_they_are_of():
    """The higher a person's number, the farther are their photos from each other and from anyone else's."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(20, 40), 10))
    person = labels - 20
    vectors = (1 + person[:, None]) * (100.0 * np.eye(20)[person] + rng.normal(size=(200, 20)))
    searched = ablation.search(vectors, labels)
    assert len(searched.mated) == ablation.SPLITS * 50
    assert len(searched.non_mated) == ablation.SPLITS * 100
    for distances, people in ((searched.mated, searched.known), (searched.non_mated, searched.strangers)):
        assert set(people) == set(range(20))
        means = [distances[people == number].mean() for number in range(20)]
        assert np.corrcoef(means, np.arange(20))[0, 1] > 0.9
    of_known = searched.known.reshape(ablation.SPLITS, 50)
    for people, (known, _, _) in zip(of_known, random_people(ablation.SPLITS), strict=True):
        assert set(people) == set(known - 20)


def of_seeds(by_seed: list[float], replicates: int) -> np.ndarray:
    """Figures (1 + replicates, seeds, 2) that depend on the seed only."""
    return np.tile(np.array(by_seed)[None, :, None], (1 + replicates, 1, 2))


def test_difference_of_a_head_and_itself_is_nothing():
    _, seeds = ablation.resamples(3)
    figures = np.random.default_rng(0).random((len(seeds), 3, 2))
    assert set(map(tuple, ablation.compare(figures, figures, seeds).values())) == {(0, 0, 0)}


def test_difference_is_paired():
    """However much people and seeds differ, a head that is always better by .03 is better by .03."""
    _, seeds = ablation.resamples(5)
    figures = np.random.default_rng(0).random((len(seeds), 5, 2))
    for difference in ablation.compare(figures + 0.03, figures, seeds).values():
        assert difference == pytest.approx([0.03, 0.03, 0.03])


def test_two_seeds_that_disagree_give_an_interval_from_one_to_the_other():
    """In a quarter of the cases both draws are the first seed, in another quarter the second."""
    _, seeds = ablation.resamples(2)
    first, second = of_seeds([0.9, 0.7], len(seeds) - 1), of_seeds([0.7, 0.7], len(seeds) - 1)
    assert ablation.compare(first, second, seeds)["rank-1"] == pytest.approx([0.1, 0.0, 0.2])


def test_people_who_disagree_widen_the_interval():
    """One head names the photos of ten people, the other none: half, give or take what 20 coins do."""
    weights, seeds = ablation.resamples(1)
    people, ten = np.arange(20), np.arange(20) < 10
    some, none = (
        ablation.Searched(np.full(20, True), np.where(named, 0.1, 0.9), people, np.full(20, 0.5), people)
        for named in (ten, np.full(20, False))
    )
    figures = [searched.figures(weights)[:, None] for searched in (some, none)]
    difference = ablation.compare(*figures, seeds)
    assert difference["rank-1"] == [0, 0, 0]
    assert difference["TPIR at FPIR 1 %"] == pytest.approx([0.5, 0.3, 0.7], abs=0.05)  # .5 ± 1.96 · .112


def test_one_run_stands_for_every_seed_only_where_nothing_is_random():
    weights, _ = ablation.resamples(3)
    labels = np.repeat(np.arange(20, 40), 10)
    run = {"vectors": np.random.default_rng(0).normal(size=(200, 4)), "labels": labels}
    figures = ablation.figures_of([run], weights, 3)
    assert figures.shape == (1 + ablation.REPLICATES, 3, 2)
    np.testing.assert_array_equal(figures[:, 0], figures[:, 2])


def test_only_differences_on_one_side_of_zero_are_bold():
    entry = {"photos": "as is", "pair": "a − b", "rank-1": [0.02, 0.0004, 0.04]}  # 0, as printed
    line = ablation.differences_table([{**entry, "TPIR at FPIR 1 %": [-0.02, -0.04, -0.01]}])[-1]
    assert line == "| as is | a − b | +0.020 [+0.000, +0.040] | **−0.020 [−0.040, −0.010]** |"
