from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from enroll.scoring import get_scorer
from enroll.scoring.base import Scorer
from enroll.scoring.cohort import CohortNormalized
from enroll.scoring.margin import Margin, nearest_other
from enroll.scoring.mean import Mean, NearestAndMean
from enroll.scoring.nearest import KNearest, Nearest
from enroll.scoring.normalization import Normalized
from tests.enroll.scoring import oracles
from tests.enroll.scoring.made import Made, made
from tests.enroll.scoring.oracles import People, Scores, Vector

Oracle = Callable[[Vector, People, list[Vector]], Scores]


def each(one: Callable[[Vector, list[Vector]], float]) -> Oracle:
    return lambda query, people, _: {person: one(query, own) for person, own in people.items()}


def agree(scorer: Scorer, oracle: Oracle, gallery: Made, with_cohort: bool) -> None:
    fitted = scorer.fit(gallery.vectors, gallery.labels, gallery.cohort if with_cohort else None)
    found = fitted.scores(gallery.queries)
    people: People = {}
    for label, vector in zip(gallery.labels.tolist(), gallery.vectors.tolist(), strict=True):
        people.setdefault(label, []).append(vector)
    strangers = gallery.cohort.tolist() if with_cohort else []
    for row, query in zip(found, gallery.queries.tolist(), strict=True):
        expected = oracle(query, people, strangers)
        assert row.tolist() == pytest.approx(
            [expected[p] for p in fitted.people.tolist()], rel=1e-6, abs=1e-6
        )


@pytest.mark.parametrize("seed", [0, 10, 20])
@pytest.mark.parametrize(
    ("scorer", "oracle"),
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
def test_rules_of_the_gallery_alone(scorer: Scorer, oracle: Oracle, seed: int) -> None:
    agree(scorer, oracle, made(seed), with_cohort=False)
    agree(scorer, oracle, made(seed), with_cohort=True)


@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize("count", [1, 4, 100])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_cohort(count: int, weight: float, seed: int) -> None:
    agree(
        CohortNormalized(count, weight),
        lambda *given: oracles.cohort(*given, count, weight),
        made(seed),
        True,
    )


@pytest.mark.parametrize("with_cohort", [False, True])
@pytest.mark.parametrize("top", [None, 2, 3, 100])
@pytest.mark.parametrize(
    ("form", "oracle"), [("z", oracles.z_norm), ("t", oracles.t_norm), ("s", oracles.s_norm)]
)
def test_normalization(form: str, oracle: Oracle, top: int | None, with_cohort: bool) -> None:
    scorer = Normalized(form, top)  # type: ignore[arg-type]
    agree(scorer, lambda *given: oracle(*given, top), made(30), with_cohort)  # type: ignore[call-arg]
    assert get_scorer(f"{form}-norm") == Normalized(form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "oracle"), [("z", oracles.z_norm), ("t", oracles.t_norm), ("s", oracles.s_norm)]
)
def test_two_impostors_are_enough(form: str, oracle: Oracle) -> None:
    three = made(60, people=3, each=1)
    scorer = Normalized(form)  # type: ignore[arg-type]
    agree(scorer, lambda *given: oracle(*given, None), three, with_cohort=False)  # type: ignore[call-arg]
    agree(scorer, lambda *given: oracle(*given, None), replace(three, cohort=three.cohort[:2]), True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("nearest", each(oracles.nearest)),
        ("k-nearest", each(lambda q, own: oracles.k_nearest(q, own, 3))),
        ("mean", each(oracles.mean)),
        ("nearest+mean", each(lambda q, own: (oracles.nearest(q, own) + oracles.mean(q, own)) / 2)),
        ("margin", lambda q, people, _: oracles.margin(q, people, "difference", 0.5)),
        ("cohort", lambda *given: oracles.cohort(*given, 5, 0.5)),
    ],
)
def test_a_rule_as_it_comes_is_what_is_documented(name: str, oracle: Oracle) -> None:
    """The defaults in the table of docs/scoring.md."""
    agree(get_scorer(name), oracle, made(40, each=5), with_cohort=True)


def test_weights_of_0_and_1_are_the_nearest_and_the_mean() -> None:
    agree(NearestAndMean(0.0), each(oracles.nearest), made(50), with_cohort=False)
    agree(NearestAndMean(1.0), each(oracles.mean), made(50), with_cohort=False)


def test_the_ratio_of_distances_that_are_0() -> None:
    scorer = Margin("ratio", 1.0)
    two = np.eye(2, dtype=np.float32)
    # 0 counts as 1e-9, beside √2 of the other person.
    assert scorer.fit(two, np.arange(2)).scores(two[:1]).tolist() == [
        pytest.approx([1e-9 / 2**0.5, 2**0.5 / 1e-9])
    ]
    assert scorer.fit(two[[0, 0]], np.arange(2)).scores(two[:1]).tolist() == [[1.0, 1.0]]


def test_the_nearest_other_of_many_people() -> None:
    own = np.random.default_rng(0).permutation(3000).astype(float)
    assert nearest_other(own).tolist() == [1.0 if value == 0 else 0.0 for value in own]


def test_a_gate_without_a_margin_lets_equals_pass() -> None:
    axis = np.eye(2, dtype=np.float32)[:1]
    assert Margin("gate", 0.0).fit(axis[[0, 0]], np.arange(2)).scores(axis).tolist() == [[0.0, 0.0]]


def test_impostors_who_are_all_equally_far_spread_by_one_millionth() -> None:
    axes = np.eye(5, dtype=np.float32)
    found = Normalized("t").fit(axes[:2], np.arange(2), axes[2:]).scores(axes[:1])
    assert found.tolist() == [pytest.approx([-(2**0.5) / 1e-6, 0.0], abs=1e-6)]


def test_the_mean_of_templates_that_nearly_cancel_out() -> None:
    nearly = np.array([[1, 0], [-1, 1e-5]], np.float32)
    fitted = Mean().fit(nearly, np.array([3, 3]))
    assert fitted.scores(np.array([[0, 1]], np.float32)).tolist() == [[pytest.approx(0.0, abs=1e-6)]]


def test_scores_of_the_first_person_are_what_is_documented() -> None:
    vectors = np.eye(3, dtype=np.float32)
    fitted = Nearest().fit(vectors, np.array([4, 2, 4]))
    assert fitted.people.tolist() == [2, 4]
    assert fitted.scores(vectors[:1]).tolist() == [[pytest.approx(2**0.5), 0.0]]
