"""The threshold from what is known and a gallery's own, where its photos are of another kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import multivariate_t, t

from embedder.moments import Moments, normal_quantile
from enroll.calibration import calibrate, first_threshold
from enroll.distances import LeftOut, LogSums, person_distances
from enroll.posterior import (
    _POOR_SHARE,
    estimated,
    likelihood,
    of_poor_photos,
    posterior_threshold,
    weight_of_poor,
)
from tests.enroll.test_calibration import KNOWN, people

PRIOR = Moments(np.array([0.3, math.log(0.05), -0.3]), np.diag([0.03, 0.12, 0.25]) ** 2, 6.0)


def poor_people(count: int, photos: int, seed: int, alike: float = 0.8) -> tuple[NDArray, NDArray]:
    """Photos that show little: a part of each vector, more or less of it, is the same in all."""
    vectors, labels = people(count, photos, seed)
    rng = np.random.default_rng([seed, 1])
    vectors = vectors + alike * rng.uniform(0.6, 1.4, (len(vectors), 1)) * np.eye(40)[[0]]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def sums_of(vectors: NDArray, labels: NDArray) -> LogSums:
    count = int(labels.max()) + 1
    sums = LogSums(labels, count)
    sums.add(slice(0, len(labels)), slice(0, count), person_distances(vectors, vectors, labels))
    return sums


def test_likelihood_is_that_of_student() -> None:
    data = Moments(np.array([0.2, math.log(0.08), -0.5]), np.diag([0.02, 0.1, 0.3]) ** 2, 12.0)
    priors = [PRIOR, of_poor_photos(PRIOR)]
    expected = [
        multivariate_t(one.values, one.covariance + data.covariance, 6.0).logpdf(data.values)
        for one in priors
    ]
    found = [likelihood(one, data) for one in priors]
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0])
    assert found[1] > found[0]  # nearer, and more spread
    deviations = np.diag([1.2 * 0.05, 0.25, 0.25])
    np.testing.assert_allclose(of_poor_photos(PRIOR).covariance, PRIOR.covariance + deviations**2)
    assert of_poor_photos(PRIOR).values == pytest.approx([0.2, math.log(0.05) + 0.55, -0.5])


def slow_weight(vectors: NDArray, labels: NDArray, without: int | None = None) -> float:
    """The probability of poor photos by plain loops, of all comparisons or without those of a person."""
    distances = person_distances(vectors, vectors, labels)
    logs = np.log(
        [
            distance
            for owner, row in zip(labels, distances, strict=True)
            for person, distance in enumerate(row)
            if owner != person and without not in (owner, person)
        ]
    )
    data = estimated(sums_of(vectors, labels), float(np.exp(PRIOR.values[1])), 0.03)
    assert data is not None
    variance = (len(logs) * logs.var() + 0.05**2) / (len(logs) + 1)
    skewness = ((logs - logs.mean()) ** 3).mean() / logs.std() ** 3
    values = [logs.mean(), math.log(variance) / 2, np.clip(skewness, -2, 2)]
    ordinary, poor = (
        share * multivariate_t(one.values, one.covariance + data.covariance, 6.0).pdf(values)
        for one, share in ((PRIOR, 1 - _POOR_SHARE), (of_poor_photos(PRIOR), _POOR_SHARE))
    )
    return float(poor / (ordinary + poor))


def slow_bound(sums: LogSums, poor: float, seen: int) -> float:
    """The bound of the mixture of both posteriors, for FPIR 1 %."""
    z = normal_quantile(0.01, sums.people.shape[1])
    data = estimated(sums, float(np.exp(PRIOR.values[1])), 0.03)
    assert data is not None
    posteriors = []
    for prior in (PRIOR, of_poor_photos(PRIOR)):
        away, both = data.values - prior.values, prior.covariance + data.covariance
        wider = max(1.0, (6 + away @ np.linalg.inv(both) @ away) / 9)
        posteriors.append(replace(prior, covariance=prior.covariance * wider).updated(data))

    def below(log: float) -> float:
        found = [one.quantile_and_error(z, seen) for one in posteriors]
        shares = [t.cdf((log - q) / e, one.freedom) for (q, e), one in zip(found, posteriors, strict=True)]
        return float(np.array([1 - poor, poor]) @ shares) - 0.05

    return math.exp(brentq(below, -5, 1))


@pytest.mark.parametrize("kind", [people, poor_people])
def test_the_threshold_is_the_bound_of_the_mixture(kind: Callable[..., tuple[NDArray, NDArray]]) -> None:
    vectors, labels = kind(5, 3, 4)
    sums = sums_of(vectors, labels)
    poor = slow_weight(vectors, labels)
    if kind is poor_people:
        least = min(slow_weight(vectors, labels, person) for person in range(5))
        assert _POOR_SHARE < least < poor
        poor = least
    found, agreement = posterior_threshold(sums, 0.01, PRIOR, 0.03)
    assert found == pytest.approx(slow_bound(sums, poor, 5), rel=1e-6)
    assert agreement <= 1 - poor + 1e-9
    more, _ = posterior_threshold(sums, 0.01, PRIOR, 0.03, people=50)
    assert more < found


def weight_of(sums: LogSums) -> float:
    spread = float(np.exp(PRIOR.values[1]))
    data = estimated(sums, spread, 0.03)
    assert data is not None
    return weight_of_poor(sums, data, (PRIOR, of_poor_photos(PRIOR)), spread)


@pytest.mark.parametrize("seed", range(8))
def test_the_least_of_the_weights_without_each_person_holds(seed: int) -> None:
    """Whoever is left out, with nearer photos than the others or with farther ones."""
    vectors, labels = poor_people(5, 3, seed, alike=0.6)
    weights = [slow_weight(vectors, labels, without) for without in (None, *range(5))]
    distances = person_distances(vectors, vectors, labels)
    distances[np.arange(15), labels] = 1.0  # not counted, but logarithms are taken from the middle of all
    sums = LogSums(labels, 5)
    sums.add(slice(0, 15), slice(0, 5), distances)
    assert weight_of(sums) == pytest.approx(max(_POOR_SHARE, min(weights)), rel=1e-6)


def test_only_who_is_compared_is_counted() -> None:
    """Of five people one is compared with no one; of two, one comparison is of both."""
    vectors, labels = people(5, 3, 4)
    sums = LogSums(labels, 5, LeftOut.of(labels, 5, np.array([(person, 4) for person in range(4)])))
    sums.add(slice(0, 15), slice(0, 5), person_distances(vectors, vectors, labels))
    single = LogSums(np.array([1]), 1)
    single.add(slice(0, 1), slice(0, 1), np.array([[1.2]]))
    for one, seen in ((sums, 4), (single, 2)):
        found, _ = posterior_threshold(one, 0.01, PRIOR, 0.03)
        assert found == pytest.approx(slow_bound(one, weight_of(one), seen), rel=1e-6)


@pytest.mark.parametrize(
    ("enrolled", "everyone", "apart", "count", "pairs"),
    [
        (1, 2, [], 2, 1),
        (1, 3, [], 3, 2),
        (2, 2, [], 2, 1),
        (2, 3, [], 3, 3),
        (3, 3, [], 3, 3),
        (4, 4, [(0, 3), (1, 3), (2, 3)], 3, 6),
    ],
)
def test_the_error_of_few_people_is_that_of_independent_pairs(
    enrolled: int, everyone: int, apart: list[tuple[int, int]], count: int, pairs: int
) -> None:
    owners = np.arange(everyone)
    sums = LogSums(owners, enrolled, LeftOut.of(owners, enrolled, np.array(apart, np.int64).reshape(-1, 2)))
    logs = np.random.default_rng(0).normal(0.3, 0.05, (everyone, enrolled))
    sums.add(slice(0, everyone), slice(0, enrolled), np.exp(logs))
    found = estimated(sums, 0.05, 0.03)
    assert found is not None and found.freedom == 10
    errors = [0.03**2 / count + 0.05**2 / pairs, 1 / (2 * pairs), 6 / pairs]
    np.testing.assert_allclose(found.covariance, np.diag(errors))
    if everyone == 2 and enrolled == 1:  # a single distance; half of its spread is what is known
        assert found.values == pytest.approx([logs[1, 0], math.log(0.05**2 / 2) / 2, 0])


@pytest.mark.parametrize("far", [-5.0, 5.0])
def test_a_few_that_are_far_off_do_not_decide_the_skewness(far: float) -> None:
    sums = LogSums(np.ones(60, np.int64), 1)
    sums.add(slice(0, 60), slice(0, 1), np.exp([[far], *[[0.3]] * 59]))
    found = estimated(sums, 0.05, 0.03)
    assert found is not None and found.values[2] == math.copysign(2, far)


@pytest.mark.parametrize("seed", range(3))
def test_no_one_person_decides_that_photos_are_poor(seed: int) -> None:
    """Of four people all are poor, or one, or two who were the only ones; and strangers speak, too."""
    vectors, labels = poor_people(4, 3, seed)
    assert weight_of(sums_of(vectors, labels)) > 10 * _POOR_SHARE
    two = labels < 2
    assert slow_weight(vectors[two], labels[two]) > 2 * _POOR_SHARE
    assert weight_of(sums_of(vectors[two], labels[two])) == _POOR_SHARE
    pairs = np.array([(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])  # of four, these are not compared
    sums = LogSums(labels, 4, LeftOut.of(labels, 4, pairs))
    sums.add(slice(0, 12), slice(0, 4), person_distances(vectors, vectors, labels))
    assert weight_of(sums) == _POOR_SHARE
    sums = LogSums(labels, 1)  # one is enrolled; the others are strangers
    sums.add(slice(0, 12), slice(0, 1), person_distances(vectors, vectors[:3], labels[:3]))
    assert weight_of(sums) > _POOR_SHARE
    sums = LogSums(np.arange(10), 1)  # nine strangers with a photo each
    sums.add(
        slice(0, 10), slice(0, 1), person_distances(np.delete(vectors, [1, 2], 0), vectors[:3], labels[:3])
    )
    assert weight_of(sums) > _POOR_SHARE
    logs = 0.3 + 0.05 * np.random.default_rng(seed).normal(size=(12, 4))
    logs -= 0.3 * ((labels[:, None] == 3) ^ (np.arange(4) == 3))  # one of four is near to everyone
    sums = LogSums(labels, 4)
    sums.add(slice(0, 12), slice(0, 4), np.exp(logs))
    data = estimated(sums, 0.05, 0.03)
    assert data is not None
    assert likelihood(of_poor_photos(PRIOR), data) > likelihood(PRIOR, data) + 1
    assert weight_of(sums) == _POOR_SHARE


@pytest.mark.parametrize(("count", "most"), [(2, 0.12), (3, 0.1)])
def test_a_wrong_photo_that_is_not_found_hardly_moves_the_threshold(count: int, most: float) -> None:
    """A photo under another name, which is not like its own others enough to be noticed."""
    missed = 0
    for seed in range(12):
        vectors, labels = people(count, 3, seed, noise=0.8)
        middle = vectors[labels == 1].mean(axis=0)
        wrong = middle / np.linalg.norm(middle) + 0.19 * np.random.default_rng([seed, 7]).normal(size=40)
        mixed = np.concatenate([vectors, [wrong / np.linalg.norm(wrong)]]).astype(np.float32)
        clean = calibrate(vectors, labels, 0.01, known=KNOWN)
        spoilt = calibrate(mixed, np.append(labels, 0), 0.01, known=KNOWN)
        missed += not spoilt.set_aside
        assert abs(spoilt.distance - clean.distance) < most, seed
        assert spoilt.set_aside == 0 or abs(spoilt.distance - clean.distance) < 0.01
    assert missed


@pytest.mark.parametrize(("count", "most"), [(3, 0.02), (5, 0.01), (10, 0.01)])
def test_poor_photos_are_noticed(count: int, most: float) -> None:
    """What is known is of ordinary photos; strangers, too, come with poor ones."""
    fpir, by_what_is_known = [], []
    for seed in range(15):
        vectors, labels = poor_people(count, 3, seed)
        strangers, _ = poor_people(600, 1, seed + 1000)
        nearest = person_distances(strangers, vectors, labels).min(axis=1)
        first, comparisons, _ = first_threshold(vectors, labels, KNOWN, 0.01, count, 3.0)
        fpir.append((nearest <= first).mean())
        by_what_is_known.append((nearest <= KNOWN.threshold(0.01, count, 3)).mean())
    whole = calibrate(vectors, labels, 0.01, known=KNOWN)
    assert (first, comparisons) == (pytest.approx(whole.distance, rel=1e-9), whole.comparisons)
    assert whole.contradicted == (count > 3)
    assert np.mean(by_what_is_known) > 0.2
    assert np.mean(fpir) <= most


def test_one_person_has_what_is_known() -> None:
    vectors, labels = people(1, 3)
    found = first_threshold(vectors, labels, KNOWN, 0.01, 1, 3.0)
    assert found == (pytest.approx(KNOWN.threshold(0.01, 1, 3)), 0, 1.0)
