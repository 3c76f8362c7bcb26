"""Faces like those that were ignored: who would have joined such a group, and who would not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.library.ignoring import like_ignored
from tests.enroll.library.test_cluster import THRESHOLD, people


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    """Three people with six faces each; the first three faces of the first one are ignored."""
    return people(3, 6, 0.2)[0]


LABELS = np.array([9, 9, 9, 0, 0, 0, *[1] * 6, *[2] * 6])
IGNORED = np.arange(18) < 3


def left_out(vectors: NDArray[np.float32], threshold: float = THRESHOLD, **given: object) -> list[int]:
    labels, ignored = given.pop("labels", LABELS), given.pop("ignored", IGNORED)
    found = like_ignored(vectors, labels, ignored, threshold, **given)  # type: ignore[arg-type]
    assert {*found[found >= 0].tolist()} <= {*np.flatnonzero(ignored).tolist()}
    return np.flatnonzero(found >= 0).tolist()


def test_a_new_group_like_an_ignored_one_is_left_out(vectors: NDArray[np.float32]) -> None:
    assert left_out(vectors) == [3, 4, 5]
    assert left_out(vectors, ignored=np.zeros(18, bool)) == []
    like = like_ignored(vectors, LABELS, IGNORED, THRESHOLD)
    for row in (3, 4, 5):
        assert like[row] == (vectors[:3] @ vectors[row]).argmax()


def test_the_limit_is_that_of_joining_a_group(vectors: NDArray[np.float32]) -> None:
    mean = float((vectors[3:6].astype(float) @ vectors[:3].T.astype(float)).mean())
    joined = np.sqrt(2 - 2 * mean)
    assert left_out(vectors, joined + 1e-6) == [3, 4, 5]
    assert left_out(vectors, joined - 1e-6) == []


def test_a_group_is_left_out_whole_or_not_at_all(vectors: NDArray[np.float32]) -> None:
    free = np.ones(18, bool)
    free[4] = False
    assert left_out(vectors, free=free) == []


def test_whoever_is_beside_an_ignored_face_is_someone_else(vectors: NDArray[np.float32]) -> None:
    photos = np.arange(18)
    photos[4] = photos[0]
    assert left_out(vectors, photos=photos) == []


def test_faces_that_were_parted_are_never_joined(vectors: NDArray[np.float32]) -> None:
    assert left_out(vectors, apart=[(4, 1)]) == []
    assert left_out(vectors, apart=[(4, 7)]) == [3, 4, 5]


def test_poor_faces_attract_no_one_and_join_only_the_clearly_nearest(vectors: NDArray[np.float32]) -> None:
    assert left_out(vectors, good=~IGNORED) == []
    alone = np.array([9, 9, 9, 0, 3, 4, *[1] * 6, *[2] * 6])
    good = np.arange(18) != 4
    assert left_out(vectors, labels=alone, good=good) == [3, 4, 5]
    between = vectors.copy()
    between[4] = vectors[0] + vectors[6]
    between[4] /= np.linalg.norm(between[4])
    assert left_out(between, 1.3, labels=alone, good=np.ones(18, bool)) == [3, 4, 5]
    assert left_out(between, 1.3, labels=alone, good=good) == [3, 5]


def test_many_groups_are_compared_in_steps(
    vectors: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enroll.library.ignoring._GROUPS", 1)
    labels = np.array([9, 9, 9, 0, 3, 4, *[1] * 6, *[2] * 6])
    assert left_out(vectors, labels=labels) == [3, 4, 5]
