"""Each figure of 1:1 comparisons against its definition, written out slowly."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedder import metrics
from embedder.metrics import identity_weights, threshold_at_fpir
from enroll.evaluation import verification, weighted
from enroll.evaluation.verification import PairComparisons, TarAtFmr, pairs_needed

T = TypeVar("T")

PEOPLE = 4
FMRS = (0.05, 0.2, 0.5, 1.0)

# Distances of a grid, so that many are equal; a mated comparison may have failed.
steps = st.integers(0, 8).map(lambda step: step / 8)
failing = st.one_of(steps, steps, steps, st.just(math.inf))
mated_pairs = st.lists(st.tuples(failing, st.integers(0, PEOPLE - 1)), max_size=12)
strangers = st.tuples(st.integers(0, PEOPLE - 1), st.integers(0, PEOPLE - 1)).filter(
    lambda ij: ij[0] != ij[1]
)
non_mated_pairs = st.lists(st.tuples(steps, strangers), max_size=12)
drawn_people = st.lists(st.integers(0, 3), min_size=PEOPLE, max_size=PEOPLE)


def unit_rows(count: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def of_lists(mated: list, non_mated: list, identities: int = PEOPLE) -> PairComparisons:
    return PairComparisons.of_pairs(
        np.array([d for d, _ in mated], float),
        np.array([i for _, i in mated], int),
        np.array([d for d, _ in non_mated], float),
        np.array([ij for _, ij in non_mated], int).reshape(-1, 2),
        identities,
    )


def plain(mated: list[float], non_mated: list[float]) -> PairComparisons:
    """Pairs of which only the distances matter."""
    return of_lists([(d, 0) for d in mated], [(d, (0, 1)) for d in non_mated], 2)


def repeated(mated: list, non_mated: list, weights: list[int]) -> tuple[list[float], list[float]]:
    """The distances of the pairs there are when each person is there as often as drawn."""
    return (
        [d for d, i in mated for _ in range(weights[i])],
        [d for d, (i, j) in non_mated for _ in range(weights[i] * weights[j])],
    )


def share_passing(distances: list[float], threshold: float) -> float:
    return sum(d <= threshold < math.inf or d < threshold == math.inf for d in distances) / len(distances)


def slow_threshold(non_mated: list[float], fmr: float) -> float:
    candidates = [math.inf, *(math.nextafter(d, -math.inf) for d in non_mated)]
    return max(t for t in candidates if share_passing(non_mated, t) <= fmr + 1e-9)


def slow_eer(mated: list[float], non_mated: list[float]) -> float:
    fmr, miss = 0.0, 1.0
    for threshold in sorted({*mated, *non_mated} - {math.inf}):
        last_fmr, last_miss = fmr, miss
        fmr, miss = share_passing(non_mated, threshold), 1 - share_passing(mated, threshold)
        if fmr >= miss - 1e-12:
            # Where the lines last_fmr -> fmr and last_miss -> miss meet.
            way = (last_miss - last_fmr) / ((last_miss - last_fmr) + (fmr - miss))
            return last_fmr + way * (fmr - last_fmr)
    raise AssertionError("all non-mated pairs pass in the end")


def slow_f(mated: list[float], non_mated: list[float], beta: float = 1.0) -> tuple[float, float]:
    """At every distance there is, not only at mated ones."""
    best = (0.0, min({*mated, *non_mated}))
    for threshold in sorted({*mated, *non_mated} - {math.inf}):
        true, false = sum(d <= threshold for d in mated), sum(d <= threshold for d in non_mated)
        f = (1 + beta**2) * true / (true + false + beta**2 * len(mated))
        if f > best[0]:
            best = (f, threshold)
    return best[1], best[0]


def check(figures: verification.Replicates, row: int, mated: list[float], non_mated: list[float]) -> None:
    """One replicate against the slow figures of the pairs that it stands for."""
    both = bool(mated) and bool(non_mated)
    for column, fmr in enumerate(FMRS):
        threshold, tar = figures.threshold[row, column], figures.tar[row, column]
        if not non_mated:
            assert math.isnan(threshold)
        else:
            assert threshold == slow_threshold(non_mated, fmr)
        if both:
            assert tar == pytest.approx(share_passing(mated, threshold), abs=1e-12)
        else:
            assert math.isnan(tar)
    if both and any(map(math.isfinite, mated)):
        assert (figures.f1_threshold[row], figures.f1[row]) == slow_f(mated, non_mated)
    if both:
        assert figures.eer[row] == pytest.approx(slow_eer(mated, non_mated), abs=1e-12)
    else:
        assert math.isnan(figures.eer[row])
        assert math.isnan(figures.f1[row])
        assert math.isnan(figures.f1_threshold[row])


@given(mated_pairs, non_mated_pairs, st.lists(drawn_people, min_size=1, max_size=3))
@example([(0.5, 0)], [(0.25, (1, 2))], [[0, 1, 1, 1]])  # no mated pair is drawn
@example([(0.5, 0)], [(0.25, (1, 2))], [[1, 0, 1, 1]])  # no non-mated pair is
def test_weights_stand_for_repeated_people(mated: list, non_mated: list, weights: list[list[int]]):
    figures = of_lists(mated, non_mated).replicates(np.array(weights, float), FMRS)
    for row, drawn in enumerate(weights):
        check(figures, row, *repeated(mated, non_mated, drawn))


@given(mated_pairs, non_mated_pairs)
def test_weights_of_one_give_the_estimate(mated: list, non_mated: list):
    compared = of_lists(mated, non_mated)
    figures = compared.replicates(np.ones((2, PEOPLE)), FMRS)
    check(figures, 0, [d for d, _ in mated], [d for d, _ in non_mated])
    check(figures, 1, [d for d, _ in mated], [d for d, _ in non_mated])
    np.testing.assert_equal(compared.eer(), float(figures.eer[0]))
    np.testing.assert_equal(compared.best_f1(), (float(figures.f1_threshold[0]), float(figures.f1[0])))
    for column, fmr in enumerate(FMRS):
        at = compared.at_fmr(fmr)
        assert (at.fmr, at.pairs, at.needed) == (fmr, len(non_mated), round(1 / fmr))
        if len(non_mated) < at.needed:
            assert at.threshold is None and at.tar is None
        else:
            assert at.threshold == figures.threshold[0, column]
            assert at.threshold == threshold_at_fpir(compared.non_mated, fmr)
            assert at.tar == (figures.tar[0, column] if mated else None)


def test_a_person_twice_is_the_person_with_a_double():
    """Repeating the photos under a second name gives the same, but for pairs of a person with the double."""
    vectors, labels = unit_rows(15), np.repeat(np.arange(5), 3)
    weights = np.array([[1.0, 2.0, 1.0, 0.0, 1.0]])
    figures = PairComparisons.of_vectors(vectors, labels).replicates(weights, FMRS)
    kept = labels != 3
    rows = np.concatenate([vectors[kept], vectors[labels == 1]])
    names = np.concatenate([labels[kept], np.full(3, 9)])
    doubled = PairComparisons.of_vectors(rows, names)
    codes = sorted(set(names.tolist()))
    himself = [{codes[i], codes[j]} == {1, 9} for i, j in doubled.non_mated_identities]
    assert sum(himself) == 9
    other = ~np.array(himself)
    without = PairComparisons.of_pairs(
        doubled.mated,
        doubled.mated_identity,
        doubled.non_mated[other],
        doubled.non_mated_identities[other],
        doubled.identities,
    )
    expected = without.replicates(np.ones((1, 5)), FMRS)
    for name in ("threshold", "tar", "eer", "f1", "f1_threshold"):
        np.testing.assert_allclose(getattr(figures, name), getattr(expected, name), rtol=1e-12)


def test_all_pairs_are_compared():
    vectors = unit_rows(11)
    labels = np.array(["b", "a", "c", "b", "a", "b", "d", "a", "b", "c", "e"])  # two are alone
    compared = PairComparisons.of_vectors(vectors, labels)
    mated, non_mated = [], []
    for p, q in itertools.combinations(range(11), 2):
        distance = math.dist(vectors[p].tolist(), vectors[q].tolist())
        if labels[p] == labels[q]:
            mated.append((distance, "abcde".index(labels[p])))
        else:
            non_mated.append((distance, *sorted("abcde".index(labels[r]) for r in (p, q))))
    np.testing.assert_allclose(compared.mated, [d for d, _ in sorted(mated)], rtol=1e-12)
    assert compared.mated_identity.tolist() == [i for _, i in sorted(mated)]
    np.testing.assert_allclose(compared.non_mated, [row[0] for row in sorted(non_mated)], rtol=1e-12)
    assert np.sort(compared.non_mated_identities).tolist() == [list(row[1:]) for row in sorted(non_mated)]
    assert (compared.identities, compared.mated_total, compared.non_mated_total) == (5, 10, 45)
    assert compared.drawn is None


def test_same_photo_twice_is_at_no_distance():
    vectors = np.repeat(unit_rows(1, 128), 2, axis=0)
    assert PairComparisons.of_vectors(vectors, np.array([0, 0])).mated.tolist() == [0.0]


@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]])
def test_without_pairs_of_a_kind(labels: list[int]):
    compared = PairComparisons.of_vectors(unit_rows(len(labels)), np.array(labels, int))
    assert math.isnan(compared.eer())
    assert all(map(math.isnan, compared.best_f1()))
    assert compared.at_fmr(1.0).tar is None
    assert (compared.at_fmr(1.0).threshold is None) == (len(compared.non_mated) == 0)
    assert (compared.mated_total, compared.non_mated_total) == (len(compared.mated), len(compared.non_mated))
    assert compared.drawn is None


def test_no_replicates():
    figures = plain([0.1], [0.2]).replicates(np.zeros((0, 2)), FMRS)
    assert figures.tar.shape == figures.threshold.shape == (0, 4)
    assert figures.eer.shape == figures.f1.shape == (0,)


def rows_with_own_distances(photos: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return unit_rows(sum(photos), 8), np.repeat(np.arange(len(photos)), photos)


def test_some_pairs_are_drawn():
    vectors, labels = rows_with_own_distances([30, 1, 20, 9])
    everything = PairComparisons.of_vectors(vectors, labels)
    compared = PairComparisons.of_vectors(vectors, labels, limit=300)
    assert (len(everything.mated), len(everything.non_mated)) == (661, 1109)
    assert (compared.mated_total, compared.non_mated_total, compared.identities) == (661, 1109, 4)
    assert compared.drawn == "drawn at random: 300 of 661 mated pairs, 300 of 1,109 non-mated pairs"
    for kind, whose in (("mated", "mated_identity"), ("non_mated", "non_mated_identities")):
        there = dict(zip(getattr(everything, kind), getattr(everything, whose).tolist(), strict=True))
        found = dict(zip(getattr(compared, kind), getattr(compared, whose).tolist(), strict=True))
        assert len(found) == 300  # all different
        assert found.items() <= there.items()
    again, other = (PairComparisons.of_vectors(vectors, labels, 300, seed) for seed in (0, 1))
    assert (again.mated == compared.mated).all() and (again.non_mated == compared.non_mated).all()
    assert not (other.non_mated == compared.non_mated).all()


def test_only_the_kind_with_too_many_is_drawn():
    vectors, labels = rows_with_own_distances([10, 10])
    compared = PairComparisons.of_vectors(vectors, labels, limit=90)
    assert compared.drawn == "drawn at random: 90 of 100 non-mated pairs"
    assert PairComparisons.of_vectors(vectors, labels, limit=100).drawn is None


def test_each_pair_is_drawn_equally_often():
    vectors, labels = rows_with_own_distances([5, 4])
    everything = PairComparisons.of_vectors(vectors, labels).non_mated
    times = np.zeros(20)
    for seed in range(3000):
        found = PairComparisons.of_vectors(vectors, labels, limit=13, seed=seed).non_mated
        times[np.searchsorted(everything, found)] += 1
    assert times.sum() == 3000 * 13
    expected, spread = 3000 * 13 / 20, math.sqrt(3000 * 0.65 * 0.35)
    assert abs(times - expected).max() < 5 * spread


def test_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch):
    vectors, labels = rows_with_own_distances([6, 5, 4, 3])
    weights = identity_weights(4, 20, np.random.default_rng(0))
    whole = PairComparisons.of_vectors(vectors, labels)
    expected = whole.replicates(weights, FMRS)
    pairs_per_replicate = len(whole.mated) + len(whole.non_mated)
    for chunk in (1, 3 * pairs_per_replicate):
        monkeypatch.setattr(verification, "_CHUNK", chunk)
        monkeypatch.setattr(metrics, "_PAIRS_AT_ONCE", 7)
        compared = PairComparisons.of_vectors(vectors, labels)
        assert (compared.non_mated == whole.non_mated).all()
        figures = compared.replicates(weights, FMRS)
        for name in ("threshold", "tar", "eer", "f1", "f1_threshold"):
            np.testing.assert_array_equal(getattr(figures, name), getattr(expected, name))


def test_weights_in_bytes_give_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch):
    vectors, labels = rows_with_own_distances([6, 5, 4, 3])
    compared = PairComparisons.of_vectors(vectors, labels)
    weights = identity_weights(4, 20, np.random.default_rng(0))
    weights[0] = (15, 15, 15, 1)  # 15 * 15 is the largest product that a byte holds
    found = compared.replicates(weights, FMRS)
    more = np.where(weights == 15, 16, weights)
    larger = compared.replicates(more, FMRS)  # 16 * 16 is not
    halves = compared.replicates(weights / 2, FMRS)
    monkeypatch.setattr(weighted, "_SMALL", -1)
    for drawn, figures in ((weights, found), (more, larger), (weights / 2, halves)):
        expected = compared.replicates(drawn, FMRS)
        for name in ("threshold", "tar", "eer", "f1", "f1_threshold"):
            np.testing.assert_array_equal(getattr(figures, name), getattr(expected, name))


def peak_memory(work: Callable[[], T]) -> tuple[T, int]:
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded():
    vectors, labels = unit_rows(400, 128), np.repeat(np.arange(40), 10)
    weights = identity_weights(40, 1000, np.random.default_rng(0))
    compared, peak = peak_memory(lambda: PairComparisons.of_vectors(vectors, labels))
    assert peak < 65e6  # half of it for 2**14 pairs of vectors in double precision; all at once: 120 MB
    _, peak = peak_memory(lambda: compared.replicates(weights, (0.01, 0.001)))
    assert peak < 40e6  # all weights at once would be 640 MB


def test_figures_by_hand():
    compared = plain([0.1, 0.2, 0.4, 0.9], [0.3, 0.5, 0.6, 0.7, 0.8])
    below = math.nextafter(0.5, 0)
    assert compared.at_fmr(0.2) == TarAtFmr(0.2, pairs=5, needed=5, threshold=below, tar=0.75)
    assert compared.at_fmr(0.39) == TarAtFmr(0.39, pairs=5, needed=3, threshold=below, tar=0.75)
    assert compared.at_fmr(1.0) == TarAtFmr(1.0, pairs=5, needed=1, threshold=math.inf, tar=1.0)
    assert compared.at_fmr(0.19) == TarAtFmr(0.19, pairs=5, needed=6, threshold=None, tar=None)
    # FMR 1/5 and 1 - TAR 1/4 at 0.4, FMR 2/5 and 1/4 at 0.5: 1 - TAR stays, so they meet at 1/4.
    assert compared.eer() == pytest.approx(0.25)
    assert compared.best_f1() == (0.4, 2 * 3 / (3 + 1 + 4))


def test_a_share_of_whole_pairs_is_whole():
    compared = plain([0.5], [step / 100 for step in range(100)])
    assert 0.29 * 100 < 29
    assert compared.at_fmr(0.29).threshold == math.nextafter(0.29, 0)


def test_eer_between_two_steps_of_both():
    # At 0.5 one of two of each kind passes, after none of either: from (0, 1) to (1/2, 1/2).
    assert plain([0.5, 0.9], [0.5, 0.9]).eer() == pytest.approx(0.5)
    # At 0.5 both mated pairs and one of four others pass at once: from (0, 1) to (1/4, 0), meeting at 1/5.
    assert plain([0.5, 0.5], [0.5, 0.6, 0.7, 0.8]).eer() == pytest.approx(0.2)
    assert plain([0.1, 0.2], [0.3, 0.4]).eer() == 0.0
    assert plain([0.3, 0.4], [0.1, 0.2]).eer() == 1.0


def test_failed_comparisons_never_pass():
    compared = plain([0.1, math.inf], [0.3, 0.4])
    assert compared.at_fmr(1.0).tar == 0.5
    assert compared.eer() == pytest.approx(0.5)
    assert compared.best_f1() == (0.1, 2 / 3)
    assert all(map(math.isnan, plain([math.inf], [0.3]).best_f1()))


@pytest.mark.parametrize("beta", [0.25, 0.5, 2.0, 8.0])
def test_f_beta_weighs_recall_by_beta(beta: float):
    rng = np.random.default_rng(3)
    mated, non_mated = rng.normal(0.3, 0.1, 40).tolist(), rng.normal(0.5, 0.1, 60).tolist()
    threshold, f = plain(mated, non_mated).best_f(beta)
    assert (threshold, pytest.approx(f)) == slow_f(mated, non_mated, beta)
    recall, passing = np.mean(np.array(mated) <= threshold), np.array(mated + non_mated) <= threshold
    precision = passing[: len(mated)].sum() / passing.sum()
    assert f == pytest.approx((1 + beta**2) * precision * recall / (beta**2 * precision + recall))
    if beta in (0.25, 8.0):
        assert (threshold > plain(mated, non_mated).best_f1()[0]) == (beta > 1)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan, math.inf])
def test_f_beta_of_no_weight_is_refused(beta: float):
    with pytest.raises(ValueError, match="beta: expected a number above 0"):
        plain([0.1], [0.2]).best_f(beta)


def test_f1_takes_the_smallest_of_equally_good_thresholds():
    # 2 * 1 / (1 + 0 + 2) at 0.1, 2 * 2 / (2 + 2 + 2) at 0.4.
    assert plain([0.1, 0.4], [0.2, 0.3]).best_f1() == (0.1, 2 / 3)


@pytest.mark.parametrize(
    ("fmr", "needed"), [(1.0, 1), (0.5, 2), (0.3, 4), (0.1, 10), (1e-2, 100), (1e-3, 1000), (1e-6, 10**6)]
)
def test_pairs_needed(fmr: float, needed: int):
    assert pairs_needed(fmr) == needed


@pytest.mark.parametrize("fmr", [0.0, -0.1, 1.1, math.nan])
def test_no_share_is_refused(fmr: float):
    compared = plain([0.1], [0.2])
    with pytest.raises(ValueError, match=r"above 0 and at most 1, got"):
        compared.at_fmr(fmr)
    with pytest.raises(ValueError, match=r"above 0 and at most 1, got"):
        compared.replicates(np.ones((1, 2)), [fmr])


def test_rows_that_are_not_finite_are_named():
    vectors, labels = unit_rows(30), np.arange(30)
    vectors[3, 1], vectors[17] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"in 2 rows: 3, 17$"):
        PairComparisons.of_vectors(vectors, labels)
    vectors[20:28] = np.nan
    with pytest.raises(ValueError, match=r"in 10 rows: 3, 17, 20, 21, 22, 23, 24, 25, 26, 27$"):
        PairComparisons.of_vectors(vectors, labels)
    vectors[28] = np.nan
    with pytest.raises(ValueError, match=r"in 11 rows: 3, 17, 20, 21, 22, 23, 24, 25, 26, 27, \.\.\.$"):
        PairComparisons.of_vectors(vectors, labels)
    vectors[5:] = np.nan
    with pytest.raises(ValueError, match=r"in 26 rows: 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, \.\.\.$"):
        PairComparisons.of_vectors(vectors, labels)


@pytest.mark.parametrize(("mated", "non_mated"), [([0.1, math.nan], [0.5]), ([0.5], [0.1, math.nan])])
def test_distances_that_are_no_numbers_are_refused(mated: list[float], non_mated: list[float]):
    with pytest.raises(ValueError, match="not a number"):
        plain(mated, non_mated)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2,\)"):
        PairComparisons.of_vectors(unit_rows(3), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(4,\)"):
        PairComparisons.of_vectors(unit_rows(3), np.arange(4))
    with pytest.raises(ValueError, match=r"got \(2, 3, 4\) and \(2,\)"):
        PairComparisons.of_vectors(unit_rows(6).reshape(2, 3, 4), np.arange(2))
    with pytest.raises(ValueError, match=r"got \(4,\) and \(4,\)"):
        PairComparisons.of_vectors(unit_rows(1)[0], np.arange(4))
    for weights in (np.ones((1, 3)), np.ones((1, 1)), np.ones(2), np.ones((1, 2, 1))):
        with pytest.raises(ValueError, match=r"expected \(replicates, 2\)"):
            plain([0.1], [0.2]).replicates(weights)
