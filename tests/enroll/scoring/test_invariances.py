from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.decision import Candidate
from enroll.scoring import SCORERS, get_scorer
from enroll.scoring.base import Scorer
from enroll.scoring.cohort import CohortNormalized
from enroll.scoring.margin import Margin
from enroll.scoring.mean import Mean
from enroll.scoring.normalization import Normalized
from enroll.search.base import nearest_people
from enroll.search.exact import ExactIndex
from enroll.templates import Templates
from tests.enroll.scoring.made import DIM, made, random_rows, unit

# Every scorer as it comes, and the settings that take another way.
SOME = [
    *map(get_scorer, SCORERS),
    Margin("ratio", 1.0),
    Margin("gate", 0.1),
    Margin(base=Mean()),
    CohortNormalized(2, 1.0, Mean()),
    Normalized("s", 3),
]
scorers = pytest.mark.parametrize("scorer", SOME, ids=str)
cohorts = pytest.mark.parametrize("with_cohort", [False, True], ids=["alone", "cohort"])
G = made(60, people=5)


def scores(
    scorer: Scorer,
    with_cohort: bool,
    vectors: NDArray[np.float32] = G.vectors,
    labels: NDArray[np.int64] = G.labels,
    cohort: NDArray[np.float32] = G.cohort,
    queries: NDArray[np.float32] = G.queries,
) -> NDArray[np.float64]:
    if isinstance(scorer, CohortNormalized) and not with_cohort:
        pytest.skip("has no meaning without")
    return scorer.fit(vectors, labels, cohort if with_cohort else None).scores(queries)


@scorers
@cohorts
def test_shape_type_and_finite(scorer: Scorer, with_cohort: bool) -> None:
    found = scores(scorer, with_cohort)
    assert found.shape == (len(G.queries), 5)
    assert found.dtype == np.float64
    assert np.isfinite(found).all()
    assert scores(scorer, with_cohort, queries=G.queries[:0]).shape == (0, 5)


@scorers
@cohorts
def test_order_of_templates_and_cohort(scorer: Scorer, with_cohort: bool) -> None:
    order = np.random.default_rng(1).permutation(len(G.labels))
    changed = scores(scorer, with_cohort, G.vectors[order], G.labels[order], G.cohort[::-1])
    assert (changed == scores(scorer, with_cohort)).all()


@scorers
@cohorts
def test_numbers_of_people(scorer: Scorer, with_cohort: bool) -> None:
    people = np.unique(G.labels)
    renamed = np.random.default_rng(2).permutation(people) * 3
    labels = renamed[np.searchsorted(people, G.labels)]
    before, after = scores(scorer, with_cohort), scores(scorer, with_cohort, labels=labels)
    np.testing.assert_allclose(after, before[:, np.argsort(renamed)], rtol=0, atol=1e-9)


@scorers
@cohorts
def test_a_photo_enrolled_twice(scorer: Scorer, with_cohort: bool) -> None:
    vectors, labels = np.concatenate([G.vectors, G.vectors[3:6]]), np.concatenate([G.labels, G.labels[3:6]])
    cohort = np.concatenate([G.cohort, G.cohort[:2]])
    assert (scores(scorer, with_cohort, vectors, labels, cohort) == scores(scorer, with_cohort)).all()


@scorers
@cohorts
def test_alone_and_in_any_batch(scorer: Scorer, with_cohort: bool) -> None:
    queries = random_rows(3, 33)
    together = scores(scorer, with_cohort, queries=queries)
    alone = np.concatenate([scores(scorer, with_cohort, queries=row[None]) for row in queries])
    assert (alone == together).all()
    assert (scores(scorer, with_cohort, queries=np.asfortranarray(queries[::-1])) == together[::-1]).all()


@scorers
@cohorts
def test_extreme_queries_and_templates(scorer: Scorer, with_cohort: bool) -> None:
    """At distance 0 of one person or of two, opposite, and equal to a stranger."""
    vectors, labels = np.concatenate([G.vectors, G.vectors[:1]]), np.append(G.labels, G.labels.max() + 1)
    queries = np.concatenate([G.vectors, -G.vectors, G.cohort])
    found = scores(scorer, with_cohort, vectors, labels, queries=queries)
    assert np.isfinite(found).all()


@scorers
@cohorts
def test_a_template_searched_for_finds_its_person(scorer: Scorer, with_cohort: bool) -> None:
    clear = made(70, people=5, spread=0.05)
    found = scores(scorer, with_cohort, clear.vectors, clear.labels, clear.cohort, clear.vectors)
    assert (np.unique(clear.labels)[found.argmin(1)] == clear.labels).all()
    if isinstance(scorer, Normalized) and not with_cohort:
        return  # the spread of four other people says little: also an opposite can be far below their mean
    far = scores(scorer, with_cohort, clear.vectors, clear.labels, clear.cohort, -clear.vectors)
    assert found.min(1).max() < far.min(1).min()


