from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from enroll.doctor import evidence as module
from enroll.doctor.evidence import DistanceEvidence, LabeledTemplates, fit_evidence, typical_distances
from tests.enroll.doctor.people import evidence_of, labeled_of, made_people


def test_the_nearer_three_quarters_of_the_other_photos_count():
    labeled = labeled_of(*made_people(4, 6, noise=0.4))
    members = labeled.members(np.ones(24, bool))
    rows, people = np.divmod(np.arange(24 * 4), 4)
    for row, person, distance in zip(
        rows, people, typical_distances(labeled, members, rows, people), strict=True
    ):
        others = [other for other in np.flatnonzero(labeled.labels == person) if other != row]
        away = np.sort(np.linalg.norm(labeled.vectors[others].astype(float) - labeled.vectors[row], axis=1))
        near = away[: 4 if len(away) == 5 else 5]  # ⌈3/4 · 5⌉ and ⌈3/4 · 6⌉
        assert distance == pytest.approx(np.sqrt((near**2).mean()), abs=1e-6)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_photos_are_compared_with_some_of_the_people(first: int):
    labeled = labeled_of(*made_people(4, 6, noise=0.4))
    members = labeled.members(np.ones(24, bool))
    rows, people = np.arange(8), np.tile([first, 3], 4)
    together = typical_distances(labeled, members, rows, people)
    for row, person, distance in zip(rows, people, together, strict=True):
        assert typical_distances(labeled, members, np.array([row]), np.array([person])) == pytest.approx(
            [distance]
        )


def test_without_another_photo_there_is_no_distance():
    labeled = labeled_of(*made_people(3, 1))
    members = labeled.members(np.ones(3, bool))
    rows = np.arange(3)
    assert np.isnan(typical_distances(labeled, members, rows, rows)).all()
    assert not np.isnan(typical_distances(labeled, members, rows, (rows + 1) % 3)).any()
    assert len(typical_distances(labeled, members, rows[:0], rows[:0])) == 0


def test_whom_no_photo_stands_for_does_not_end_the_comparison():
    labeled = labeled_of(*made_people(3, 2))
    members = labeled.members(labeled.labels != 0)  # as when all photos of a person are suspected
    distances = typical_distances(labeled, members, np.array([0, 0]), np.array([0, 1]))
    assert np.isnan(distances).tolist() == [True, False]


spreads = st.floats(0.05, 1)


@given(st.floats(-2, -0.6), spreads, st.floats(-0.5, 0.5), spreads)
def test_nearer_never_speaks_less_for_the_person(same: float, a: float, other: float, b: float):
    evidence = DistanceEvidence(same, a, other, b)
    distances = np.exp(np.linspace(-7, 2, 200))
    assert (np.diff(evidence(distances)) <= 1e-9).all()
    between = np.exp(np.linspace(same, other, 9))
    expected = norm(same, a).logpdf(np.log(between)) - norm(other, b).logpdf(np.log(between))
    assert evidence(between) == pytest.approx(expected, abs=1e-6)


def test_what_lies_beyond_the_reach_says_less():
    for evidence in (DistanceEvidence(-1, 0.1, 0, 0.2), DistanceEvidence(-1, 0.2, 0, 0.1)):
        reach = evidence.reach(2.0)
        assert 0.3 < reach < 1
        assert evidence(np.array([reach - 1e-9, reach + 1e-9])).tolist() == pytest.approx([2, 2], abs=1e-6)
        assert evidence(np.array([reach + 1e-9]))[0] < 2 < evidence(np.array([reach - 1e-9]))[0]
    assert DistanceEvidence(-1, 0.1, 0, 0.2).reach(1e6) == 0


def test_no_distance_says_nothing():
    assert DistanceEvidence(-1, 0.1, 0, 0.2)(np.array([np.nan])).tolist() == [0]


def test_wrong_photos_do_not_change_what_is_learnt():
    vectors, labels = made_people(20, 6)
    clean = evidence_of(labeled_of(vectors, labels))
    wrong = labels.copy()
    wrong[::17] = (wrong[::17] + 3) % 20  # 6 %
    learnt = evidence_of(labeled_of(vectors, wrong))
    assert learnt.same == pytest.approx(clean.same, abs=0.05)
    assert learnt.same_spread == pytest.approx(clean.same_spread, rel=0.5)


