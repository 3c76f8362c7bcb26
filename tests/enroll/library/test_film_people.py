"""Faces of one film: which are one person, and which cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from enroll.library.film_people import Interval, at_once
from enroll.library.grouping import places_of
from enroll.library.matching import matched
from enroll.library.suggest import suggest
from enroll.store.library import SeenFace
from enroll.templates import Templates

FILM, PHOTO = 7, 9
ONE, OTHER = np.eye(2, 8, dtype=np.float32)


def face(
    number: int, intervals: tuple[Interval, ...], vector: np.ndarray = ONE, model: str = "m", x: int = 0
) -> SeenFace:
    """A face of the film whose best frame is the first one that it is seen in."""
    seconds = intervals[0][0] if intervals else None
    where = FILM if intervals else PHOTO
    key = bytes([number]) * 32
    return SeenFace(where, (x, 0, 9, 9), vector, {}, None, model, number, key, seconds, intervals)


@pytest.mark.parametrize(
    ("some", "others", "meet"),
    [
        ([(0, 2)], [(2, 3)], True),
        ([(0, 2)], [(2.5, 3)], False),
        ([(0, 1), (5, 6)], [(2, 3), (5.5, 9)], True),
        ([(5, 6)], [(0, 9)], True),
        ([], [(0, 9)], False),
    ],
)
def test_who_is_in_sight_at_once(some: list[Interval], others: list[Interval], meet: bool) -> None:
    assert at_once(some, others) == at_once(others, some) == meet


def test_only_who_is_seen_at_once_is_kept_apart() -> None:
    faces = [face(1, ((0, 2),)), face(2, ((1, 3),)), face(3, ((2.5, 9),)), face(4, ()), face(5, ())]
    places, pairs = places_of(faces)
    assert places.tolist() == [-1, -2, -3, PHOTO, PHOTO]
    assert pairs == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (face(0, ((0.0, 4.0),), x=2), True),  # the same moment and nearly the same place
        (face(0, ((0.0, 4.0),), x=50), False),  # the same moment elsewhere
        (face(0, ((1.0, 4.5),), x=50), True),  # another best frame, at most of the same times
        (face(0, ((3.0, 9.0),), x=50), False),  # mostly at other times
        (face(0, ((1.0, 4.5),), OTHER, x=50), False),  # someone else at these times
        (face(0, ((1.0, 4.5),), x=50, model="n"), False),  # whose vectors say nothing about ours
        (face(0, ((0.0, 4.0),), OTHER, x=2, model="n"), True),
    ],
)
def test_a_person_of_a_film_is_found_again(found: SeenFace, same: bool) -> None:
    kept, more, lost = matched([face(3, ((0.0, 4.0),))], [found], FILM)
    assert [one.number for one in kept] == ([3] if same else [])
    assert (len(more), len(lost)) == ((0, 0) if same else (1, 1))
    assert all(one.intervals == found.intervals and one.seconds == found.seconds for one in (*kept, *more))


def test_a_name_is_suggested_once_at_a_time_for_the_nearest() -> None:
    ada = Templates(np.array([1]), np.array(["ada"], object), ONE[None])
    turned = np.array([0.9, np.sqrt(1 - 0.81), *[0.0] * 6], np.float32)
    vectors = np.stack([turned, ONE, ONE, turned])
    times = [[(0.0, 2.0)], [(1.0, 3.0)], [(4.0, 5.0)], [(6.0, 7.0)]]
    found = suggest(vectors, [FILM] * 4, ada, 1.0, times=times)
    assert [one is not None for one in found] == [False, True, True, True]
    assert [one is not None for one in suggest(vectors, [PHOTO] * 4, ada, 1.0)] == [False, True, False, False]
