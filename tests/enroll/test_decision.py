from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enroll.decision import Candidate, Decision, decide, one_face_per_person

ADA, BOB, CLEO = Candidate("ada", 0.4), Candidate("bob", 0.5), Candidate("cleo", 0.9)


@st.composite
def ranked(draw: st.DrawFn) -> list[Candidate]:
    distances = draw(st.lists(st.floats(0, 2), max_size=5))
    return [Candidate(f"p{rank}", distance) for rank, distance in enumerate(sorted(distances))]


@pytest.mark.parametrize(
    ("candidates", "threshold", "margin", "identity", "reason"),
    [
        ([], 2.0, 0.0, None, "empty_gallery"),
        ([ADA, BOB], 0.6, 0.0, "ada", "match"),
        ([ADA, BOB], 0.4, 0.0, "ada", "match"),
        ([ADA, BOB], math.nextafter(0.4, 0), 0.0, None, "too_far"),
        ([Candidate("ada", 0.0)], 0.0, 0.0, "ada", "match"),
        ([Candidate("ada", math.nan)], 2.0, 0.0, None, "too_far"),
        ([ADA, BOB], 0.6, 0.2, None, "ambiguous"),
        ([Candidate("ada", 0.25), Candidate("bob", 0.5)], 0.6, 0.25, "ada", "match"),
        ([ADA, CLEO], 0.6, 0.2, "ada", "match"),
        ([ADA], 0.6, 2.0, "ada", "match"),
        ([ADA, BOB], 0.3, 0.2, None, "too_far"),
    ],
)
def test_rule(
    candidates: list[Candidate], threshold: float, margin: float, identity: str | None, reason: str
) -> None:
    decision = decide(candidates, threshold, margin)
    assert (decision.identity, decision.reason) == (identity, reason)


def test_decision_tells_what_it_rests_on() -> None:
    decision = decide([ADA, BOB], 0.3)
    assert (decision.distance, decision.threshold, decision.candidates) == (0.4, 0.3, (ADA, BOB))
    assert decide([], 0.3).distance is None


def test_the_second_person_is_the_next_candidate() -> None:
    assert decide([ADA, BOB, CLEO], 0.5).second == 0.5
    assert decide([ADA, CLEO], 0.5).second == 0.9
    assert decide([ADA], 0.5).second is None
    assert decide([], 0.5).second is None


def test_decision_keeps_its_own_candidates() -> None:
    candidates = [ADA]
    decision = decide(candidates, 0.5)
    candidates.clear()
    assert decision.candidates == (ADA,)


@given(ranked(), st.floats(0, 2), st.floats(0, 2))
def test_only_the_nearest_within_the_threshold_is_named(
    candidates: list[Candidate], threshold: float, margin: float
) -> None:
    decision = decide(candidates, threshold, margin)
    assert (decision.identity is not None) == (decision.reason == "match")
    if decision.identity is not None:
        assert decision.identity == candidates[0].identity
        assert candidates[0].distance <= threshold


@given(ranked(), st.floats(0, 2), st.floats(0, 2), st.floats(0, 2))
def test_a_wider_margin_only_takes_names_away(
    candidates: list[Candidate], threshold: float, one: float, other: float
) -> None:
    narrow, wide = (decide(candidates, threshold, margin) for margin in sorted((one, other)))
    assert wide.identity in (None, narrow.identity)


def face(*distances: float, names: str = "ab") -> Decision:
    return decide([Candidate(*pair) for pair in zip(names, distances, strict=False)], 0.5)


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_nearest_face_keeps_the_name(winner: int) -> None:
    faces = [face(0.2 if index == winner else 0.3, 0.4) for index in range(3)]
    answers = one_face_per_person(faces)
    assert [index for index, answer in enumerate(answers) if answer.identity == "a"] == [winner]
    assert answers[winner] == faces[winner]
    for before, after in zip(faces, answers, strict=True):
        if before is not faces[winner]:  # it does not become b, who is within the threshold too
            assert (after.identity, after.reason) == (None, "taken")
            assert (after.distance, after.candidates) == (before.distance, before.candidates)


def test_first_of_equally_near_faces_keeps_the_name() -> None:
    answers = one_face_per_person([face(0.3), face(0.3), face(0.3)])
    assert [(answer.identity, answer.reason) for answer in answers] == [
        ("a", "match"),
        (None, "taken"),
        (None, "taken"),
    ]


def test_faces_that_share_no_name_stay_as_they_are() -> None:
    unknown = [face(0.9), face(0.9), face(), decide([ADA, BOB], 0.6, 0.2)]
    named = [face(0.3), face(0.3, names="b"), face(0.0, names="c")]
    assert one_face_per_person(unknown + named) == unknown + named
    assert one_face_per_person([]) == []


def test_unknown_face_takes_no_name() -> None:
    too_close_to_call = decide([Candidate("a", 0.1), Candidate("b", 0.1)], 0.5, 0.2)
    faces = [too_close_to_call, face(0.3)]  # the nearer one is not named, so it holds nobody
    assert one_face_per_person(faces) == faces
