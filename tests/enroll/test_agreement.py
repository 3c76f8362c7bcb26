"""Several frames of one person to one answer."""

from __future__ import annotations

import numpy as np
import pytest

from enroll.agreement import MEAN_OF, Evidence, agree
from enroll.decision import Candidate, Decision, decide

ADA, BOB = Candidate("ada", 0.5), Candidate("bob", 1.2)
NAMED = decide([ADA, BOB], 1.0)
FAR = decide([Candidate("ada", 1.3), BOB], 1.0)
OTHER = decide([Candidate("bob", 0.7), Candidate("ada", 1.2)], 1.0)


def axis(index: int, dim: int = 4) -> np.ndarray:
    return np.eye(dim, dtype=np.float32)[index]


def seen(*frames: tuple[Decision, bool]) -> Evidence:
    evidence = Evidence()
    for decision, good in frames:
        evidence.add(axis(0), decision, 1.0, good)
    return evidence


@pytest.mark.parametrize(
    ("frames", "least", "identity", "reason", "agreed", "against"),
    [
        ([(NAMED, True)] * 2, 2, "ada", "match", 2, 0),
        ([(NAMED, True)], 2, None, "few_frames", 1, 0),
        ([(NAMED, True)], 1, "ada", "match", 1, 0),
        ([(NAMED, True), (NAMED, False)], 2, None, "few_frames", 1, 0),  # a poor frame does not count
        ([(NAMED, False)] * 9, 2, None, "few_frames", 0, 0),
        ([(NAMED, True)] * 3 + [(OTHER, True)], 2, "ada", "match", 3, 1),
        ([(NAMED, True)] * 3 + [(OTHER, True)] * 2, 2, None, "disputed", 3, 2),
        ([(NAMED, True)] * 3 + [(OTHER, False)] * 2, 2, "ada", "match", 3, 0),
        ([(NAMED, True)] * 2 + [(FAR, True)] * 4, 2, "ada", "match", 2, 0),  # a third of them
        ([(NAMED, True)] * 2 + [(FAR, True)] * 5, 2, None, "few_frames", 2, 0),
        ([(NAMED, True)] * 2 + [(FAR, False)] * 50, 2, "ada", "match", 2, 0),
    ],
)
def test_a_name_takes_good_frames_that_agree(frames, least, identity, reason, agreed, against):
    answer = agree(seen(*frames), NAMED, least)
    assert (answer.decision.identity, answer.decision.reason) == (identity, reason)
    assert (answer.frames, answer.good) == (len(frames), sum(good for _, good in frames))
    assert (answer.agreed, answer.against) == (agreed, against)
    assert answer.decision.candidates == NAMED.candidates


def test_frames_that_name_someone_do_not_name_a_mean_that_is_too_far():
    answer = agree(seen(*[(NAMED, True)] * 4, (FAR, True)), FAR, 2)
    assert (answer.decision.identity, answer.decision.reason) == (None, "too_far")
    assert (answer.agreed, answer.against) == (1, 4)  # one of five says unknown, as all together do


def test_the_mean_is_of_the_best_good_frames():
    evidence = Evidence()
    evidence.add(axis(3), FAR, 100.0, good=False)
    assert np.allclose(evidence.mean(), axis(3))  # nothing else is known
    evidence.add(axis(0), NAMED, 3.0, good=True)
    evidence.add(axis(1), NAMED, 1.0, good=True)
    assert np.allclose(evidence.mean(), np.array([3, 1, 0, 0]) / np.sqrt(10), atol=1e-6)
    for _ in range(MEAN_OF):
        evidence.add(axis(2), NAMED, 5.0, good=True)
    assert np.allclose(evidence.mean(), axis(2))
    assert (evidence.frames, evidence.good) == (3 + MEAN_OF, 2 + MEAN_OF)


def test_weights_of_nothing_and_opposite_vectors_still_have_a_mean():
    evidence = Evidence()
    evidence.add(axis(0), NAMED, 0.0, good=True)
    evidence.add(-axis(0), NAMED, 0.0, good=True)
    assert np.allclose(np.linalg.norm(evidence.mean()), 1)
    with pytest.raises(ValueError, match="at least one frame"):
        Evidence().mean()


def test_memory_does_not_grow_with_the_frames():
    evidence = seen(*[(NAMED, True)] * 500)
    assert len(evidence._best) == MEAN_OF and evidence.frames == 500


def test_two_appearances_count_together():
    one, other = seen((NAMED, True)), seen((NAMED, True), (OTHER, True), (FAR, False))
    one.include(other)
    answer = agree(one, NAMED, 2)
    assert (answer.frames, answer.good, answer.agreed, answer.against) == (4, 3, 2, 1)
    assert answer.decision.reason == "disputed"
