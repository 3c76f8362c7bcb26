from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from enroll.decision import Candidate
from enroll.search import exact
from enroll.search.base import nearest_people
from enroll.search.exact import ExactIndex
from enroll.templates import GrowableTemplates, NewTemplate, Templates, are_unit, check_vectors
from tests.enroll.search.vectors import part, random_rows, templates


def grown(start: int, ones: int) -> GrowableTemplates:
    """A pool that began with some templates and got others one by one."""
    everyone = templates([f"p{row % 7}" for row in range(start + ones)], random_rows(0, start + ones, 4))
    pool = GrowableTemplates(part(everyone, slice(0, start)))
    for row in range(start, start + ones):
        pool.extend(part(everyone, slice(row, row + 1)))
    return pool


def test_adding_costs_the_same_whatever_is_there() -> None:
    moved = {start: grown(start, 3000).moved for start in (0, 1_000, 100_000)}
    assert len(set(moved.values())) == 1
    # Each is written once, and the places double at 256, so these are copied as well.
    assert moved[0] == 3000 + 256 + 512 + 1024 + 2048


def test_adding_never_touches_what_was_there_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "FEW", 0)
    monkeypatch.setattr(exact, "ALONE", 0)
    everyone = templates(["ada"] * 50, random_rows(1, 50, 8))
    for array in (everyone.ids, everyone.identities, everyone.vectors):
        array.setflags(write=False)
    index = ExactIndex(part(everyone, slice(0, 40)))
    index.nearest(everyone.vectors[:1], 5)
    fitted = index._start
    assert fitted is not None
    assert fitted.algorithm == "brute"  # a tree would be a copy
    for row in range(40, 50):
        index.extend(part(everyone, slice(row, row + 1)))
        index.nearest(everyone.vectors[:1], 5)
    assert index._start is fitted
    assert np.shares_memory(index.pool.start.vectors, everyone.vectors)
    assert np.shares_memory(index._start._fit_X, everyone.vectors)
    assert np.shares_memory(index._recent._fit_X, index.pool.recent.vectors)  # fitted without a copy


def test_what_is_computed_of_the_start_is_kept() -> None:
    everyone = templates(["ada"] * 50, random_rows(1, 50, 8))
    index = ExactIndex(part(everyone, slice(0, 40)))
    index.nearest(everyone.vectors[:1], 5)
    (squares, _) = index._squares
    index.extend(part(everyone, slice(40, 50)))
    assert index._squares[0] is squares


def test_rows_are_in_the_order_of_ids() -> None:
    pool = grown(300, 700)
    every = pool.everything()
    assert every.ids.tolist() == list(range(1, 1001))
    rows = np.random.default_rng(2).permutation(1000)
    taken = pool.take(rows)
    assert taken.ids.tolist() == (rows + 1).tolist()
    assert taken.identities.tolist() == [f"p{row % 7}" for row in rows]
    assert np.array_equal(taken.vectors, random_rows(0, 1000, 4)[rows])
    assert (len(pool), pool.people, pool.last) == (1000, 7, 1000)


def test_the_last_id_of_a_pool_that_has_not_grown() -> None:
    assert grown(5, 0).last == 5


def test_empty_pool() -> None:
    pool = GrowableTemplates(
        Templates(np.empty(0, np.int64), np.empty(0, object), np.empty((0, 4), np.float32))
    )
    assert (len(pool), pool.people, pool.last) == (0, 0, 0)
    pool.extend(templates(["ada"], random_rows(3, 1, 4), first=9))
    assert (len(pool), pool.people, pool.last) == (1, 1, 9)


