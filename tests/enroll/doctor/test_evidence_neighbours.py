from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder._internal.runtime import Advance, Progress
from enroll.doctor import evidence as module
from enroll.doctor.evidence import LabeledTemplates, nearest_others
from enroll.search.base import Matches
from enroll.search.exact import ExactIndex
from enroll.templates import Templates
from tests.enroll.doctor.people import labeled_of, made_people, templates_of, unit


class NoMore:
    """Finds exactly as many as it is asked for, in no order."""

    def __init__(self, templates: Templates) -> None:
        self._all = templates
        self.templates, self.people = len(templates.ids), len(set(templates.identities))
        self.asked: list[tuple[int, int]] = []

    def nearest(self, queries: NDArray[np.float32], count: int) -> list[Matches]:
        found = []
        self.asked.append((len(queries), count))
        for query in queries:
            away = np.linalg.norm(self._all.vectors.astype(float) - query, axis=1)
            rows = np.sort(np.argsort(away)[:count])
            found.append(
                Matches(self._all.ids[rows], self._all.identities[rows], self._all.vectors[rows], np.inf)
            )
        return found


def by_hand(labeled: LabeledTemplates, row: int, count: int) -> list[tuple[float, int]]:
    distances = np.linalg.norm(labeled.vectors.astype(float) - labeled.vectors[row], axis=1)
    others = [(distances[other], other) for other in np.flatnonzero(labeled.labels != labeled.labels[row])]
    return sorted(others)[:count]


@pytest.mark.parametrize("numbers", [1, 20_000, 16_000_000])
def test_the_nearest_of_others_are_found(numbers: int, monkeypatch: pytest.MonkeyPatch):
    """However few vectors may be in memory, and beside someone with most of the photos."""
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", numbers)
    vectors, labels = made_people(9, 5, noise=0.5)
    labels[:25] = 0
    labeled = labeled_of(vectors, labels)
    search_index = NoMore(templates_of(labeled))
    nearest = nearest_others(labeled, search_index)
    assert sum(queries for queries, _ in search_index.asked) == 45
    assert all(queries == 1 or queries * count * 32 <= numbers for queries, count in search_index.asked)
    # Of someone with 25 photos 25 + 16 numbers of 32 are asked for: 15 times that is below 20,000.
    assert search_index.asked[0] == ({1: 1, 20_000: 15}.get(numbers, 45), 41)
    for row in range(len(labels)):
        expected = by_hand(labeled, row, 16)
        assert nearest.rows[row].tolist() == [other for _, other in expected]
        assert nearest.distances[row] == pytest.approx([distance for distance, _ in expected], abs=1e-6)


def test_few_others_leave_places_empty():
    labeled = labeled_of(*made_people(3, 2))
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    assert (nearest.rows >= 0).sum(axis=1).tolist() == [4] * 6
    assert np.isinf(nearest.distances[:, 4:]).all() and (nearest.rows[:, 4:] == -1).all()
    rows, people = nearest.pairs(labeled.labels)
    assert sorted(zip(rows, people, strict=True)) == [
        (row, person) for row in range(6) for person in range(3) if person != row // 2
    ]


def test_progress_hears_of_each_template():
    class Heard(Progress):
        steps, total = 0, 0

        @contextmanager
        def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
            self.total = total

            def advance(steps: int = 1, detail: str = "") -> None:
                self.steps += steps

            yield advance

    labeled, heard = labeled_of(*made_people(9, 5)), Heard()
    nearest_others(labeled, ExactIndex(templates_of(labeled)), heard)
    assert (heard.steps, heard.total) == (45, 45)


def test_people_with_one_photo_each_are_near_each_other():
    labeled = labeled_of(*made_people(3, 1))
    rows, people = nearest_others(labeled, ExactIndex(templates_of(labeled))).pairs(labeled.labels)
    assert list(zip(rows, people, strict=True)) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


def test_who_is_enrolled_meanwhile_is_passed_over():
    labeled = labeled_of(*made_people(5, 3))
    there = templates_of(labeled)
    more = Templates(
        np.append(there.ids, [100, 101]),
        np.append(there.identities, ["new", "new"]),
        np.concatenate([there.vectors, there.vectors[:2]]),
    )
    now, then = (nearest_others(labeled, ExactIndex(templates)) for templates in (more, there))
    assert np.array_equal(now.rows[:, :10], then.rows[:, :10])


def test_some_photos_stand_for_a_person_who_has_many():
    vectors = unit(np.random.default_rng(0).normal(size=(300, 8)))
    labeled = labeled_of(vectors, np.repeat([0, 1], [290, 10]))
    kept = np.ones(300, bool)
    kept[[3, 295]] = False
    many, few = labeled.members(kept)
    assert len(set(many)) == 64 and 3 not in many and max(many) < 290
    assert sorted(few) == [290, 291, 292, 293, 294, 296, 297, 298, 299]


def test_a_person_may_have_no_one_left_to_stand_for_them():
    labeled = labeled_of(*made_people(3, 2))
    assert [len(rows) for rows in labeled.members(np.array([True] * 4 + [False] * 2))] == [2, 2, 0]
    assert [len(rows) for rows in labeled.members(np.array([False] * 2 + [True] * 4))] == [0, 2, 2]