@pytest.mark.parametrize(("people", "photos"), [(1, 9), (9, 1), (2, 2)])
def test_too_little_is_known(people: int, photos: int):
    labeled = labeled_of(*made_people(people, photos))
    everyone = np.ones(len(labeled.labels), bool)
    assert fit_evidence(labeled, labeled.members(everyone), everyone) is None


def test_a_model_that_tells_no_one_apart_is_no_evidence():
    near, far = np.full(9, 0.3), np.full(9, 0.6)
    assert DistanceEvidence.fit(near, far) is not None
    assert DistanceEvidence.fit(far, near) is None


def test_middle_and_spread_by_hand():
    """Of logarithms -3, -2, -1, 0, 4 the median is -1; they are off by 2, 1, 0, 1, 5, whose median is 1."""
    same = np.append(np.exp([-3.0, -2, -1, 0, 4]), np.nan)
    other = np.append(np.exp([3.0, 4, 5, 6, 10]), np.nan)
    learnt = DistanceEvidence.fit(same, other)
    assert learnt is not None
    found = (learnt.same, learnt.same_spread, learnt.other, learnt.other_spread)
    assert found == pytest.approx((-1, 1.4826, 5, 1.4826))
    assert DistanceEvidence.fit(same[1:], other) is None  # four are too few
    assert DistanceEvidence.fit(same, other[1:]) is None


def test_copies_have_a_distance_and_a_spread():
    learnt = DistanceEvidence.fit(np.zeros(5), np.full(5, 0.5))
    assert learnt == DistanceEvidence(*map(pytest.approx, (np.log(1e-3), 0.02, np.log(0.5), 0.02)))
    assert DistanceEvidence.fit(np.full(5, 0.5), np.full(5, 0.5)) is None
    assert learnt(np.array([0.0])) == learnt(np.array([1e-3]))


def test_beyond_the_turn_the_ratio_stays():
    """The ratio turns at ln d = (same a - other b) / (a - b); a and b are one over the variances."""
    narrow = DistanceEvidence(-1, 0.1, 0, 0.2)  # a = 100, b = 25: at -4/3
    assert narrow(np.exp([-4 / 3, -2, -5])) == pytest.approx([50 / 3 + np.log(2)] * 3)
    wide = DistanceEvidence(-1, 0.2, 0, 0.1)  # at 1/3
    assert wide(np.exp([1 / 3, 1, 3])) == pytest.approx([-50 / 3 - np.log(2)] * 3)
    alike = DistanceEvidence(-1, 0.1, 0, 0.1)  # a straight line
    assert alike(np.exp([-3.0, -1, -0.5, 0, 2])) == pytest.approx([250, 50, 0, -50, -250])


def test_what_is_learnt_is_from_own_photos_and_from_others():
    """With five photos that are all at one distance, and people who are all at another."""
    labeled = labeled_of(np.eye(10, dtype=np.float32), np.repeat([0, 1], 5))
    learnt = evidence_or_none(labeled, np.ones(10, bool))
    assert learnt is None  # everyone is as far as everyone else
    near = np.eye(10, dtype=np.float32)
    near[:5, 0] += 2
    near[5:, 5] += 2
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    labeled = labeled_of(near, np.repeat([0, 1], 5))
    kept = np.ones(10, bool)
    kept[[0, 5]] = False
    learnt = evidence_or_none(labeled, kept)
    assert learnt is not None
    # Rows 1 to 4 are (2, 1) / √5, with an axis of their own each: their squares are 2 - 2 * 4/5 apart.
    assert learnt.same == pytest.approx(np.log(np.sqrt(0.4)))
    assert learnt.other == pytest.approx(np.log(np.sqrt(2)))


def test_photos_are_compared_with_every_other_person_and_never_with_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labeled, compared = labeled_of(*made_people(4, 3)), []

    def recorded(
        labeled: LabeledTemplates, members: object, rows: NDArray[np.int64], people: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        compared.append({*zip(labeled.labels[rows].tolist(), people.tolist(), strict=True)})
        return np.zeros(len(rows))

    monkeypatch.setattr(module, "typical_distances", recorded)
    evidence_or_none(labeled, np.ones(12, bool))
    assert compared == [
        {(person, person) for person in range(4)},
        {(person, other) for person in range(4) for other in range(4) if other != person},
    ]


def evidence_or_none(labeled: LabeledTemplates, kept: NDArray[np.bool_]) -> DistanceEvidence | None:
    return fit_evidence(labeled, labeled.members(kept), kept)
