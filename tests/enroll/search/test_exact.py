from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from enroll.decision import Candidate
from enroll.search import base, exact
from enroll.search.base import Matches, TemplateMatch, nearest_people, nearest_templates
from enroll.search.exact import ROUNDING, ExactIndex
from enroll.templates import Templates
from tests.enroll.search.vectors import oracle, part, random_rows, ranked, templates, unit


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Thousands of tiny searches: threads would spend the time waiting for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(
    scope="module",
    autouse=True,
    params=[(0, 0), (exact.FEW, 0), (0, exact.ALONE)],
    ids=["scikit-learn", "few", "few at a time"],
)
def few(request: pytest.FixtureRequest) -> Iterator[None]:
    """Test both ways on the same small galleries, and one way for few queries, the other for many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FEW", request.param[0])
        patch.setattr(exact, "ALONE", request.param[1])
        yield


@pytest.mark.parametrize("dim", [1, 2, 7, 128, 300])
@pytest.mark.parametrize("people", [1, 3, 50])
def test_same_as_oracle(dim: int, people: int) -> None:
    names = [f"p{number}" for number in np.random.default_rng(1).integers(0, 20, 200)]
    searched = templates(names, random_rows(2, 200, dim))
    queries = np.concatenate([random_rows(3, 10, dim), searched.vectors[:5]])
    assert nearest_people(ExactIndex(searched), queries, people) == [
        oracle(searched, query, people) for query in queries
    ]


@st.composite
def tied_galleries(draw: st.DrawFn) -> tuple[Templates, NDArray[np.float32]]:
    """Few directions, so that most templates are duplicates or the last bit away from one."""
    component = st.sampled_from([-1.0, 0.0, 1.0])
    direction = st.tuples(component, component, component).filter(any)
    entry = st.tuples(st.sampled_from("abcdefgh"), direction, st.sampled_from([-1.0, 0.0, 1.0]))
    entries = draw(st.lists(entry, min_size=1, max_size=60))
    vectors = unit([direction for _, direction, _ in entries])
    nudged = np.nextafter(vectors, np.array([[nudge] for *_, nudge in entries], np.float32))
    queries = unit(draw(st.lists(direction, min_size=1, max_size=4)))
    return templates([name for name, *_ in entries], np.where(vectors == 0, vectors, nudged)), queries


@settings(deadline=None, max_examples=50)
@given(tied_galleries(), st.integers(1, 9))
def test_same_as_oracle_among_ties(gallery: tuple[Templates, NDArray[np.float32]], people: int) -> None:
    searched, queries = gallery
    assert nearest_people(ExactIndex(searched), queries, people) == [
        oracle(searched, query, people) for query in queries
    ]


@settings(deadline=None, max_examples=50)
@given(tied_galleries(), st.integers(1, 9))
def test_templates_are_in_the_total_order(gallery: tuple[Templates, NDArray[np.float32]], count: int) -> None:
    searched, queries = gallery
    assert nearest_templates(ExactIndex(searched), queries, count) == [
        [TemplateMatch(name, distance, key) for distance, name, key in ranked(searched, query)[:count]]
        for query in queries
    ]


@settings(deadline=None, max_examples=50)
@given(tied_galleries(), st.lists(st.integers(0, 60), max_size=5), st.integers(1, 9))
def test_templates_that_came_later_are_searched_alike(
    gallery: tuple[Templates, NDArray[np.float32]], cuts: list[int], people: int
) -> None:
    searched, queries = gallery
    index = ExactIndex(part(searched, slice(0, 0)))
    for start, end in pairwise([0, *sorted(cuts), len(searched.ids)]):
        if start == 0:
            index = ExactIndex(part(searched, slice(0, end)))
        else:
            index.extend(part(searched, slice(start, end)))
    assert (index.templates, index.people) == (len(searched.ids), len(set(searched.identities)))
    assert nearest_people(index, queries, people) == [oracle(searched, query, people) for query in queries]


@pytest.mark.parametrize("scale", [0.0, 1e-7, 1e-4, 1.0])
def test_scikit_learn_rounds_less_than_is_looked_at_again(scale: float) -> None:
    rng = np.random.default_rng(16)
    vectors = unit(random_rows(17, 1, 128) + scale * rng.normal(size=(3000, 128)))
    queries = vectors[:50]
    distances, rows = NearestNeighbors(algorithm="brute", n_neighbors=100).fit(vectors).kneighbors(queries)
    away = vectors[rows].astype(np.float64) - queries[:, None].astype(np.float64)
    assert np.abs(distances - np.sqrt((away**2).sum(axis=2))).max() < ROUNDING / 10


@pytest.mark.parametrize("start", [0, 1, 150, 299, 300])
def test_what_is_found_is_nearest_wherever_it_is_kept(start: int) -> None:
    """Of the search_index itself: ranking would ask again until all is seen."""
    searched = templates(["ada"] * 300, random_rows(19, 300, 16))
    index = ExactIndex(part(searched, slice(0, start)))
    for row in range(start, 300):
        index.extend(part(searched, slice(row, row + 1)))
        if row % 50 == 0:
            index.nearest(searched.vectors[:1], 3)
    queries = random_rows(20, 20, 16)
    for query, found in zip(queries, index.nearest(queries, 7), strict=True):
        nearest = ranked(searched, query)
        assert {*found.ids.tolist()} >= {key for _, _, key in nearest[:7]}
        assert {*found.ids.tolist()} >= {key for distance, _, key in nearest if distance < found.reach}
        assert np.array_equal(found.vectors, searched.vectors[found.ids - 1])


def test_the_single_nearest_of_many_is_found() -> None:
    searched = templates(["ada"] * 2000, random_rows(28, 2000, 16))
    queries = random_rows(29, 20, 16)
    for query, found in zip(queries, ExactIndex(searched).nearest(queries, 1), strict=True):
        distance, _, key = ranked(searched, query)[0]
        assert found.ids.tolist() == [key]
        assert found.reach <= distance


def test_ties_are_by_name_also_beyond_the_first_count() -> None:
    same = random_rows(4, 1, 16)
    names = [f"p{number:03d}" for number in range(200)][::-1]  # the first by name has the last id
    index = ExactIndex(templates(names, same.repeat(200, axis=0)))
    expected = [Candidate("p000", 0.0), Candidate("p001", 0.0)]
    assert nearest_people(index, same, 2) == [expected]


def test_ties_are_by_name_where_search_stops_between_equals() -> None:
    near, far = unit([1.0, 0.0]), unit([0.0, 1.0])
    vectors = np.stack([near, *[far] * 100])
    index = ExactIndex(templates(["me", *[f"p{number:03d}" for number in range(100)][::-1]], vectors))
    assert [person.identity for person in nearest_people(index, near[None], 3)[0]] == ["me", "p000", "p001"]


def test_identical_vector_is_at_distance_exactly_zero() -> None:
    vectors = random_rows(5, 300, 128)
    index = ExactIndex(templates([f"p{number}" for number in range(300)], vectors))
    assert [found[0] for found in nearest_people(index, vectors, 1)] == [
        Candidate(f"p{number}", 0.0) for number in range(300)
    ]


def test_distances_below_single_precision_are_told_apart() -> None:
    query = unit([1.0, 0.0])
    farther, nearer = np.float32([1.0, 2e-6]), np.float32([1.0, 1e-6])
    index = ExactIndex(templates(["ada", "bob"], np.stack([farther, nearer])))
    assert [person.identity for person in nearest_people(index, query[None], 2)[0]] == ["bob", "ada"]


def test_answers_are_identical_alone_and_in_any_batch() -> None:
    index = ExactIndex(templates([f"p{number % 70}" for number in range(700)], random_rows(6, 700, 128)))
    queries = random_rows(7, 65, 128)
    together = nearest_people(index, queries, 5)
    assert [nearest_people(index, query[None], 5)[0] for query in queries] == together
    order = np.random.default_rng(8).permutation(65)
    assert nearest_people(index, queries[order], 5) == [together[row] for row in order]


def test_one_person_with_many_templates_hides_no_one() -> None:
    rng = np.random.default_rng(9)
    crowd = unit(np.array([1.0, 0, 0]) + rng.normal(0, 0.01, (2000, 3)))
    others = unit([[0.0, 1, 0], [0.0, 0.5, 1], [0.0, -1, -1]])
    searched = templates(["crowd"] * 2000 + ["a", "b", "c"], np.concatenate([crowd, others]))
    query = unit([1.0, 0.1, 0.0])
    (found,) = nearest_people(ExactIndex(searched), query[None], 4)
    assert [person.identity for person in found] == ["crowd", "a", "b", "c"]
    assert found == oracle(searched, query, 4)


def test_fewer_people_than_asked_for() -> None:
    index = ExactIndex(templates(["ada", "ada", "bob"], random_rows(10, 3, 8)))
    (found,) = nearest_people(index, random_rows(11, 1, 8), 5)
    assert sorted(person.identity for person in found) == ["ada", "bob"]


def test_empty_gallery_and_no_queries() -> None:
    empty = ExactIndex(Templates(np.empty(0, np.int64), np.empty(0, object), np.empty((0, 8), np.float32)))
    assert nearest_people(empty, random_rows(12, 3, 8), 5) == [[], [], []]
    one = ExactIndex(templates(["ada"], random_rows(13, 1, 8)))
    assert nearest_people(one, np.empty((0, 8), np.float32), 5) == []


class Recorded(ExactIndex):
    """Keeps what it is asked: how many queries, and how many templates of each."""

    def __init__(self, searched: Templates) -> None:
        super().__init__(searched)
        self.asked: list[tuple[int, int]] = []

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        self.asked.append((len(queries), count))
        return super().nearest(queries, count)


def test_more_is_asked_for_only_where_something_nearer_may_be() -> None:
    """Near `crowd` no one else comes before its 300 templates; near `a` and `b` the first 8 show both."""
    rng = np.random.default_rng(21)
    around = np.repeat([[1.0, 0, 0], [0, 1, 0], [0, 1, 0.5]], [300, 5, 5], axis=0)
    searched = templates(
        ["crowd"] * 300 + ["a"] * 5 + ["b"] * 5, unit(around + rng.normal(0, 0.01, (310, 3)))
    )
    index = Recorded(searched)
    queries = unit([[0.0, 1, 0.1], [1, 0.1, 0]])
    found = nearest_people(index, queries, 2)
    assert found == [oracle(searched, query, 2) for query in queries]
    assert index.asked == [(2, 8), (1, 32), (1, 128), (1, 512)]  # 512 are all
    index.asked.clear()
    nearest_templates(index, queries, 3)
    assert index.asked == [(2, 4)]  # the fourth shows that none of three is missing


class Remote(Recorded):
    """Counts who asks for its numbers, as these cost a request; that of people is an upper bound."""

    def __init__(self, searched: Templates) -> None:
        super().__init__(searched)
        self.numbers: list[str] = []

    @property
    def templates(self) -> int:
        self.numbers.append("templates")
        return super().templates

    @property
    def people(self) -> int:
        self.numbers.append("people")
        return super().people + 1

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        own = len(self.numbers)
        found = super().nearest(queries, count)
        del self.numbers[own:]
        return found


def test_numbers_are_asked_for_only_where_the_answer_depends_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = templates(["ada"] * 200 + ["bob"] * 200, random_rows(30, 400, 6))
    queries = random_rows(31, 3, 6)
    index = Remote(searched)
    assert nearest_people(index, queries, 2) == [oracle(searched, query, 2) for query in queries]
    assert len(nearest_templates(index, queries, 7)[0]) == 7
    assert index.numbers == []
    assert nearest_people(index, queries, 5) == [oracle(searched, query, 5) for query in queries]
    assert set(index.numbers) == {"people"}  # five may be there and are not among the first
    index.numbers.clear()
    monkeypatch.setattr(base, "_ROWS_AT_ONCE", 20)
    assert [len(found) for found in nearest_templates(index, queries, 10**9)] == [400] * 3
    assert set(index.numbers) == {"templates"}


def test_people_with_many_photos_are_found_without_all_of_these() -> None:
    """Asked for more people than there are, a search ends when it has found everyone."""
    searched = templates([f"p{row % 3}" for row in range(3000)], random_rows(32, 3000, 8))
    index = Recorded(searched)
    (query,) = random_rows(33, 1, 8)
    assert nearest_people(index, query[None], 100) == [oracle(searched, query, 100)]
    assert index.asked == [(1, 400)]


class Forgetful(Recorded):
    """Finds one template only until it is asked for all, as a graph may whose links lead nowhere."""

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        every = super().nearest(queries, count)
        if count >= self.templates:
            return every
        return [Matches(one.ids[:1], one.identities[:1], one.vectors[:1], one.reach) for one in every]


def test_an_index_that_finds_too_few_is_asked_again() -> None:
    searched = templates([f"p{row}" for row in range(30)], random_rows(26, 30, 4))
    query = random_rows(27, 1, 4)
    index = Forgetful(searched)
    assert [found.template for found in nearest_templates(index, query, 3)[0]] == [
        key for _, _, key in ranked(searched, query[0])[:3]
    ]
    assert index.asked == [(1, 4), (1, 16), (1, 64)]
    assert nearest_people(index, query, 3) == [oracle(searched, query[0], 3)]


def test_in_parts_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = templates([f"p{row % 40}" for row in range(200)], random_rows(22, 200, 5))
    queries = random_rows(23, 9, 5)
    expected = [oracle(searched, query, 3) for query in queries]
    monkeypatch.setattr(base, "_ROWS_AT_ONCE", 50)
    index = Recorded(searched)
    assert nearest_people(index, queries, 3) == expected
    assert index.asked[:3] == [(4, 12), (4, 12), (1, 12)]
    index.asked.clear()
    assert nearest_people(index, queries, 20) == [oracle(searched, query, 20) for query in queries]
    assert index.asked[:9] == [(1, 80)] * 9  # more than are allowed at once, and one query at least
    monkeypatch.setattr(exact, "ALONE", len(queries))
    whole = index.nearest(queries, 12)
    for block, together, cores, few in ((7, 2, 1, 200), (50, 256, 3, 0), (199, 9, 2, 0), (12, 1, 8, 0)):
        monkeypatch.setattr(exact, "_BLOCK", block)
        monkeypatch.setattr(exact, "_QUERIES", together)
        monkeypatch.setattr(exact, "threads_here", lambda cores=cores: cores)
        monkeypatch.setattr(exact, "FEW", few)
        for one, other in zip(index.nearest(queries, 12), whole, strict=True):
            assert (sorted(one.ids), one.reach) == (sorted(other.ids), other.reach)


def test_the_nearest_of_very_many_parts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many that numpy's partition sorts no more of them than it is asked to."""
    monkeypatch.setattr(exact, "_BLOCK", 1)
    searched = templates(["ada"] * 3000, random_rows(29, 3000, 4))
    index = ExactIndex(searched)
    for query, found in zip(searched.vectors[:20], index.nearest(searched.vectors[:20], 1), strict=True):
        assert np.array_equal(found.vectors, query[None])


