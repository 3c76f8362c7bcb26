from __future__ import annotations

import numpy as np
import pytest

from enroll.doctor.evidence import nearest_others
from enroll.doctor.examine import find_lookalikes
from enroll.doctor.labels import DuplicatePeople
from enroll.search.exact import ExactIndex
from tests.enroll.doctor.people import examined, labeled_of, made_people, templates_of


@pytest.mark.parametrize(("photos", "moved"), [(6, 3), (6, 5), (4, 2), (2, 1)])
def test_one_person_under_two_names(photos: int, moved: int):
    vectors, labels = made_people(20, photos)
    labels[:moved] = 20
    found = examined(vectors, labels)
    assert [(pair.first, pair.second) for pair in found.duplicates] == [(0, 20)]
    assert found.duplicates[0].probability > 0.9
    assert found.judged.mislabeled == ()  # of neither name


def test_one_person_under_three_names():
    vectors, labels = made_people(20, 9)
    labels[:3], labels[3:6] = 20, 21
    pairs = {(pair.first, pair.second) for pair in examined(vectors, labels).duplicates}
    assert pairs == {(0, 20), (0, 21), (20, 21)}


def test_different_people_are_no_twins_though_one_photo_is_shared():
    vectors, labels = made_people(20, 6)
    assert examined(vectors, labels).duplicates == ()
    labels[0] = 1
    assert examined(vectors, labels).duplicates == ()


def test_people_within_the_threshold_are_confused():
    labeled = labeled_of(*made_people(12, 5, noise=0.7))
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    limit = float(np.quantile(nearest.distances[:, 0], 0.7))
    kept = np.ones(len(labeled.labels), bool)
    kept[nearest.distances[:, 0].argmin()] = False  # a photo of someone else, as it were
    duplicates = [DuplicatePeople(2, 5, 0.1, 1.0)]

    expected: dict[tuple[int, int], tuple[set[int], float]] = {}
    for row in np.flatnonzero(kept):
        away = np.linalg.norm(labeled.vectors.astype(float) - labeled.vectors[row], axis=1)
        for other in np.flatnonzero(kept & (away <= limit) & (labeled.labels != labeled.labels[row])):
            pair = tuple(sorted((int(labeled.labels[row]), int(labeled.labels[other]))))
            if pair != (2, 5):
                photos, nearest_two = expected.get(pair, (set(), np.inf))
                expected[pair] = photos | {row}, min(nearest_two, away[other])

    pairs, near = find_lookalikes(labeled, nearest, limit, kept, duplicates)
    assert len(expected) > 3
    assert {(pair.first, pair.second): pair.photos for pair in pairs} == {
        pair: len(photos) for pair, (photos, _) in expected.items()
    }
    for pair in pairs:
        assert pair.distance == pytest.approx(expected[pair.first, pair.second][1], abs=1e-6)
    assert near == len(set().union(*(photos for photos, _ in expected.values())))
    assert [pair.photos for pair in pairs] == sorted((pair.photos for pair in pairs), reverse=True)


def test_no_one_is_confused():
    labeled = labeled_of(*made_people(5, 3))
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    assert find_lookalikes(labeled, nearest, 0.01, np.ones(15, bool)) == ([], 0)
