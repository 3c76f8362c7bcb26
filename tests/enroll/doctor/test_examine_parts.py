"""What an examination says of few photos and few people, and the threshold it assumes."""

from __future__ import annotations

import numpy as np
import pytest

from enroll import distances
from enroll.calibration import calibrate
from enroll.doctor import examine as module
from enroll.doctor.evidence import nearest_others
from enroll.doctor.examine import examine, find_lookalikes, find_probable_duplicates, forecast_fpir, fpir_at
from enroll.doctor.labels import DuplicatePeople
from enroll.search.exact import ExactIndex
from tests.enroll.doctor.people import examined, labeled_of, made_people, templates_of


def test_people_with_fewer_than_three_photos_are_listed() -> None:
    vectors, labels = made_people(12, 4)
    counts = [1, 2, 3] + [4] * 9
    rows = np.concatenate([np.flatnonzero(labels == person)[:count] for person, count in enumerate(counts)])
    assert examined(vectors[rows], labels[rows]).few == ((0, 1), (1, 2))


def test_with_one_photo_each_nothing_is_judged_but_the_fpir_is_known() -> None:
    vectors, labels = made_people(20, 1)
    found = examined(vectors, labels)
    assert len(found.notes) == 1 and "photos and double names are not judged" in found.notes[0]
    assert (found.duplicates, found.judged.mislabeled, found.judged.divided) == ((), (), ())
    assert found.judged.kept.all()
    assert found.forecast is not None
    assert found.forecast.threshold == calibrate(vectors, labels, 0.01).distance
    assert len(found.few) == 20


def test_what_is_known_of_one_person() -> None:
    found = examined(*made_people(1, 5))
    assert len(found.notes) == 2
    assert "photos and double names are not judged" in found.notes[0]
    assert "the FPIR to expect is not known" in found.notes[1]
    assert (found.forecast, found.lookalikes, found.near) == (None, (), 0)


def test_a_threshold_is_looked_for_with_the_photos_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30 people 12 are drawn; one of these has no photo that is kept."""
    monkeypatch.setattr(module, "_MOST_PEOPLE", 12)
    vectors, labels = made_people(30, 4, noise=0.5)
    drawn = np.random.default_rng(0).permutation(30)[:12]
    kept = labels != drawn[5]
    rows = kept & np.isin(labels, drawn)
    target = fpir_at(0.01, 30, 11)
    assert target == pytest.approx(1 - 0.99 ** (11 / 30))
    found = forecast_fpir(labeled_of(vectors, labels), kept, None, "why")
    assert found.threshold == calibrate(vectors[rows], labels[rows], target).distance
    assert (found.calibrated, found.warning) == (False, "why")
    assert found.fpir == pytest.approx([1 - 0.99**times for times in (1, 2, 5, 10, 100)])


def test_as_many_people_as_are_allowed_are_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_PEOPLE", 30)
    vectors, labels = made_people(30, 4, noise=0.5)
    found = forecast_fpir(labeled_of(vectors, labels), np.ones(120, bool), None, None)
    assert found.threshold == calibrate(vectors, labels, 0.01).distance


def test_pairs_with_as_many_photos_are_in_the_order_of_distance_and_names() -> None:
    axes = np.eye(8, dtype=np.float32)
    labeled = labeled_of(axes, np.arange(8))  # everyone is √2 from everyone
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    pairs, near = find_lookalikes(labeled, nearest, 1.5, np.ones(8, bool))
    assert [(pair.first, pair.second) for pair in pairs] == [
        (a, b) for a in range(8) for b in range(a + 1, 8)
    ]
    assert all((pair.photos, pair.distance) == (2, pytest.approx(np.sqrt(2))) for pair in pairs)
    assert near == 8
    labeled = labeled_of(*made_people(20, 2, noise=0.6))
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    pairs, _ = find_lookalikes(labeled, nearest, 1.2, np.ones(40, bool))
    keys = [(-pair.photos, pair.distance) for pair in pairs]
    assert keys == sorted(keys) and len(pairs) > 9


def test_two_names_of_one_person_are_not_confused() -> None:
    labeled = labeled_of(np.eye(8, dtype=np.float32), np.arange(8))
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    everyone = np.ones(8, bool)
    pairs, _ = find_lookalikes(labeled, nearest, 1.5, everyone)
    duplicates = [DuplicatePeople(2, 5, 0.1, 0.9), DuplicatePeople(3, 4, 0.1, 0.9)]
    others, near = find_lookalikes(labeled, nearest, 1.5, everyone, duplicates)
    assert others == [pair for pair in pairs if (pair.first, pair.second) not in ((2, 5), (3, 4))]
    assert (len(pairs), len(others), near) == (28, 26, 8)


def test_a_photo_at_the_threshold_is_within_it() -> None:
    labeled = labeled_of(np.eye(4, dtype=np.float32), np.arange(4))
    nearest = nearest_others(labeled, ExactIndex(templates_of(labeled)))
    limit = float(nearest.distances[0, 0])
    everyone = np.ones(4, bool)
    assert find_lookalikes(labeled, nearest, limit, everyone)[1] == 4
    assert find_lookalikes(labeled, nearest, float(np.nextafter(limit, 0)), everyone) == ([], 0)


def test_double_names_alone_are_those_of_the_whole_examination() -> None:
    vectors, labels = made_people(20, 6)
    labels[:3] = 20
    labeled = labeled_of(vectors, labels)
    looked_at, duplicates = find_probable_duplicates(templates_of(labeled))
    assert tuple(duplicates) == examined(vectors, labels).duplicates != ()
    assert looked_at.names == labeled.names
    assert find_probable_duplicates(templates_of(labeled_of(*made_people(9, 1))))[1] == []


@pytest.mark.parametrize("seed", range(3))
def test_double_names_of_many_photos_are_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = made_people(20, 6, seed=seed)
    labels[:3], labels[60:63] = 20, 21
    templates = templates_of(labeled_of(vectors, labels))
    expected = find_probable_duplicates(templates)[1]
    monkeypatch.setattr(module, "_MANY", 1)
    monkeypatch.setattr(distances, "_NEAR_ROWS", 7)
    monkeypatch.setattr(distances, "_NEAR_COLUMNS", 9)
    found = find_probable_duplicates(templates)[1]
    names = [[(pair.first, pair.second) for pair in pairs] for pairs in (found, expected)]
    assert names[0] == names[1] != []
    assert [pair.probability for pair in found] == pytest.approx([pair.probability for pair in expected])


def test_rows_in_three_dimensions_are_refused() -> None:
    vectors, labels = made_people(4, 3)
    with pytest.raises(ValueError, match=r"got \(12, 32, 1\)"):
        examine(vectors[..., None], labels)
    with pytest.raises(ValueError, match=r"got \(12, 0\)"):
        examine(vectors[:, :0], labels)
