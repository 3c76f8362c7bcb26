"""Faces to tracks, tracks to people; vectors are made, so what is right is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enroll.library.tracks import Linking, Tracker, is_cut, join_tracks, overlaps

LINKING = Linking(near=1.0, apart=1.2)
RNG = np.random.default_rng(3)


def person(number: int) -> np.ndarray:
    """A unit vector; those of two numbers are 1.41 apart."""
    return np.eye(16, dtype=np.float32)[number]


def near(number: int, distance: float, towards: int = 15) -> np.ndarray:
    """A unit vector at some distance from a person's."""
    cosine = 1 - distance**2 / 2
    return (cosine * person(number) + np.sqrt(1 - cosine**2) * person(towards)).astype(np.float32)


def follow(frames, linking: Linking = LINKING) -> list[list[int]]:
    """Track frames of (seconds, [(x, vector, good)]); every face is 100 pixels wide."""
    tracker = Tracker(linking)
    found = []
    for seconds, faces in frames:
        boxes = np.array([(x, 50, 100, 100) for x, _, _ in faces], float).reshape(-1, 4)
        vectors = np.array([vector for _, vector, _ in faces], np.float32).reshape(-1, 16)
        good = np.array([good for _, _, good in faces], bool)
        found.append(tracker.add(seconds, boxes, vectors, good).tolist())
    return found


def test_two_people_who_pass_each_other_keep_their_tracks():
    frames = [
        (step / 2, [(10 + 60 * step, person(0), True), (550 - 60 * step, person(1), True)])
        for step in range(10)
    ]
    swapped = [
        (seconds, faces[::-1] if index % 2 else faces) for index, (seconds, faces) in enumerate(frames)
    ]
    assert follow(swapped) == [[1, 0] if index % 2 else [0, 1] for index in range(10)]


def test_poor_faces_are_followed_by_place_and_speed():
    """At 90 pixels a step the boxes hardly overlap; where the face should be by now, they do."""
    frames = [(step / 2, [(30 * step + 12 * step**1.4, RNG.normal(size=16), False)]) for step in range(8)]
    assert follow(frames) == [[0]] * 8
    jump = [(0.0, [(0, person(0), False)]), (0.5, [(300, person(0), False)])]
    assert follow(jump) == [[0], [1]]  # a poor vector links nothing


def test_a_good_face_is_known_again_wherever_it_is():
    assert follow([(0.0, [(0, person(0), True)]), (0.5, [(900, near(0, 0.9), True)])]) == [[0], [0]]
    assert follow([(0.0, [(0, person(0), True)]), (0.5, [(900, near(0, 1.1), True)])]) == [[0], [1]]


@pytest.mark.parametrize(("distance", "same"), [(0.9, True), (1.1, True), (1.3, False)])
def test_another_face_at_the_same_place_is_another_track(distance: float, same: bool):
    frames = [(0.0, [(0, person(0), True)]), (0.5, [(0, near(0, distance), True)])]
    assert follow(frames) == [[0], [0 if same else 1]]


@pytest.mark.parametrize(("distance", "empty", "same"), [(1.1, 0, True), (1.1, 1, False), (0.9, 1, True)])
def test_after_a_gap_the_place_alone_says_nothing(distance: float, empty: int, same: bool):
    """A head that turns stays where it is; where nobody was for a while, someone else may stand."""
    frames = [(0.0, [(10, person(0), True)]), *((0.5, []) for _ in range(empty))]
    frames += [(0.5 + 0.5 * empty, [(10, near(0, distance), True)])]
    assert (follow(frames)[-1] == [0]) == same


def test_a_face_that_is_poor_for_a_while_is_the_same_person():
    frames = [(0.0, [(0, person(0), True)]), (0.5, [(10, person(9), False)]), (1.0, [(20, person(0), True)])]
    assert follow(frames) == [[0], [0], [0]]