def test_many_queries_of_few_templates_are_left_to_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "FEW", 300)
    monkeypatch.setattr(exact, "ALONE", 1)
    monkeypatch.setattr(exact, "PAIRS", 600)
    index = ExactIndex(templates(["ada"] * 300, random_rows(34, 300, 8)))
    queries = random_rows(35, 3, 8)
    index.nearest(queries[:2], 5)
    assert index._start is None
    index.nearest(queries, 5)
    assert index._start is not None


def test_reach_leaves_room_for_rounding() -> None:
    """Axes are √2 apart; a square in single precision is off by 2 (dim + 8) half roundings of 1 at most."""
    axes = np.eye(16, dtype=np.float32)
    (found,) = ExactIndex(templates(["ada"] * 16, axes)).nearest(axes[:1], 7)
    if exact.FEW or exact.ALONE:
        assert found.reach == pytest.approx(np.sqrt(2 - 2 * 24 * 2.0**-23), abs=1e-9)
    else:  # scikit-learn gives the distances in single precision
        assert found.reach == pytest.approx(np.sqrt(2) - 1e-5, abs=1e-7)


def test_reach_is_kept_among_nearly_equals() -> None:
    rng = np.random.default_rng(24)
    searched = templates(["ada"] * 400, unit(random_rows(25, 1, 128) + 1e-4 * rng.normal(size=(400, 128))))
    queries = searched.vectors[:20]
    for query, found in zip(queries, ExactIndex(searched).nearest(queries, 7), strict=True):
        assert {*found.ids.tolist()} >= {
            key for distance, _, key in ranked(searched, query) if distance < found.reach
        }


def test_candidates_are_plain_python() -> None:
    index = ExactIndex(templates(["ada"], random_rows(14, 1, 8)))
    ((candidate,),) = nearest_people(index, random_rows(15, 1, 8), 1)
    assert type(candidate.identity) is str
    assert type(candidate.distance) is float
