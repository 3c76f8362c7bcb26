from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from embedder.moments import normal_quantile
from embedder.strangers import StrangerDistances

KNOWN = StrangerDistances(
    mean=0.28,
    mean_sd=0.02,
    log_spread=math.log(0.05),
    log_spread_sd=0.1,
    skewness=-0.35,
    skewness_sd=0.2,
    shrink=0.025,
    shrink_sd=0.008,
    person_sd=0.02,
    freedom=6.5,
    people=77,
    photos=1161,
    sets=4,
)


def test_prior_of_a_gallery() -> None:
    one = KNOWN.prior(1)
    np.testing.assert_allclose(one.values, [0.28, math.log(0.05), -0.35])
    np.testing.assert_allclose(np.sqrt(np.diag(one.covariance)), [math.hypot(0.02, 0.02), 0.1, 0.2])
    assert one.freedom == 6.5
    many = KNOWN.prior(100, photos=math.e)
    np.testing.assert_allclose(many.values, [0.255, math.log(0.05), -0.35])
    np.testing.assert_array_equal(
        KNOWN.prior(3, 0.5).values, KNOWN.prior(3).values
    )  # none has fewer than one
    expected = math.sqrt(0.02**2 + 0.008**2 + 0.002**2)
    np.testing.assert_allclose(np.sqrt(np.diag(many.covariance)), [expected, 0.1, 0.2])


def test_threshold_is_the_lower_bound_of_the_prior() -> None:
    prior = KNOWN.prior(1, 3)
    z = normal_quantile(0.01, 1)
    tail = 0.15 * (prior.values[0] - prior.log_quantile(z))
    expected = prior.log_quantile(z) - t.ppf(0.95, 6.5) * math.hypot(prior.error(z), tail)
    assert KNOWN.threshold(0.01, 1, 3) == pytest.approx(math.exp(expected), rel=1e-6)
    assert KNOWN.threshold(0.01, 1) == KNOWN.threshold(0.01, 1, 1)


def test_threshold_falls_with_people_and_photos() -> None:
    found = [KNOWN.threshold(0.01, people) for people in (1, 2, 5, 20, 100, 1000, 100_000)]
    assert found == sorted(found, reverse=True) and len(set(found)) == 7
    assert 0.9 < found[2] < 1.2 and found[-1] > 0.5
    assert KNOWN.threshold(0.01, 5, 3) < KNOWN.threshold(0.01, 5)
    assert KNOWN.threshold(0.001, 5) < KNOWN.threshold(0.01, 5)


def test_less_known_is_a_smaller_threshold() -> None:
    usual = KNOWN.threshold(0.01, 5)
    for name in ("mean_sd", "log_spread_sd", "skewness_sd", "person_sd"):
        assert replace(KNOWN, **{name: 3 * getattr(KNOWN, name)}).threshold(0.01, 5) < usual
    assert replace(KNOWN, shrink_sd=0.1).threshold(0.01, 5, 5) < KNOWN.threshold(0.01, 5, 5)
    assert replace(KNOWN, freedom=2.0).threshold(0.01, 5) < usual


def test_distances_never_exceed_those_of_unit_vectors() -> None:
    far = replace(KNOWN, mean=0.69, mean_sd=0.0, person_sd=0.0, log_spread=1.0, skewness=0.0)
    sure = replace(far, log_spread_sd=0.0, skewness_sd=0.0, freedom=1e6)
    assert sure.prior(1).lower_bound(normal_quantile(0.99, 1), 0.95) > 2.5
    assert sure.threshold(0.99, 1) == 2


def test_in_words() -> None:
    assert KNOWN.describe() == "77 people in 4 sets"
    assert replace(KNOWN, sets=1, people=5).describe() == "5 people"
    assert replace(KNOWN, sets=2).describe() == "77 people in 2 sets"


def test_json_gives_back_the_same() -> None:
    assert StrangerDistances.from_json(json.loads(json.dumps(KNOWN.to_json()))) == KNOWN
    whole = {**KNOWN.to_json(), "skewness": 0}
    assert StrangerDistances.from_json(whole).skewness == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mean", "0.28", "mean: expected a number, got '0.28'"),
        ("mean", True, "mean: expected a number, got True"),
        ("mean", math.nan, "mean: expected -6.9"),
        ("mean", 0.7, r"mean: expected -6.9\d* to 0.69\d*, got 0.7"),
        ("mean", -7.0, "mean: expected"),
        ("mean_sd", -0.1, "mean_sd: expected 0 to 10, got -0.1"),
        ("log_spread", math.inf, "log_spread: expected"),
        ("log_spread_sd", 11.0, "log_spread_sd: expected 0 to 10"),
        ("skewness", -101.0, "skewness: expected -100 to 100"),
        ("skewness_sd", -1.0, "skewness_sd: expected"),
        ("shrink", -0.01, "shrink: expected 0 to 10"),
        ("shrink_sd", -0.01, "shrink_sd: expected"),
        ("person_sd", -0.01, "person_sd: expected"),
        ("freedom", 0.5, "freedom: expected 1 to"),
        ("people", 1, "people: expected 2 to"),
        ("people", 3.5, "people: expected a whole number, got 3.5"),
        ("photos", 1, "photos: expected 2 to"),
        ("sets", 0, "sets: expected 1 to"),
        ("sets", 10**400, "sets: expected 1 to"),
    ],
)
def test_other_numbers_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"strangers: {message}"):
        StrangerDistances.from_json({**KNOWN.to_json(), name: value})


def test_other_fields_are_refused() -> None:
    short = KNOWN.to_json()
    del short["mean"]
    for content in (short, {**KNOWN.to_json(), "more": 1}, None, [], "x"):
        with pytest.raises(ValueError, match="strangers: expected the numbers"):
            StrangerDistances.from_json(content)
    with pytest.raises(ValueError, match=r"got \['a', 'b'\]"):
        StrangerDistances.from_json({"b": 1, "a": 2})


RANGES = {
    **dict.fromkeys(("mean_sd", "log_spread_sd", "shrink", "shrink_sd", "person_sd"), (0, 10)),
    "mean": (math.log(1e-3), math.log(2)),
    "log_spread": (math.log(1e-6), 2),
    "skewness": (-100, 100),
    "skewness_sd": (0, 100),
    "freedom": (1, 1e9),
    "people": (2, 2**53),
    "photos": (2, 2**53),
    "sets": (1, 2**53),
}


@pytest.mark.parametrize("name", RANGES)
def test_ends_of_a_range_are_within(name: str) -> None:
    for end, way in zip(RANGES[name], (-1, 1), strict=True):
        assert getattr(replace(KNOWN, **{name: end}), name) == end
        beyond = end + way if name in ("people", "photos", "sets") else math.nextafter(end, way * math.inf)
        with pytest.raises(ValueError, match=f"strangers: {name}: expected"):
            replace(KNOWN, **{name: beyond})