@pytest.mark.parametrize(("pause", "same"), [(1.9, True), (2.1, False)])
def test_a_track_waits_for_its_face(pause: float, same: bool):
    frames = [(0.0, [(0, person(0), True)]), (pause, [(0, person(0), True)])]
    assert follow(frames) == [[0], [0 if same else 1]]


def test_each_track_goes_on_with_one_face():
    frames = [(0.0, [(0, person(0), True)]), (0.5, [(0, person(0), True), (20, person(0), True)])]
    assert follow(frames) == [[0], [0, 1]]


def test_a_cut_ends_tracks_and_open_says_which_wait():
    tracker = Tracker(LINKING)
    box, vector, good = np.array([[0, 0, 9, 9]]), person(0)[None], np.array([True])
    assert tracker.add(0.0, box, vector, good).tolist() == [0] and tracker.open == {0}
    tracker.cut()
    assert tracker.open == set()
    assert tracker.add(0.5, box, vector, good).tolist() == [1]
    tracker.add(5.0, np.empty((0, 4)), np.empty((0, 16), np.float32), np.empty(0, bool))
    assert tracker.open == set()


def test_overlaps():
    boxes = np.array([(0, 0, 10, 10), (5, 0, 10, 10), (50, 50, 0, 0)], float)
    assert np.allclose(overlaps(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]])


def test_tracks_of_one_person_are_joined_but_not_those_seen_together():
    vectors = np.stack([person(0), near(0, 0.5), person(1), near(0, 0.6, 14)])
    apart = np.array([(0, 1), (5, 6), (0, 9), (10, 11)], float)
    weights = np.ones(4)
    assert join_tracks(vectors, apart, weights, 1.0).tolist() == [0, 0, 1, 0]
    together = np.array([(0, 1), (0.5, 6), (0, 9), (10, 11)], float)
    # The second is seen beside the first, so it is someone else; the fourth goes to the nearer one.
    assert join_tracks(vectors, together, weights, 1.0).tolist() == [0, 1, 2, 0]
    assert join_tracks(vectors, apart, np.array([1.0, 0, 1, 1]), 1.0).tolist() == [0, 1, 2, 0]  # nothing good
    assert join_tracks(vectors[:0], apart[:0], weights[:0], 1.0).tolist() == []
    assert join_tracks(vectors[:1], apart[:1], weights[:1], 1.0).tolist() == [0]


def test_a_chain_of_look_alikes_is_not_one_person():
    """Each is near the next one, as siblings are, but the ends are far from the mean of all."""
    angles = np.deg2rad(np.arange(0, 180, 20))
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    spans = np.array([(2 * index, 2 * index + 1) for index in range(len(vectors))], float)
    found = join_tracks(vectors, spans, np.ones(len(vectors)), 0.5)
    assert 1 < len(set(found.tolist())) < len(vectors)
    for group in set(found.tolist()):
        assert np.ptp(angles[found == group]) < np.deg2rad(100)


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_whoever_is_seen_together_is_never_joined(seed: int, count: int):
    rng = np.random.default_rng(seed)
    vectors = (person(0) + rng.normal(0, 0.2, (count, 16))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = rng.uniform(0, 20, count)
    spans = np.stack([starts, starts + rng.uniform(0, 4, count)], axis=1)
    found = join_tracks(vectors, spans, np.ones(count), 1.2)
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))
    for group in range(found.max() + 1):
        own = sorted(map(tuple, spans[found == group].tolist()))
        assert all(one[1] < other[0] for one, other in pairwise(own))


def test_a_change_of_scene_is_noticed_and_a_moving_face_is_none():
    scene = np.full((90, 160, 3), 90, np.uint8)
    scene[20:60, 20:60] = 200
    moved = np.roll(scene, 60, axis=1)
    assert not is_cut(scene, moved) and not is_cut(scene, scene)
    assert is_cut(scene, np.full_like(scene, 30))
