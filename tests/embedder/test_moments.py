from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm, t

from embedder.moments import (
    Moments,
    limit_of_strangers,
    log_quantile,
    middle_and_spread,
    normal_quantile,
    reach_of,
    student_quantile,
    student_share,
)

PRIOR = Moments(np.array([0.25, math.log(0.05), -0.4]), np.diag([0.02, 0.1, 0.2]) ** 2, 6.0)
DATA = Moments(np.array([0.2, math.log(0.06), 0.1]), np.diag([0.01, 0.05, 0.3]) ** 2, 20.0)


@pytest.mark.parametrize("freedom", [1.0, 2.5, 6.0, 30.0, 99.0, 100.0, 1e4, 1e7, 1e9, 1e12])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.95, 0.985])
def test_student_quantile_is_that_of_scipy(freedom: float, probability: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(t.ppf(probability, freedom), abs=1e-6)


def test_a_far_quantile_of_one_degree_of_freedom() -> None:
    assert student_quantile(0.999, 1.0) == pytest.approx(t.ppf(0.999, 1.0), rel=1e-6)  # 318


@pytest.mark.parametrize("people", [1, 7, 1000])
def test_one_person_alone_is_passed_so_seldom(people: int) -> None:
    share = norm.cdf(normal_quantile(0.01, people))
    assert 1 - (1 - share) ** people == pytest.approx(0.01)


def test_reach_is_that_of_cornish_and_fisher_but_never_small() -> None:
    found = reach_of(np.array([0.0, -0.6, 5.0, 1.0, -9.0]), -3.0)
    expected = [-3, -3 - 8 * 0.6 / 6, -1.5, -3 + 8 / 6, -3 - 8 * 2 / 6]
    np.testing.assert_allclose(found, expected)
    values = np.array([[1.0, 2.0], [math.log(0.5), 0.0], [0.0, -0.6]])
    np.testing.assert_allclose(log_quantile(values, -3.0), [1 - 1.5, 2 - 3.8])


def test_posterior_is_that_of_normal_distributions() -> None:
    found = PRIOR.updated(DATA)
    before, seen = np.diag(PRIOR.covariance), np.diag(DATA.covariance)
    np.testing.assert_allclose(np.diag(found.covariance), 1 / (1 / before + 1 / seen))
    expected = (PRIOR.values / before + DATA.values / seen) / (1 / before + 1 / seen)
    np.testing.assert_allclose(found.values, expected)
    share = float(np.mean(before / (before + seen)))
    assert found.freedom == pytest.approx(1 / ((1 - share) ** 2 / 6 + share**2 / 20))


def test_data_without_error_are_all_that_counts() -> None:
    exact = replace(DATA, covariance=DATA.covariance * 1e-12, freedom=1e6)
    found = PRIOR.updated(exact)
    np.testing.assert_allclose(found.values, DATA.values, atol=1e-9)
    assert found.freedom == pytest.approx(1e6)
    nothing = replace(DATA, covariance=DATA.covariance * 1e12)
    np.testing.assert_allclose(PRIOR.updated(nothing).values, PRIOR.values, atol=1e-6)


@pytest.mark.parametrize("skewness", [-0.4, 1.0, 1.9, -3.0])
def test_error_is_that_of_the_quantile(skewness: float) -> None:
    """By drawing moments; where the reach or the skewness is bounded, its error is none."""
    moments = Moments(np.array([0.25, math.log(0.05), skewness]), np.diag([0.002, 0.01, 0.02]) ** 2, 6.0)
    drawn = np.random.default_rng(0).multivariate_normal(moments.values, moments.covariance, 200_000)
    quantiles = log_quantile(drawn.T, -3.0)
    assert moments.log_quantile(-3.0) == pytest.approx(quantiles.mean(), abs=1e-4)
    assert moments.error(-3.0) == pytest.approx(quantiles.std(), rel=0.02)
    rounded = replace(moments, covariance=-1e-30 * np.eye(3))
    assert rounded.error(-3.0) == 0


def test_lower_bound() -> None:
    z = -2.5
    quantile, error = PRIOR.log_quantile(z), PRIOR.error(z)
    tail = 0.15 * (PRIOR.values[0] - quantile)
    expected = quantile - t.ppf(0.95, 6) * math.sqrt(error**2 + tail**2)
    assert PRIOR.lower_bound(z, 0.95) == pytest.approx(math.exp(expected), rel=1e-6)
    for people in (50, 300):
        seen = quantile - t.ppf(0.95, 6) * math.sqrt(error**2 + tail**2 / (1 + people / 100))
        assert PRIOR.lower_bound(z, 0.95, seen=people) == pytest.approx(math.exp(seen), rel=1e-6)
    assert PRIOR.quantile_and_error(z) == pytest.approx((quantile, math.hypot(error, tail)))
    assert PRIOR.lower_bound(z, 0.99) < PRIOR.lower_bound(z, 0.95) < math.exp(quantile)


def test_limit_of_strangers() -> None:
    z = norm.ppf(0.01 / 500)
    expected = math.exp(0.25 + 0.05 * (z + (z**2 - 1) * -0.4 / 6))
    assert limit_of_strangers(0.25, 0.05, -0.4, 500) == pytest.approx(expected)
    wary = limit_of_strangers(0.25, 0.05, -1.0, 500)
    assert limit_of_strangers(0.25, 0.05, None, 500) == wary < expected
    assert limit_of_strangers(0.25, 0.05, None, 5000) < wary
    assert limit_of_strangers(0.25, 0.05, None, 0) == limit_of_strangers(0.25, 0.05, None, 1)
    assert limit_of_strangers(0.25, 0.05, None, 1) > limit_of_strangers(0.25, 0.05, None, 2)


def test_middle_and_spread_do_not_see_a_few_far_off() -> None:
    logs = np.concatenate([np.random.default_rng(0).normal(0.3, 0.05, 2000), np.full(50, -7.0)])
    assert middle_and_spread(logs) == pytest.approx((0.3, 0.05), rel=0.05)
    assert middle_and_spread(np.zeros(3)) == (0, 1e-6)


@pytest.mark.parametrize("freedom", [1.0, 2.5, 6.0, 99.0, 100.0, 1e4, 1e12])
@pytest.mark.parametrize("value", [-30.0, -2.5, -0.1, 0.0, 0.7, 4.0, 60.0])
def test_student_share_is_that_of_scipy(freedom: float, value: float) -> None:
    assert student_share(value, freedom) == pytest.approx(t.cdf(value, freedom), abs=1e-7)


@pytest.mark.parametrize("value", [-1e6, -1e3, 1e3, 1e6])
@pytest.mark.parametrize("freedom", [1e6, 1e7, 1e12])
def test_far_out_a_share_is_0_or_1_and_nothing_beyond(freedom: float, value: float) -> None:
    share = student_share(value, freedom)
    assert 0 <= share <= 1
    assert share == pytest.approx(float(value > 0), abs=1e-7)
