"""The probability of a name against other ways to compute it: by hand, by plain loops, by another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.confidence import (
    FARTHEST,
    ConfidenceModel,
    LabeledSearches,
    fit_confidence,
    fit_confidence_model,
    leave_one_out_searches,
    reliability,
)
from tests.enroll.doctor.people import made_people
from tests.enroll.search.vectors import random_rows


def known(distance: list[float], second: list[float], right: list[int], mated: list[int]) -> LabeledSearches:
    return LabeledSearches(np.array(distance), np.array(second), np.array(right, bool), np.array(mated, bool))


def searches_of_people(count: int, photos: int, noise: float) -> LabeledSearches:
    rng = np.random.default_rng(5)
    vectors = np.repeat(rng.normal(size=(count, 12)), photos, axis=0)
    vectors += noise * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return leave_one_out_searches(vectors.astype(np.float32), np.repeat(np.arange(count), photos))


def test_the_curve_is_the_logistic_of_its_formula() -> None:
    curve = ConfidenceModel(intercept=0.5, near=-2.0, apart=3.0)
    logit = 0.5 - 2 * math.log(0.4) + 3 * math.log(0.9 / 0.4)
    assert curve.probability(0.4, 0.9) == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-12)


def test_who_is_alone_has_the_second_one_as_far_as_can_be() -> None:
    curve = ConfidenceModel(-1.0, -1.0, 1.0)
    assert FARTHEST == 2.0  # opposite unit vectors
    assert curve.probability(0.5, None) == curve.probability(0.5, 2.0)
    assert curve.probability(0.5, None) != curve.probability(0.5, 1.9)


def test_copies_of_a_photo_have_a_probability_too() -> None:
    """Distances below a thousandth count as one: 0 has no logarithm."""
    curve = ConfidenceModel(-3.0, -1.0, 1.0)
    assert curve.probability(0.0, 0.5) == curve.probability(1e-3, 0.5) == curve.probability(5e-4, 0.5)
    assert curve.probability(0.0, 0.5) != curve.probability(1.1e-3, 0.5)
    assert curve.probability(0.0, 0.0) == curve.probability(1e-3, 1e-3)
    assert curve.probability(1e-3, 0.0) == curve.probability(1e-3, 1e-3)


def test_the_probability_of_any_curve_is_between_0_and_1() -> None:
    for steep in (1e6, -1e6):
        value = ConfidenceModel(0.0, steep, 0.0).probability(0.5, 1.0)
        assert 0 <= value <= 1
        assert round(value) == (steep < 0)


@pytest.mark.parametrize("photos", [[3, 3, 2, 1], [2, 3, 1], [2, 2], [1, 4], [40, 60]])
def test_searches_are_what_plain_loops_find(photos: list[int]) -> None:
    labels = np.repeat([30, 10, 20, 40][: len(photos)], photos)
    order = np.random.default_rng(0).permutation(len(labels))
    vectors, labels = random_rows(0, len(labels), 5), labels[order]
    found = leave_one_out_searches(vectors, labels)
    expected: list[tuple[float, float, bool, bool]] = []
    for mated in (True, False):
        for row in np.argsort(labels, kind="stable"):
            near: dict[int, float] = {}
            for other in range(len(labels)):
                if other != row and (mated or labels[other] != labels[row]):
                    distance = float(np.linalg.norm(vectors[row].astype(float) - vectors[other]))
                    near[int(labels[other])] = min(distance, near.get(int(labels[other]), math.inf))
            if mated and int(labels[row]) not in near:
                continue  # the only photo of its person: no one is there to be found
            first, *rest = sorted(near, key=near.__getitem__)
            second = near[rest[0]] if rest else 2.0
            expected.append((near[first], second, first == labels[row], mated))
    distance, second, right, mateds = zip(*expected, strict=True)
    np.testing.assert_allclose(found.distance, distance, atol=1e-7)
    np.testing.assert_allclose(found.second, second, atol=1e-7)
    np.testing.assert_array_equal(found.right, right)
    np.testing.assert_array_equal(found.mated, mateds)


def test_of_many_templates_whole_people_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 people with 2 photos each, 15 stay with both photos; not those of the first labels."""
    monkeypatch.setattr("enroll.confidence._MOST_TEMPLATES", 30)
    vectors, labels = random_rows(0, 40, 4), np.tile(np.arange(20), 2)
    found = leave_one_out_searches(vectors, labels)
    assert (found.mated.sum(), (~found.mated).sum()) == (30, 30)
    first = leave_one_out_searches(vectors[labels < 15], labels[labels < 15])
    assert not np.array_equal(found.distance, first.distance)
    again = leave_one_out_searches(vectors, labels)
    np.testing.assert_array_equal(found.distance, again.distance)
    monkeypatch.setattr("enroll.confidence._MOST_TEMPLATES", 40)
    assert len(leave_one_out_searches(vectors, labels).mated) == 80  # just as many are all searched for


def test_targets_are_those_of_platt() -> None:
    """All distances alike teach nothing but how many were right.

    Of 4 answers 3 are right, so their target is (3 + 1) / (3 + 2) and that of the wrong one 1 / (1 + 2). The
    3 mated searches weigh as much as the 1 non-mated: (4/5 + 1/3) / 2.
    """
    curve = fit_confidence_model(known([0.5] * 4, [1.0] * 4, [1, 1, 1, 0], [1, 1, 1, 0]))
    assert curve is not None
    assert curve.probability(0.5, 1.0) == pytest.approx(17 / 30, abs=1e-4)


