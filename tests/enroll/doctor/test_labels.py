from __future__ import annotations

import numpy as np
import pytest

from enroll.doctor.examine import Examination
from tests.enroll.doctor.people import DIM, examined, made_people, unit


def mislabeled(found: Examination) -> dict[int, int]:
    return {entry.row: entry.like for entry in found.judged.mislabeled}


@pytest.mark.parametrize(("people", "photos"), [(20, 6), (20, 3), (20, 2), (5, 4)])
def test_a_photo_given_to_someone_else_is_found(people: int, photos: int):
    vectors, labels = made_people(people, photos)
    wrong = [0, photos + 1] if photos > 2 else [0]
    given = labels.copy()
    given[wrong] = (labels[wrong] + 3) % people
    found = examined(vectors, given)
    assert mislabeled(found) == {row: labels[row] for row in wrong}
    assert all(entry.probability > 0.9 for entry in found.judged.mislabeled)
    assert found.judged.divided == ()


@pytest.mark.parametrize("photos", [1, 2, 3, 6])
def test_right_photos_are_not_suspected(photos: int):
    assert mislabeled(examined(*made_people(20, photos))) == {}


def test_several_wrong_photos_of_one_person_do_not_hide_each_other():
    vectors, labels = made_people(20, 8)
    given = labels.copy()
    given[[8, 9, 10]] = 0  # three of person 1 are said to be person 0, who has eight
    assert mislabeled(examined(vectors, given)) == {8: 1, 9: 1, 10: 1}


def test_wrong_photos_do_not_put_right_ones_under_suspicion():
    """Three of six: the right ones are near too few of the others, until the wrong ones are set aside."""
    vectors, labels = made_people(20, 6)
    given = labels.copy()
    given[[0, 1, 2]] = 19  # person 0 keeps three
    given[[6, 12, 18]] = 0
    found = examined(vectors, given)
    assert mislabeled(found) == {0: 0, 1: 0, 2: 0, 6: 1, 12: 2, 18: 3}
    assert found.judged.divided == ()


@pytest.mark.parametrize("own", [0, 0.5])
def test_one_poor_photo_does_not_spoil_a_person(own: float):
    """It looks like no one, or a little like them; the person's other photos are not blamed for it."""
    vectors, labels = made_people(20, 6)
    elsewhere = unit(np.random.default_rng(9).normal(size=(1, DIM)))
    vectors[7] = unit(elsewhere + own * vectors[8])[0]
    found = examined(vectors, labels)
    assert mislabeled(found) == {7: -1}
    assert found.judged.divided == ()


@pytest.mark.parametrize("photos", [2, 4])
def test_without_a_majority_no_photo_is_blamed(photos: int):
    vectors, labels = made_people(20, photos)
    other = made_people(20, photos, seed=8)[0]
    vectors[: photos // 2] = other[: photos // 2]  # half of person 0 is someone who is not enrolled
    found = examined(vectors, labels)
    assert mislabeled(found) == {}
    assert found.judged.divided == (0,)


def test_two_photos_that_were_swapped_between_two_people_who_have_no_others():
    """No one can say which two are wrong, but that two are."""
    vectors, labels = made_people(20, 2)
    given = labels.copy()
    given[[1, 14]] = 7, 0
    found = mislabeled(examined(vectors, given))
    assert sorted(given[row] for row in found) == [0, 7]
