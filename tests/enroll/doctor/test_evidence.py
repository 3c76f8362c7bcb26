from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from enroll.doctor.evidence import Evidence, learn, typical_distances
from tests.enroll.doctor.people import crowd_of, evidence_of, made_people


def test_the_nearer_three_quarters_of_the_other_photos_count():
    crowd = crowd_of(*made_people(4, 6, noise=0.4))
    members = crowd.members(np.ones(24, bool))
    rows, people = np.divmod(np.arange(24 * 4), 4)
    for row, person, distance in zip(
        rows, people, typical_distances(crowd, members, rows, people), strict=True
    ):
        others = [other for other in np.flatnonzero(crowd.labels == person) if other != row]
        away = np.sort(np.linalg.norm(crowd.vectors[others].astype(float) - crowd.vectors[row], axis=1))
        near = away[: 4 if len(away) == 5 else 5]  # ⌈3/4 · 5⌉ and ⌈3/4 · 6⌉
        assert distance == pytest.approx(np.sqrt((near**2).mean()), abs=1e-6)


def test_without_another_photo_there_is_no_distance():
    crowd = crowd_of(*made_people(3, 1))
    members = crowd.members(np.ones(3, bool))
    rows = np.arange(3)
    assert np.isnan(typical_distances(crowd, members, rows, rows)).all()
    assert not np.isnan(typical_distances(crowd, members, rows, (rows + 1) % 3)).any()
    assert len(typical_distances(crowd, members, rows[:0], rows[:0])) == 0


spreads = st.floats(0.05, 1)


@given(st.floats(-2, -0.6), spreads, st.floats(-0.5, 0.5), spreads)
def test_nearer_never_speaks_less_for_the_person(same: float, a: float, other: float, b: float):
    evidence = Evidence(same, a, other, b)
    distances = np.exp(np.linspace(-7, 2, 200))
    assert (np.diff(evidence(distances)) <= 1e-9).all()
    between = np.exp(np.linspace(same, other, 9))
    expected = norm(same, a).logpdf(np.log(between)) - norm(other, b).logpdf(np.log(between))
    assert evidence(between) == pytest.approx(expected, abs=1e-6)


def test_no_distance_says_nothing():
    assert Evidence(-1, 0.1, 0, 0.2)(np.array([np.nan])).tolist() == [0]


def test_wrong_photos_do_not_change_what_is_learnt():
    vectors, labels = made_people(20, 6)
    clean = evidence_of(crowd_of(vectors, labels))
    wrong = labels.copy()
    wrong[::17] = (wrong[::17] + 3) % 20  # 6 %
    learnt = evidence_of(crowd_of(vectors, wrong))
    assert learnt.same == pytest.approx(clean.same, abs=0.05)
    assert learnt.same_spread == pytest.approx(clean.same_spread, rel=0.5)


@pytest.mark.parametrize(("people", "photos"), [(1, 9), (9, 1), (2, 2)])
def test_too_little_is_known(people: int, photos: int):
    crowd = crowd_of(*made_people(people, photos))
    everyone = np.ones(len(crowd.labels), bool)
    assert learn(crowd, crowd.members(everyone), everyone) is None


def test_a_model_that_tells_no_one_apart_is_no_evidence():
    near, far = np.full(9, 0.3), np.full(9, 0.6)
    assert Evidence.learn(near, far) is not None
    assert Evidence.learn(far, near) is None
