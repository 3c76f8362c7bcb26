from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enroll.decision import Candidate, decide

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
