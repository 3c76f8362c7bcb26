from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from itertools import combinations
from operator import mul
from statistics import fmean

import numpy as np
import pytest

from enroll.rules import find_rule
from enroll.rules.base import Rule
from enroll.rules.cohort import Cohort
from enroll.rules.evm import ExtremeValueMachine, fit_weibull
from enroll.rules.gallery_aware import GalleryAware
from enroll.rules.margin import Margin
from enroll.rules.mean import Mean, NearestAndMean
from enroll.rules.nearest import KNearest, Nearest
from enroll.rules.normalization import Normalized
from tests.enroll.rules import oracles
from tests.enroll.rules.made import Made, made
from tests.enroll.rules.oracles import People, Scores, Vector

Oracle = Callable[[Vector, People, list[Vector]], Scores]


def each(one: Callable[[Vector, list[Vector]], float]) -> Oracle:
    return lambda query, people, _: {person: one(query, own) for person, own in people.items()}


def agree(rule: Rule, oracle: Oracle, gallery: Made, with_cohort: bool, within: float = 1e-6) -> None:
    fitted = rule.fit(gallery.vectors, gallery.labels, gallery.cohort if with_cohort else None)
    found = fitted.scores(gallery.queries)
    people: People = {}
    for label, vector in zip(gallery.labels.tolist(), gallery.vectors.tolist(), strict=True):
        people.setdefault(label, []).append(vector)
    strangers = gallery.cohort.tolist() if with_cohort else []
    for row, query in zip(found, gallery.queries.tolist(), strict=True):
        expected = oracle(query, people, strangers)
        assert row.tolist() == pytest.approx(
            [expected[p] for p in fitted.people.tolist()], rel=within, abs=within
        )


@pytest.mark.parametrize("seed", [0, 10, 20])
@pytest.mark.parametrize(
    ("rule", "oracle"),
    [
        (Nearest(), each(oracles.nearest)),
        *[(KNearest(k), each(lambda q, own, k=k: oracles.k_nearest(q, own, k))) for k in (1, 2, 3, 9)],
        (Mean(), each(oracles.mean)),
        (
            NearestAndMean(0.3),
            each(lambda q, own: 0.7 * oracles.nearest(q, own) + 0.3 * oracles.mean(q, own)),
        ),
        *[
            (Margin(form, weight), lambda q, people, _, f=form, w=weight: oracles.margin(q, people, f, w))
            for form in ("difference", "ratio", "gate")
            for weight in (0.0, 0.1, 0.5, 1.0, 2.0)
        ],
        (
            Margin(base=Mean()),
            lambda q, people, _: oracles.margin(
                q,
                {person: [oracles.mean_direction(own)] for person, own in people.items()},
                "difference",
                0.5,
            ),
        ),
    ],
    ids=lambda value: "oracle" if inspect.isfunction(value) else str(value),
)
def test_rules_of_the_gallery_alone(rule: Rule, oracle: Oracle, seed: int) -> None:
    agree(rule, oracle, made(seed), with_cohort=False)
    agree(rule, oracle, made(seed), with_cohort=True)


@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize("count", [1, 4, 100])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_cohort(count: int, weight: float, seed: int) -> None:
    agree(Cohort(count, weight), lambda *given: oracles.cohort(*given, count, weight), made(seed), True)


@pytest.mark.parametrize("with_cohort", [False, True])
@pytest.mark.parametrize("top", [None, 2, 3, 100])
@pytest.mark.parametrize(
    ("form", "oracle"), [("z", oracles.z_norm), ("t", oracles.t_norm), ("s", oracles.s_norm)]
)
def test_normalization(form: str, oracle: Oracle, top: int | None, with_cohort: bool) -> None:
    rule = Normalized(form, top)  # type: ignore[arg-type]
    agree(rule, lambda *given: oracle(*given, top), made(30), with_cohort)  # type: ignore[call-arg]
    assert find_rule(f"{form}-norm") == Normalized(form)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the optimizer inside scipy's fit
@pytest.mark.parametrize("with_cohort", [False, True])
@pytest.mark.parametrize("tail", [3, 6, 100])
def test_extreme_value_machine(tail: int, with_cohort: bool) -> None:
    def oracle(query: Vector, people: People, strangers: list[Vector]) -> Scores:
        return oracles.evm(query, people, strangers, tail)

    gallery = made(40, people=3, each=2, spread=1.0)
    agree(
        ExtremeValueMachine(tail), oracle, gallery, with_cohort, within=1e-3
    )  # scipy's optimizer stops there


def test_extreme_value_machine_orders_as_its_probability_does() -> None:
    gallery = made(41)
    own, cohort = gallery.vectors[:1], gallery.cohort
    (shape,), (scale,) = fit_weibull(np.sort(np.linalg.norm(cohort - own, axis=1))[None, :5] / 2)
    steps = np.linspace(0.6, 1.2, 5) * scale  # distances at which the probability is neither 0 nor 1
    aside = cohort[0] - (cohort[0] @ own[0]) * own[0]
    angles = 2 * np.arcsin(steps / 2)[:, None]
    queries = np.cos(angles) * own + np.sin(angles) * aside / np.linalg.norm(aside)
    found = ExtremeValueMachine(5).fit(own, np.array([0]), cohort).scores(queries)[:, 0]
    included = np.exp(-((steps / scale) ** shape))
    np.testing.assert_allclose(np.exp(-np.exp(found)), included, rtol=1e-4)


@pytest.mark.parametrize("kappa", [0.5, 4.0, 30.0])
@pytest.mark.parametrize("unknown", [0.1, 0.5, 0.99])
def test_gallery_aware(kappa: float, unknown: float) -> None:
    def oracle(query: Vector, people: People, _: list[Vector]) -> Scores:
        return oracles.gallery_aware(query, people, kappa, unknown)

    agree(GalleryAware(unknown, concentration=kappa), oracle, made(50), with_cohort=False)
    agree(GalleryAware(unknown, 3.0, concentration=3 * kappa), oracle, made(50), with_cohort=True)


@pytest.mark.parametrize("with_cohort", [False, True])
def test_gallery_aware_with_the_unknown_fitted_to_strangers(with_cohort: bool) -> None:
    def oracle(query: Vector, people: People, strangers: list[Vector]) -> Scores:
        background = strangers or [row for own in people.values() for row in own]
        return oracles.gallery_aware(query, people, 8.0, 0.4, background)

    agree(GalleryAware(0.4, concentration=8.0, background=True), oracle, made(51), with_cohort)


def test_gallery_aware_estimates_the_concentration_from_pairs() -> None:
    def oracle(query: Vector, people: People, _: list[Vector]) -> Scores:
        cosines = [fmean(sum(map(mul, a, b)) for a, b in combinations(own, 2)) for own in people.values()]
        kappa = oracles.banerjee(math.sqrt(fmean(cosines)), len(query))
        return oracles.gallery_aware(query, people, kappa, 0.5)

    agree(GalleryAware(), oracle, made(52), with_cohort=False)


def test_scores_of_the_first_person_are_what_is_documented() -> None:
    vectors = np.eye(3, dtype=np.float32)
    fitted = Nearest().fit(vectors, np.array([4, 2, 4]))
    assert fitted.people.tolist() == [2, 4]
    assert fitted.scores(vectors[:1]).tolist() == [[pytest.approx(2**0.5), 0.0]]