@scorers
def test_what_it_learned_does_not_change_afterwards(scorer: Scorer) -> None:
    vectors, labels, cohort = G.vectors.copy(), G.labels.copy(), G.cohort.copy()
    fitted = scorer.fit(vectors, labels, cohort)
    before = fitted.scores(G.queries)
    vectors[:], labels[:], cohort[:] = vectors[::-1].copy(), 0, cohort[0]
    assert (fitted.scores(G.queries) == before).all()


@scorers
def test_one_template_each(scorer: Scorer) -> None:
    single = made(80, people=4, each=1)
    found = scorer.fit(single.vectors, single.labels, single.cohort).scores(single.queries)
    assert found.shape == (len(single.queries), 4)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", [name for name in SCORERS if name != "margin"])
def test_one_person(name: str) -> None:
    one = made(90, people=1)
    found = get_scorer(name).fit(one.vectors, one.labels, one.cohort).scores(one.queries)
    assert found.shape == (len(one.queries), 1)
    assert np.isfinite(found).all()
    assert found[0, 0] == found.min()  # the first query was made near that person


@pytest.mark.parametrize("name", ["nearest", "k-nearest", "mean", "nearest+mean"])
def test_same_distance_for_one_template(name: str) -> None:
    single = made(100, people=4, each=1)
    by_nearest = get_scorer("nearest").fit(single.vectors, single.labels).scores(single.queries)
    np.testing.assert_allclose(
        get_scorer(name).fit(single.vectors, single.labels).scores(single.queries), by_nearest
    )


@scorers
def test_two_people_with_the_same_templates_are_tied(scorer: Scorer) -> None:
    vectors = np.concatenate([G.vectors[:4], G.vectors[:4], G.vectors[4:6]])
    labels = np.array([1, 1, 1, 1, 2, 2, 2, 2, 3, 3])
    found = scorer.fit(vectors, labels, G.cohort).scores(np.concatenate([G.queries, G.vectors[:1]]))
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_margin_cohort_and_t_norm_keep_the_order_of_people(seed: int) -> None:
    g = made(seed, people=6, spread=1.5)
    order = get_scorer("nearest").fit(g.vectors, g.labels).scores(g.queries).argsort(1)
    for scorer in (Margin("ratio", 0.7), Margin("gate", 0.3), Margin(), CohortNormalized(), Normalized("t")):
        found = scorer.fit(g.vectors, g.labels, g.cohort).scores(g.queries)
        assert (found.argsort(1, kind="stable")[:, 0] == order[:, 0]).all()


def test_gate_lets_no_ambiguous_face_within_any_distance() -> None:
    two = unit([[1.0, 0.1], [1.0, -0.1]])
    fitted = Margin("gate", 0.05).fit(two, np.array([0, 1]))
    between, aside = fitted.scores(unit([[1.0, 0.0], [1.0, 0.3]]))
    assert between.min() > 2
    assert aside.min() < 0.25


def test_nearest_is_todays_rule_also_among_ties() -> None:
    few = unit(np.random.default_rng(4).integers(-1, 2, (80, 3)) + np.array([0, 0, 2]))
    labels = np.random.default_rng(5).integers(0, 12, 80)
    names = np.array([f"p{label:02d}" for label in labels], object)
    index = ExactIndex(Templates(np.arange(80), names, few))
    fitted = get_scorer("nearest").fit(few, labels)
    found = fitted.scores(few)
    for row, (first,) in zip(found, nearest_people(index, few, 1), strict=True):
        best = int(row.argmin())
        assert first == Candidate(f"p{fitted.people[best]:02d}", row[best])


@pytest.mark.parametrize("form", ["z", "t", "s"])
def test_impostors_at_one_distance_are_no_division_by_zero(form: str) -> None:
    axes = np.eye(DIM, dtype=np.float32)
    found = Normalized(form).fit(axes[:2], np.array([0, 1]), axes[2:]).scores(axes)  # type: ignore[arg-type]
    assert np.isfinite(found).all()
    assert found[:2].argmin(1).tolist() == [0, 1]


def test_rules_load_no_scipy() -> None:
    code = (
        "import sys; from enroll.scoring import SCORERS, get_scorer; "
        "[get_scorer(name) for name in SCORERS]; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"scipy", "sklearn", "tensorflow", "keras"} & set(done.stdout.split())
    light = subprocess.run(
        [sys.executable, "-c", "import sys, enroll.scoring; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "numpy" not in light.stdout.split()
