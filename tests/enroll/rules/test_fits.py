"""The distributions that rules fit, against samples and scipy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from enroll.rules.evm import SHAPES, fit_weibull
from enroll.rules.gallery_aware import estimate_concentration, log_constant, mean_cosine
from enroll.rules.known import Known
from tests.enroll.rules.made import random_rows, unit


@pytest.mark.parametrize(("shape", "scale"), [(0.7, 3.0), (2.0, 0.4), (25.0, 0.3)])
def test_weibull_is_the_likeliest(shape: float, scale: float) -> None:
    drawn = scale * np.random.default_rng(0).weibull(shape, (3, 40))
    shapes, scales = fit_weibull(drawn)
    for row, k, s in zip(drawn, shapes, scales, strict=True):
        best = stats.weibull_min.logpdf(row, k, scale=s).sum()
        for other in ((k * 1.01, s), (k / 1.01, s), (k, s * 1.01), (k, s / 1.01)):
            assert stats.weibull_min.logpdf(row, other[0], scale=other[1]).sum() < best


def test_weibull_of_many_is_what_they_were_drawn_from() -> None:
    shapes, scales = fit_weibull(0.3 * np.random.default_rng(1).weibull(8.0, (1, 20000)))
    assert [shapes[0], scales[0]] == pytest.approx([8.0, 0.3], rel=0.02)


def test_weibull_rows_do_not_touch_each_other_and_scale() -> None:
    drawn = np.random.default_rng(2).weibull(3.0, (4, 10))
    shapes, scales = fit_weibull(drawn * [[1.0], [10.0], [1e-6], [1.0]])
    alone = [fit_weibull(row[None]) for row in drawn]
    assert shapes == pytest.approx([k[0] for k, _ in alone])
    assert scales == pytest.approx([s[0] * f for (_, s), f in zip(alone, (1, 10, 1e-6, 1), strict=True)])


def test_weibull_of_equal_distances_is_as_steep_as_allowed() -> None:
    shapes, scales = fit_weibull(np.full((1, 5), 0.3))
    assert [shapes[0], scales[0]] == pytest.approx([SHAPES[1], 0.3])


@pytest.mark.parametrize("dim", [2, 3, 6, 128])
@pytest.mark.parametrize("kappa", [1e-3, 0.1, 5.0, 300.0])
def test_constant_is_that_of_an_integral(dim: int, kappa: float) -> None:
    # Over angles, so that nothing is infinite at the ends; the sine is the share of each.
    edges = np.linspace(0, np.pi, 200_001)
    angles = (edges[1:] + edges[:-1]) / 2
    share = (dim - 2) * np.log(np.sin(angles))
    expected = logsumexp(share) - logsumexp(share + kappa * np.cos(angles))
    assert log_constant(kappa, dim) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_constant_goes_over_smoothly_where_the_bessel_function_vanishes() -> None:
    values = [log_constant(kappa, 512) for kappa in np.geomspace(1e-3, 5000, 200)]
    assert np.isfinite(values).all()
    assert (np.diff(values) < 0).all()


def test_concentration_of_many_is_what_they_were_drawn_from() -> None:
    rng = np.random.default_rng(3)
    drawn = stats.vonmises_fisher(np.eye(16)[0], 60.0).rvs(4000, random_state=rng)
    assert estimate_concentration(float(np.linalg.norm(drawn.mean(0))), 16) == pytest.approx(60, rel=0.02)


def test_mean_cosine_is_over_pairs_and_people() -> None:
    vectors = unit([[1.0, 0], [1.0, 0.5], [0.2, 1.0], [0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    labels = np.array([0, 0, 0, 1, 1, 2])
    first = np.mean([vectors[a] @ vectors[b] for a, b in ((0, 1), (0, 2), (1, 2))])
    expected = (first + vectors[3] @ vectors[4]) / 2
    assert mean_cosine(Known.check(vectors, labels, None)) == pytest.approx(expected, abs=1e-6)


def test_concentration_by_hand() -> None:
    assert estimate_concentration(0.5, 3) == pytest.approx(0.5 * 2.75 / 0.75)


def test_concentration_is_cut_at_both_ends() -> None:
    assert np.isfinite([estimate_concentration(r, 128) for r in (-1.0, 0.0, 1.0)]).all()


def test_rules_load_no_scipy() -> None:
    code = (
        "import sys; from enroll.rules import RULES, find_rule; "
        "[find_rule(name) for name in RULES]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"scipy", "sklearn", "tensorflow", "keras"} & set(done.stdout.split())
    light = subprocess.run(
        [sys.executable, "-c", "import sys, enroll.rules; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "numpy" not in light.stdout.split()


def test_random_people_share_nothing() -> None:
    assert abs(mean_cosine(Known.check(random_rows(5, 400), np.arange(400) // 2, None))) < 0.1
