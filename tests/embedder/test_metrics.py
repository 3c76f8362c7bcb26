"""Each figure against its definition, written out slowly."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.errors import ModelError
from embedder.metrics import (
    OpenSetScores,
    blocks_of_rows,
    first_refused,
    gallery_searches,
    identity_weights,
    interval,
    leave_one_out,
    nearest_own_and_other,
    squared_distances,
    threshold_at_fpir,
    trials_needed,
    trials_of_one,
    unit_vectors,
    upper_bound,
)

distances = st.lists(st.floats(0, 2), min_size=1, max_size=40)


def unit_rows(count: int, dim: int = 4, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_squared_distances():
    a, b = unit_rows(3), unit_rows(5, seed=1)
    expected = [[sum((float(x) - float(y)) ** 2 for x, y in zip(p, q, strict=True)) for q in b] for p in a]
    np.testing.assert_allclose(squared_distances(a, b), expected, atol=1e-12)
    many = unit_rows(300, 128)
    assert (squared_distances(many, many) >= 0).all()  # rounding alone would make some of them negative


@given(distances, st.floats(0, 1))
def test_threshold_is_the_largest_that_keeps_the_fpir(non_mated: list[float], fpir: float):
    values = np.array(non_mated)
    threshold = threshold_at_fpir(values, fpir)
    assert (values <= threshold).mean() <= fpir + 1e-9
    if math.isfinite(threshold):  # one step farther lets too many pass
        assert (values <= np.nextafter(threshold, np.inf)).mean() > fpir


def test_threshold_counts_by_hand():
    values = np.array([0.9, 0.1, 0.5, 0.3])
    assert 0.1 < threshold_at_fpir(values, 0.25) < 0.3
    assert threshold_at_fpir(values, 0.24) < 0.1
    assert threshold_at_fpir(values, 1.0) == math.inf
    assert threshold_at_fpir(np.array([0.5, 0.5, 0.5]), 0.5) < 0.5  # ties pass together or not at all


def test_threshold_without_searches_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        threshold_at_fpir(np.array([]), 0.1)


def test_figures_of_searches():
    searches = OpenSetScores(
        correct=np.array([True, True, False, True]),
        mated=np.array([0.2, 0.4, 0.1, 0.8]),
        non_mated=np.array([0.5, 0.6, 0.7, 0.9]),
    )
    assert searches.rank1 == 0.75
    assert searches.tpir(0.0) == 0.5  # below 0.5: two right, one wrong that is near enough does not count
    assert searches.tpir(0.75) == 0.75


def test_a_search_at_the_threshold_itself_passes():
    threshold = threshold_at_fpir(np.array([0.5]), 0.0)
    searches = OpenSetScores(np.array([True, True]), np.array([threshold, 0.5]), np.array([0.5]))
    assert searches.tpir(0.0) == 0.5


def test_equally_near_people_count_against_the_right_one():
    vectors = np.repeat(unit_rows(1), 3, axis=0)
    assert leave_one_out(vectors, np.array([0, 0, 1])).correct.tolist() == [False, False]


def test_no_rows_have_no_blocks():
    assert list(blocks_of_rows(0)) == []


@pytest.mark.parametrize("count", [1, 7, 3000, 2**21, 2**23])
def test_blocks_cover_all_rows_and_stay_small(count: int):
    blocks = list(blocks_of_rows(count)) if count < 10_000 else list(islice(blocks_of_rows(count), 3))
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert count >= 10_000 or blocks[-1].stop == count
    largest = max(block.stop - block.start for block in blocks)
    assert largest == 1 or largest * count <= 2**22  # 32 MB in double precision
    assert largest == count or (largest + 1) * count > 2**22  # and no smaller than that allows


def test_leave_one_out_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch):
    vectors, labels = unit_rows(23), np.arange(23) % 4
    whole = leave_one_out(vectors, labels)
    monkeypatch.setattr("embedder.metrics._BLOCK", 23 * 5)
    parts = leave_one_out(vectors, labels)
    np.testing.assert_array_equal(parts.correct, whole.correct)
    np.testing.assert_allclose(parts.mated, whole.mated)
    np.testing.assert_allclose(parts.non_mated, whole.non_mated)


def test_figures_without_mated_searches_are_not_numbers():
    searches = OpenSetScores(np.array([], bool), np.array([]), np.array([0.5]))
    assert math.isnan(searches.rank1)
    assert math.isnan(searches.tpir(0.1))


def test_leave_one_out_by_hand():
    vectors, labels = unit_rows(7), np.array([0, 0, 1, 1, 1, 2, 0])
    searches = leave_one_out(vectors, labels)
    d = np.sqrt(squared_distances(vectors, vectors))
    mated = []
    for i in range(7):
        own = [d[i, j] for j in range(7) if labels[j] == labels[i] and j != i]
        other = [d[i, j] for j in range(7) if labels[j] != labels[i]]
        assert searches.non_mated[i] == pytest.approx(min(other))
        if own:  # identity 2 has a single photo
            mated.append((min(own) < min(other), min(own + other)))
    np.testing.assert_array_equal(searches.correct, [right for right, _ in mated])
    np.testing.assert_allclose(searches.mated, [nearest for _, nearest in mated])
    assert len(mated) == 6


def test_gallery_searches_by_hand():
    vectors, labels = unit_rows(60), np.repeat(np.arange(15), 4)
    known, strangers = np.array([0, 1, 2, 3, 5, 8, 9, 10]), np.array([4, 12])
    searches = gallery_searches(vectors, labels, known, strangers, 3, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    gallery, probes = [], []
    for identity in known:
        rows = rng.permutation(np.flatnonzero(labels == identity))
        gallery += rows[:3].tolist()
        probes += rows[3:].tolist()
    d = np.sqrt(squared_distances(vectors, vectors))
    nearest = [min(gallery, key=lambda row, p=probe: d[p, row]) for probe in probes]
    expected = [int(labels[n]) == int(labels[p]) for n, p in zip(nearest, probes, strict=True)]
    assert searches.correct.tolist() == expected
    assert {True, False} == set(expected)
    assert {np.sign(labels[n] - labels[p]) for n, p in zip(nearest, probes, strict=True)} == {-1, 0, 1}
    np.testing.assert_allclose(searches.mated, [d[p, n] for p, n in zip(probes, nearest, strict=True)])
    of_strangers = np.isin(labels, strangers)
    np.testing.assert_allclose(searches.non_mated, d[of_strangers][:, gallery].min(1))


@pytest.mark.parametrize("count", [1, 7, 100, 1000])
def test_a_share_of_whole_searches_allows_that_many(count: int):
    """Shares such as 0.29 of 100 are not whole numbers in floating point."""
    distances = np.random.default_rng(0).permutation(np.arange(count) + 1.0)
    for allowed in range(count + 1):
        limit = first_refused(distances, allowed / count)
        assert limit == (allowed + 1 if allowed < count else np.inf)
        assert (distances <= threshold_at_fpir(distances, allowed / count)).sum() == allowed


def test_trials_of_one_undoes_a_share():
    assert [trials_of_one(1 / count) for count in range(1, 2000)] == list(range(1, 2000))
    assert trials_of_one(0.3) == 4


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (0, 10), (1, 2), (3, 40), (39, 40)])
@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_so_few_hits_are_just_as_likely_at_the_upper_bound(hits: int, trials: int, confidence: float):
    share = upper_bound(hits, trials, confidence)
    chance = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits + 1))
    assert chance == pytest.approx(1 - confidence)
    assert upper_bound(hits, trials) == upper_bound(hits, trials, 0.95)


def test_all_trials_hit_bound_nothing():
    assert upper_bound(3, 3) == upper_bound(0, 0) == 1.0


def test_trials_needed_to_bound_a_share():
    # 0.99 ** 298 is 0.0500 and something, 0.99 ** 299 is less; 0.5 ** 4 is 0.0625.
    assert [trials_needed(share) for share in (0.01, 0.5, 0.95)] == [299, 5, 1]
    assert trials_needed(0.5, 0.9) == 4


def test_identities_are_drawn_with_replacement():
    weights = identity_weights(4, 20_000, np.random.default_rng(0))
    assert (weights.shape, weights.dtype) == ((20_000, 4), np.float64)
    assert (weights.sum(axis=1) == 4).all() and (weights == weights.astype(int)).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(weights.var(axis=0), 3 / 4, atol=0.03)  # binomial, of 4 draws at 1/4


def test_interval_by_hand():
    values = np.append(np.random.default_rng(0).permutation(201) / 2.0, [math.nan, math.inf])
    assert interval(values) == pytest.approx((2.5, 97.5))
    assert interval(values, 0.5) == pytest.approx((25, 75))
    assert all(map(math.isnan, interval(np.array([math.nan]))))


def test_unit_vectors_by_hand():
    features = np.float32([[3, 4], [0, -2]])
    np.testing.assert_allclose(unit_vectors(features, mirrored=False), [[0.6, 0.8], [0, -1]], rtol=1e-6)
    (mean,) = unit_vectors(np.float32([[3, 4], [0, 2]]), mirrored=True)  # (0.6, 0.8) and (0, 1)
    np.testing.assert_allclose(mean, np.array([0.6, 1.8]) / math.sqrt(3.6), rtol=1e-6)
    assert unit_vectors(features, mirrored=False).dtype == np.float32


@pytest.mark.parametrize("row", [[0, 0], [math.nan, 1], [math.inf, 1]])
def test_vectors_without_a_direction_are_refused(row: list[float]):
    with pytest.raises(ModelError, match="train it again"):
        unit_vectors(np.float32([[1, 0], row]), mirrored=False)


def test_opposite_mirror_pictures_have_no_direction():
    with pytest.raises(ModelError, match="train it again"):
        unit_vectors(np.float32([[1, 0], [-1, 0]]), mirrored=True)


def test_templates_of_the_same_photos_can_be_searched_instead():
    vectors, templates, labels = unit_rows(12), unit_rows(24)[12:], np.repeat(np.arange(4), 3)
    own, other = nearest_own_and_other(vectors, labels, templates)
    d = np.linalg.norm(vectors[:, None].astype(float) - templates[None], axis=2)
    for i in range(12):
        assert own[i] == pytest.approx(min(d[i, j] for j in range(12) if labels[j] == labels[i] and j != i))
        assert other[i] == pytest.approx(min(d[i, j] for j in range(12) if labels[j] != labels[i]))
    people = np.array([0, 1]), np.array([2, 3])
    found = gallery_searches(vectors, labels, *people, 2, np.random.default_rng(0), templates)
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(np.flatnonzero(labels == who)) for who in people[0]]
    gallery = np.concatenate([rows[:2] for rows in drawn])
    np.testing.assert_allclose(found.mated, [d[rows[2], gallery].min() for rows in drawn], rtol=1e-6)
    np.testing.assert_allclose(found.non_mated, d[6:][:, gallery].min(axis=1), rtol=1e-6)