def test_both_kinds_of_search_weigh_the_same() -> None:
    """Mated: 1 of 2 right, or 1 of 1; non-mated: 0 of 6. Target of right 2/3, of wrong 1/9 or 1/8."""
    two = fit_confidence_model(known([0.5] * 8, [1.0] * 8, [1] + [0] * 7, [1, 1] + [0] * 6))
    one = fit_confidence_model(known([0.5] * 7, [1.0] * 7, [1] + [0] * 6, [1] + [0] * 6))
    assert two is not None
    assert one is not None
    assert two.probability(0.5, 1.0) == pytest.approx(0.5 * (2 / 3 + 1 / 9) / 2 + 0.5 * 1 / 9, abs=1e-4)
    assert one.probability(0.5, 1.0) == pytest.approx(0.5 * 2 / 3 + 0.5 * 1 / 8, abs=1e-4)


@pytest.mark.parametrize(
    ("people", "photos", "noise"), [(12, 4, 0.7), (12, 4, 1.5), (3, 2, 1.0), (3, 3, 0.3)]
)
def test_the_curve_is_what_scikit_learn_fits(people: int, photos: int, noise: float) -> None:
    """Each search counts twice: as right with the weight of its target, as wrong with that of the rest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    searches = searches_of_people(people, photos, noise)
    features = np.column_stack(
        [np.log(searches.distance), np.log(searches.second) - np.log(searches.distance)]
    )
    right, mated = searches.right, searches.mated
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    weight = len(mated) / 2 / np.where(mated, mated.sum(), (~mated).sum())
    scaled = StandardScaler().fit_transform(features)
    model = LogisticRegression(C=1 / 0.01, tol=1e-10, max_iter=10_000).fit(
        np.concatenate([scaled, scaled]),
        np.repeat([1, 0], len(scaled)),
        np.concatenate([weight * target, weight * (1 - target)]),
    )
    expected: NDArray[np.float64] = model.predict_proba(scaled)[:, 1]
    curve = fit_confidence_model(searches)
    assert curve is not None
    np.testing.assert_allclose(curve.probabilities(searches.distance, searches.second), expected, rtol=1e-4)


def test_the_curve_is_found_that_the_answers_follow() -> None:
    true = ConfidenceModel(intercept=-2.0, near=-4.0, apart=3.0)
    rng = np.random.default_rng(0)
    distance = rng.uniform(0.3, 1.2, 40_000)
    second = distance * rng.uniform(1, 2, len(distance))
    right = rng.random(len(distance)) < true.probabilities(distance, second)
    curve = fit_confidence_model(LabeledSearches(distance, second, right, np.ones(len(right), bool)))
    assert curve is not None
    assert curve.intercept == pytest.approx(true.intercept, abs=0.15)
    assert curve.near == pytest.approx(true.near, abs=0.15)
    assert curve.apart == pytest.approx(true.apart, abs=0.15)


def test_answers_all_right_or_all_wrong_teach_no_curve() -> None:
    assert fit_confidence_model(known([0.5, 0.6], [1, 1], [1, 1], [1, 1])) is None
    assert fit_confidence_model(known([0.5, 0.6], [1, 1], [0, 0], [1, 0])) is None
    assert (
        fit_confidence_model(known([0.5, 0.6], [1, 1], [1, 0], [1, 1])) is not None
    )  # none of them non-mated
    assert fit_confidence_model(known([0.5, 0.6], [1, 1], [1, 0], [0, 0])) is not None


def test_reliability_by_hand() -> None:
    """Two bins of four: [0.25, 0.5) with answers of weight 1 and 3, and [0.75, 1] with weights 2 and 2."""
    found = reliability(
        np.array([0.3, 0.4, 0.75, 1.0]),
        np.array([True, False, True, True]),
        np.array([1.0, 3.0, 2.0, 2.0]),
        bins=4,
    )
    assert found.confidence == pytest.approx([(0.3 + 3 * 0.4) / 4, (0.75 + 1) / 2])
    assert found.accuracy == pytest.approx([1 / 4, 1])
    assert found.count == (4, 4)
    assert found.error == pytest.approx((4 * (0.375 - 0.25) + 4 * (1 - 0.875)) / 8)


def test_bins_are_tenths() -> None:
    values = np.arange(100) / 100 + 0.005
    found = reliability(values, np.ones(100, bool), np.ones(100))
    assert found.count == (10,) * 10
    assert found.confidence == pytest.approx(np.arange(0.05, 1, 0.1))
    assert found.error == pytest.approx(0.5)


def test_arrays_teach_what_their_searches_do() -> None:
    vectors, labels = made_people(8, 4, noise=0.3)
    names = [f"p{label}" for label in labels]
    expected = fit_confidence_model(leave_one_out_searches(vectors, labels))
    assert fit_confidence(vectors, names) == expected is not None
    assert fit_confidence(vectors.tolist(), names).near == pytest.approx(expected.near, rel=1e-4)
    assert fit_confidence(vectors[:4], names[:4]) is None  # one person
    with pytest.raises(ValueError, match="expected rows of length 1"):
        fit_confidence(2 * vectors, names)