def test_equal_vectors_take_no_more_memory_than_one_copy() -> None:
    crowd = templates(["crowd"] * 20_000 + ["you"], random_rows(18, 1, 128).repeat(20_001, axis=0))
    index = ExactIndex(crowd)
    queries = crowd.vectors[:24]
    nearest_people(index, queries[:1], 2)
    tracemalloc.start()
    try:
        assert nearest_people(index, queries, 2) == [[Candidate("crowd", 0.0), Candidate("you", 0.0)]] * 24
        assert tracemalloc.get_traced_memory()[1] < 6 * crowd.vectors.nbytes
    finally:
        tracemalloc.stop()


def test_many_queries_are_compared_few_at_a_time() -> None:
    searched = templates(["ada"] * 2048, random_rows(4, 2048, 2))
    queries = random_rows(5, 8192, 2)
    index = ExactIndex(searched)
    tracemalloc.start()
    try:
        index.nearest(queries, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 70e6  # 16 MB of products, 32 MB of their order; all at once would be 200 MB


def test_unit_length_is_decided_exactly_near_the_limit():
    """What one processor takes into a gallery, every other one takes out of it and into another."""
    rng, answers = np.random.default_rng(0), set()
    for dim in [*range(1, 9), 128, 512, 4096]:
        for _ in range(60):
            row = rng.normal(size=dim)
            limit = rng.choice([0.999, 1.001]) + rng.integers(-3, 4) * 2**-25
            row = (row / np.linalg.norm(row) * limit).astype(np.float32)
            length = sum(Fraction(float(number)) ** 2 for number in row)
            expected = Fraction(999, 1000) ** 2 < length < Fraction(1001, 1000) ** 2
            for rows in (row[None], np.stack([row] * 5), np.asfortranarray(np.stack([row] * 5))):
                assert are_unit(rows) == expected
            answers.add((expected, limit > 1))
    assert len(answers) == 4


def test_rows_that_rounding_cannot_decide_are_not_summed_exactly(monkeypatch: pytest.MonkeyPatch):
    """It takes a hundred times as long."""
    monkeypatch.setattr("math.fsum", None)
    assert are_unit(random_rows(6, 100, 128))
    assert not are_unit(random_rows(6, 100, 128) * np.float32(1.01))


def test_what_is_stored_is_checked_not_what_was_given():
    """As float32, this vector is longer than as float64."""
    vector = np.array([1.001 - 1e-9])
    assert not are_unit(vector.astype(np.float32)[None])
    with pytest.raises(ValueError, match="unit"):
        check_vectors([NewTemplate("a", bytes(32), vector)], 1)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 0.0, 3e38])
def test_what_has_no_unit_length(number: float):
    rows = np.eye(3, dtype=np.float32)
    assert are_unit(rows)
    assert are_unit(rows[:0])
    rows[1] = number
    with np.errstate(all="ignore"):
        assert not are_unit(rows)


def new(*vectors: list[float]) -> list[NewTemplate]:
    return [NewTemplate("photo.jpg", bytes(32), np.array(vector, np.float32)) for vector in vectors]


def test_vectors_of_length_1_can_be_stored() -> None:
    check_vectors(new([0.6, 0.8], [0.0, 1.0009], [0.9991, 0.0]), 2)


@pytest.mark.parametrize(
    ("vectors", "dim", "got"),
    [
        ([], 2, "none"),
        ([[]], 0, r"\(0,\)"),
        ([[1.0, 0.0]], 3, r"\(2,\)"),
        ([[1.0, 0.0], [1.0, 0.0, 0.0]], 2, r"\(2,\), \(3,\)"),
        ([[0.6, 0.8], [0.0, 1.002]], 2, r"\(2,\)"),
        ([[0.6, 0.8], [0.0, 0.998]], 2, r"\(2,\)"),
        ([[0.6, 0.8], [0.0, float("nan")]], 2, r"\(2,\)"),
    ],
)
def test_other_vectors_are_refused(vectors: list[list[float]], dim: int, got: str) -> None:
    with pytest.raises(ValueError, match=f"expected unit vectors of {dim} numbers, got {got}$"):
        check_vectors(new(*vectors), dim)
