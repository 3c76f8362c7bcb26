"""Groups: average linkage on a sparse graph, with what people know of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from enroll.library import cluster
from enroll.library.cluster import group_faces, oddness

THRESHOLD = 1.0


def people(
    count: int, each: int, spread: float = 0.35, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors in 64 dimensions around a center for each person."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), each)
    centers = rng.normal(size=(count, 64))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers[labels] + rng.normal(size=(len(labels), 64)) * spread / 8
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def same_partition(one: NDArray[np.integer], other: NDArray[np.integer]) -> bool:
    return (
        len({*zip(one.tolist(), other.tolist(), strict=True)})
        == len(set(one.tolist()))
        == len(set(other.tolist()))
    )


def test_people_are_found_and_the_largest_comes_first() -> None:
    vectors, labels = people(12, 6)
    order = np.random.default_rng(1).permutation(len(labels))[:60]
    groups = group_faces(vectors[order], THRESHOLD)
    assert same_partition(groups, labels[order])
    sizes = np.bincount(groups)
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize("spread", [0.6, 0.9, 1.2])
def test_the_sparse_graph_gives_what_comparing_all_pairs_gives(spread: float) -> None:
    from sklearn.cluster import AgglomerativeClustering

    vectors, _ = people(15, 8, spread, seed=3)
    cosines = np.maximum(1 - vectors.astype(float) @ vectors.T, 0)
    oracle = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=THRESHOLD**2 / 2
    ).fit(cosines)
    assert same_partition(group_faces(vectors, THRESHOLD), oracle.labels_)


def test_large_parts_are_grouped_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = people(4, 40, 0.5)
    monkeypatch.setattr(cluster, "LARGEST_PART", 15)
    assert same_partition(group_faces(vectors, THRESHOLD), labels)


def test_more_copies_than_neighbours_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = people(3, 30, 0.3)
    monkeypatch.setattr(cluster, "NEIGHBOURS", 3)
    assert same_partition(group_faces(vectors, THRESHOLD), labels)


def test_two_faces_of_one_photo_are_never_in_one_group() -> None:
    vectors, labels = people(3, 6, 0.2)
    photos = np.arange(18)
    photos[1] = photos[0]
    groups = group_faces(vectors, THRESHOLD, photos)
    assert groups[0] != groups[1]
    assert len(set(groups[labels == 0].tolist())) == 2
    assert all(len(set(groups[labels == one].tolist())) == 1 for one in (1, 2))


def test_parted_faces_stay_apart_and_joined_ones_together() -> None:
    vectors, _ = people(3, 6, 0.2)
    groups = group_faces(vectors, THRESHOLD, together=[(0, 6)], apart=[(12, 13)])
    assert groups[0] == groups[6]
    assert groups[12] != groups[13]
    both = group_faces(vectors, THRESHOLD, together=[(0, 6)], apart=[(0, 6)])
    assert both[0] != both[6]


def test_poor_faces_join_and_never_begin_a_group() -> None:
    vectors, labels = people(3, 6, 0.2)
    good = np.ones(18, bool)
    good[[0, 12, 13, 14, 15, 16, 17]] = False
    groups = group_faces(vectors, THRESHOLD, good=good)
    assert groups[0] == groups[1]
    assert len(set(groups[labels == 2].tolist())) == 6  # nobody begins theirs
    photos = np.arange(18)
    photos[0] = photos[1]
    assert group_faces(vectors, THRESHOLD, photos, good)[0] != groups[1]


def test_a_poor_face_between_two_groups_joins_none() -> None:
    vectors, _ = people(2, 6, 0.1)
    middle = vectors[0] + vectors[6]
    every = np.concatenate([vectors, [middle / np.linalg.norm(middle)]]).astype(np.float32)
    good = np.ones(13, bool)
    good[12] = False
    groups = group_faces(every, 1.3, good=good)
    assert np.bincount(groups)[groups[12]] == 1


def test_groups_of_before_stay_and_grow() -> None:
    vectors, labels = people(3, 6, 0.2)
    before = np.full(18, -1)
    before[[0, 1]], before[[2, 3]] = 5, 9  # one person in two groups, as someone may have left it
    groups = group_faces(vectors, THRESHOLD, before=before)
    assert groups[0] == groups[1] != groups[2] == groups[3]
    assert {groups[4], groups[5]} <= {groups[0], groups[2]}
    assert len(set(groups[labels == 1].tolist())) == 1


def test_the_order_of_faces_changes_no_group() -> None:
    vectors, _ = people(8, 5, 0.9, seed=5)
    order = np.random.default_rng(2).permutation(40)
    assert same_partition(group_faces(vectors, THRESHOLD)[order], group_faces(vectors[order], THRESHOLD))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_faces(count: int) -> None:
    vectors, _ = people(2, 1, 0.2)
    assert group_faces(vectors[:count], THRESHOLD).tolist() == list(range(count))


def test_what_is_no_face_is_refused() -> None:
    with pytest.raises(ValueError, match="unit length"):
        group_faces(np.ones((2, 4), np.float32), THRESHOLD)
    with pytest.raises(ValueError, match="photos: expected one entry a face, 2"):
        group_faces(np.eye(2, dtype=np.float32), THRESHOLD, photos=np.arange(3))


def test_the_odd_face_is_the_farthest() -> None:
    vectors, _ = people(2, 6, 0.2)
    odd = oddness(vectors[:7])
    assert odd.argmax() == 6
    assert oddness(vectors[:1]).tolist() == [0.0]
