"""What cannot be fitted or searched for, and what the message says to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from enroll.scoring import SCORERS, get_scorer
from enroll.scoring.base import Scorer
from enroll.scoring.cohort import CohortNormalized
from enroll.scoring.margin import Margin
from enroll.scoring.mean import NearestAndMean
from enroll.scoring.nearest import KNearest
from enroll.scoring.normalization import Normalized
from tests.enroll.scoring.made import DIM, made, random_rows

G = made()
names = pytest.mark.parametrize("name", SCORERS)


def spoiled(value: float) -> Any:
    vectors = G.vectors.copy()
    vectors[4, 2] = value
    return vectors


@names
@pytest.mark.parametrize(
    ("vectors", "labels", "cohort", "message"),
    [
        (np.empty((0, DIM), np.float32), np.empty(0, int), G.cohort, "at least one template.*enroll"),
        (spoiled(np.nan), G.labels, G.cohort, "templates: row 4 is not a finite vector"),
        (spoiled(np.inf), G.labels, G.cohort, "templates: row 4"),
        (spoiled(3.0), G.labels, G.cohort, "templates: row 4 .*length 1.*divide"),
        (G.vectors[0], G.labels[:1], G.cohort, "templates: expected .rows, dim."),
        (G.vectors[..., None], G.labels, G.cohort, r"templates: expected .rows, dim.*\(12, 6, 1\)"),
        (G.vectors, G.labels[:-1], G.cohort, "expected 12 whole numbers"),
        (G.vectors, G.labels[:, None], G.cohort, "expected 12 whole numbers"),
        (G.vectors, G.labels * 1.0, G.cohort, "expected 12 whole numbers"),
        (G.vectors, G.labels, G.cohort[:, 1:] / np.nan, "cohort: row 0"),
        (G.vectors, G.labels, random_rows(1, 3, DIM + 1), "cohort has 7 dimensions.*6.*one model"),
        (G.vectors, G.labels, random_rows(1, 3, DIM - 1), "cohort has 5 dimensions.*6.*one model"),
    ],
)
def test_refused_by_every_rule(name: str, vectors: Any, labels: Any, cohort: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_scorer(name).fit(vectors, labels, cohort)


@names
@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (spoiled(np.nan), "queries: row 4"),
        (2 * G.queries, "queries: row 0 .*9 such rows"),
        (G.queries[0], "queries: expected .rows, dim."),
        (random_rows(1, 3, DIM - 1), "expected queries of 6 dimensions, got 5"),
        (random_rows(1, 3, DIM + 1), "expected queries of 6 dimensions, got 7"),
    ],
)
def test_queries_refused(name: str, queries: Any, message: str) -> None:
    fitted = get_scorer(name).fit(G.vectors, G.labels, G.cohort)
    with pytest.raises(ValueError, match=message):
        fitted.scores(queries)


@pytest.mark.parametrize(
    ("scorer", "people", "each", "strangers", "message"),
    [
        (Margin(), 1, 3, 9, "second person: enroll one"),
        (CohortNormalized(), 4, 3, 0, "not in the gallery: give some"),
        (Normalized("z"), 1, 3, 0, "received 0: give a cohort"),
        (Normalized("z"), 2, 1, 0, "received 1: give a cohort"),
        (Normalized("z"), 4, 3, 1, "z-norm: needs at least 2"),
        (Normalized("t"), 2, 3, 0, "t-norm: needs at least 2 impostors.*received 1"),
        (Normalized("t"), 4, 3, 1, "received 1"),
        (Normalized("s"), 2, 3, 0, "s-norm: needs at least 2"),
    ],
    ids=str,
)
def test_too_little_to_fit(scorer: Scorer, people: int, each: int, strangers: int, message: str) -> None:
    gallery = made(7, people=people, each=each)
    with pytest.raises(ValueError, match=message):
        scorer.fit(gallery.vectors, gallery.labels, gallery.cohort[:strangers])


def test_each_person_needs_two_impostors() -> None:
    """One with a photo and one with three: of the second the first is the only impostor."""
    with pytest.raises(ValueError, match=r"z-norm: needs at least 2 impostors.*received 1"):
        Normalized("z").fit(G.vectors[:4], np.array([0, 1, 1, 1]))


def test_an_empty_cohort_is_none() -> None:
    empty = G.cohort[:0]
    with_empty = Normalized("s").fit(G.vectors, G.labels, empty).scores(G.queries)
    assert (with_empty == Normalized("s").fit(G.vectors, G.labels).scores(G.queries)).all()


@pytest.mark.parametrize("name", ["mean", "nearest+mean"])
@pytest.mark.parametrize("other", [7, 9])
def test_opposite_templates_have_no_mean(name: str, other: int) -> None:
    vectors = np.concatenate([G.vectors[:1], -G.vectors[:1], G.vectors[1:3]])
    with pytest.raises(ValueError, match=r"person 8 cancel out.*look at the photos"):
        get_scorer(name).fit(vectors, np.array([8, 8, other, other]))


def test_rows_may_be_a_thousandth_off_length_1() -> None:
    rows = G.vectors / np.linalg.norm(G.vectors.astype(np.float64), axis=1, keepdims=True)
    for length in (0.9991, 1.0009):
        get_scorer("nearest").fit(rows * length, G.labels)
    for length in (0.9989, 1.0011):
        with pytest.raises(ValueError, match=r"row 0 .*12 such rows"):
            get_scorer("nearest").fit(rows * length, G.labels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KNearest(0), "k is at least 1, got 0"),
        (lambda: NearestAndMean(1.1), "0 to 1, got 1.1"),
        (lambda: NearestAndMean(-0.1), "0 to 1, got -0.1"),
        (lambda: NearestAndMean(float("nan")), "0 to 1"),
        (lambda: Margin("both"), "difference, ratio or gate, got 'both'"),  # type: ignore[arg-type]
        (lambda: Margin(weight=-0.1), "at least 0, got -0.1"),
        (lambda: Margin(weight=float("nan")), "at least 0"),
        (lambda: CohortNormalized(0), "count is at least 1"),
        (lambda: CohortNormalized(weight=-0.1), "weight at least 0, got 5 and -0.1"),
        (lambda: CohortNormalized(weight=float("nan")), "weight at least 0"),
        (lambda: Normalized("x"), "z, t or s, got 'x'"),  # type: ignore[arg-type]
        (lambda: Normalized("z", 1), "top is at least 2, got 1"),
        (lambda: get_scorer("nearset"), "expected a scorer of nearest, k-nearest.*got 'nearset'"),
    ],
)
def test_parameters_refused(make: Callable[[], Scorer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
