"""The approximate index: what it finds, and that its answers are those of the exact one."""

from __future__ import annotations

from functools import cache

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.decision import decide
from enroll.search.approximate import ApproximateIndex, Graph
from enroll.search.base import nearest_people, nearest_templates
from enroll.search.exact import ExactIndex
from enroll.templates import Templates
from tests.enroll.search.vectors import oracle, part, random_rows, templates, unit

PEOPLE, PHOTOS, DIM = 800, 5, 32


@cache
def faces() -> tuple[Templates, NDArray[np.float32]]:
    """People in clusters, as faces lie, with one more photo of each to search with, and strangers."""
    rng = np.random.default_rng(0)
    places = unit(0.5 + rng.normal(size=(PEOPLE + 200, DIM)))
    photos = unit(places[:, None] + rng.normal(0, 0.05, (PEOPLE + 200, PHOTOS + 1, DIM)))
    names = [f"p{number:04d}" for number in range(PEOPLE) for _ in range(PHOTOS)]
    enrolled = np.ascontiguousarray(photos[:PEOPLE, :PHOTOS].reshape(-1, DIM))
    return templates(names, enrolled), np.ascontiguousarray(photos[::4, PHOTOS])


@cache
def whole() -> ApproximateIndex:
    """The same graph in every run: two threads would link side by side."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        return ApproximateIndex(faces()[0])
    finally:
        faiss.omp_set_num_threads(threads)


def recall(index: ApproximateIndex, searched: Templates, queries: NDArray[np.float32]) -> float:
    """Share of the ten nearest that is found."""
    found, right = (nearest_templates(one, queries, 10) for one in (index, ExactIndex(searched)))
    shares = [len(set(some) & set(all_)) / 10 for some, all_ in zip(found, right, strict=True)]
    return float(np.mean(shares))


def test_nearly_all_of_the_nearest_are_found() -> None:
    assert recall(whole(), *faces()) >= 0.99


def test_decisions_are_those_of_exact_search() -> None:
    searched, queries = faces()
    exact = nearest_people(ExactIndex(searched), queries, 5)
    near = nearest_people(whole(), queries, 5)
    for threshold in np.quantile([found[0].distance for found in exact], [0.1, 0.5, 0.8, 0.9]):
        assert [decide(found, threshold, 0.05) for found in near] == [
            decide(found, threshold, 0.05) for found in exact
        ]


def test_distances_are_exact() -> None:
    searched, _ = faces()
    found = nearest_templates(whole(), searched.vectors[:100], 1)
    assert [(one.template, one.distance) for (one,) in found] == [(row + 1, 0.0) for row in range(100)]


def test_templates_that_came_later_are_found() -> None:
    searched, queries = faces()
    index = ApproximateIndex(part(searched, slice(0, 3000)))
    for start in range(3000, 4000, 50):
        index.extend(part(searched, slice(start, start + 50)))
    assert (index.templates, index.people, index.built) == (4000, PEOPLE, 4000)
    assert recall(index, searched, queries) >= 0.99


def test_begins_with_nothing() -> None:
    searched, queries = faces()
    index = ApproximateIndex(part(searched, slice(0, 0)))
    assert nearest_people(index, queries[:2], 3) == [[], []]
    index.extend(part(searched, slice(0, 5)))
    assert nearest_people(index, queries[:1], 3) == [oracle(part(searched, slice(0, 5)), queries[0], 3)]


def test_people_who_are_gone_are_taken_out_and_the_rest_is_not_linked_again() -> None:
    searched, queries = faces()
    kept = np.repeat(np.random.default_rng(1).random(PEOPLE) > 0.08, PHOTOS)
    left = part(searched, kept)
    graph = whole().graph_of(left)
    assert graph is not None
    graph.check()
    index = ApproximateIndex(left, graph)
    assert index.built == 0
    assert index.graph().dropped == (~kept).sum()
    assert recall(index, left, queries) >= 0.99


def test_a_graph_that_lost_too_much_is_built_anew() -> None:
    searched, queries = faces()
    left = part(searched, slice(0, 3000))
    index = ApproximateIndex(left, whole().graph_of(left))
    assert (index.built, index.graph().dropped) == (3000, 0)
    assert recall(index, left, queries) >= 0.99


def test_a_graph_of_other_templates_is_not_taken() -> None:
    searched, _ = faces()
    between = Templates(
        np.append(searched.ids[:-2], searched.ids[-1:]), searched.identities[:-1], searched.vectors[:-1]
    )
    index = ApproximateIndex(between)
    assert index.graph_of(between) is not None
    assert index.graph_of(searched) is None


def test_put_back_it_finds_the_same() -> None:
    searched, queries = faces()
    again = ApproximateIndex(searched, whole().graph())
    assert again.built == 0
    assert again._index.hnsw.max_level == whole()._index.hnsw.max_level > 0
    assert nearest_people(again, queries, 5) == nearest_people(whole(), queries, 5)
    again.extend(templates(["new"], queries[:1], first=9000))
    assert nearest_people(again, queries[:1], 1)[0][0].identity == "new"


def test_reach_is_no_farther_than_what_was_found_and_many_are_found_exactly() -> None:
    searched, queries = faces()
    for query, found in zip(queries[:9], whole().nearest(queries[:9], 40), strict=True):
        assert 0 < found.reach <= np.linalg.norm(found.vectors - query, axis=1).max()
    right = ExactIndex(searched).nearest(queries[:9], 500)
    for some, exact in zip(whole().nearest(queries[:9], 500), right, strict=True):
        assert (some.reach, some.ids.tolist()) == (exact.reach, exact.ids.tolist())


def test_one_person_with_many_templates_hides_no_one() -> None:
    rng = np.random.default_rng(2)
    me = random_rows(3, 1, DIM)
    vectors = unit(me + np.repeat([0.01, 0.1], [3000, 500])[:, None] * rng.normal(size=(3500, DIM)))
    searched = templates(["crowd"] * 3000 + [f"p{number:04d}" for number in range(500)], vectors)
    assert nearest_people(ApproximateIndex(searched), me, 3) == [oracle(searched, me[0], 3)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"levels": -1}, "levels"),
        ({"levels": 10**9}, "levels"),
        ({"links": 10**6}, "not there"),
        ({"links": -2}, "not there"),
        ({"entry": -1}, "begin"),
        ({"entry": 10**6}, "begin"),
    ],
)
def test_a_graph_that_leads_elsewhere_is_refused(change: dict[str, int], problem: str) -> None:
    graph = whole().graph()
    ((name, value),) = change.items()
    if name == "entry":
        broken = Graph(graph.levels, graph.links, value)
    else:
        array = getattr(graph, name).copy()
        array[1234] = value
        broken = Graph(**{"levels": graph.levels, "links": graph.links, "entry": graph.entry} | {name: array})
    with pytest.raises(ValueError, match=problem):
        broken.check()
    with pytest.raises(ValueError, match="links, got"):
        Graph(graph.levels, graph.links[:-1], graph.entry).check()


def test_a_link_up_to_a_node_that_is_not_there_is_refused() -> None:
    graph = whole().graph()
    upper, lower = np.flatnonzero(graph.levels > 1)[0], np.flatnonzero(graph.levels == 1)[0]
    links = graph.links.copy()
    links[graph.offsets()[upper] + 2 * 16] = lower
    with pytest.raises(ValueError, match="not in it"):
        Graph(graph.levels, links, graph.entry).check()
    with pytest.raises(ValueError, match="begin"):
        Graph(graph.levels, graph.links, int(lower)).check()


def test_taking_out_nodes_keeps_the_links_among_the_others() -> None:
    graph = whole().graph()
    gone = np.random.default_rng(4).random(len(graph)) < 0.05
    smaller = graph.without(gone)
    smaller.check()
    new = np.cumsum(~gone) - 1
    bounds, fewer = graph.offsets(), smaller.offsets()
    for node in np.flatnonzero(~gone)[::97]:
        links, left = graph.links[bounds[node] :][:32], smaller.links[fewer[new[node]] :][:32]
        expected = [new[link] for link in links if link >= 0 and not gone[link]]
        assert left.tolist() == expected + [-1] * (32 - len(expected))
