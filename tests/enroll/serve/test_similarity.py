from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.config import DetectorConfig
from embedder.faces.quality import Quality
from enroll.serve.similarity import COMPREFACE, DEEPSTACK, FARTHEST, Scale, box_of, probability

DISTANCE = st.floats(0, FARTHEST)
SCALES = pytest.mark.parametrize("scale", [COMPREFACE, DEEPSTACK], ids=["compreface", "deepstack"])
# What clients compare with by default: Viseron, Double-Take, the clients of DeepStack.
THRESHOLDS = {COMPREFACE: (0.4, 0.5, 0.6), DEEPSTACK: (0.4, 0.45, 0.55, 0.6, 0.67, 0.7)}


@SCALES
@given(distance=DISTANCE, threshold=DISTANCE)
def test_every_client_agrees_with_the_decision(scale: Scale, distance: float, threshold: float) -> None:
    accepted = distance <= threshold
    score = scale.score(distance, threshold, accepted)
    assert 0 <= score <= 1
    for limit in THRESHOLDS[scale]:
        assert (score > limit) == accepted


@SCALES
@given(first=DISTANCE, second=DISTANCE, threshold=DISTANCE)
def test_the_nearer_of_two_never_scores_less(
    scale: Scale, first: float, second: float, threshold: float
) -> None:
    near, far = sorted((first, second))
    assert scale.score(near, threshold, near <= threshold) >= scale.score(far, threshold, far <= threshold)


@SCALES
@given(distance=DISTANCE, threshold=DISTANCE)
def test_a_name_that_is_refused_though_it_is_near_scores_as_one_just_beyond(
    scale: Scale, distance: float, threshold: float
) -> None:
    """Ambiguous, or taken by another face of the picture."""
    refused = scale.score(distance, threshold, False)
    assert refused <= scale.refused
    assert refused >= scale.score(FARTHEST, threshold, False)


def test_the_ends() -> None:
    assert COMPREFACE.score(0, 1, True) == 1
    assert COMPREFACE.score(1, 1, True) == COMPREFACE.accepted
    assert COMPREFACE.score(1, 1, False) == COMPREFACE.refused
    assert COMPREFACE.score(2, 1, False) == 0
    assert COMPREFACE.score(0, 0, True) == COMPREFACE.accepted + (1 - COMPREFACE.accepted)
    assert COMPREFACE.score(2, 2, True) == COMPREFACE.accepted


def _quality(score: float) -> Quality:
    return Quality(80, 1, 0.3, 0.5, 0, 0, score)


def test_whatever_we_take_for_a_face_passes_the_cut_of_double_take() -> None:
    cut = DetectorConfig.score
    assert probability(_quality(cut)) == 0.8
    assert probability(_quality(1.0)) == 1.0
    assert 0.8 < probability(_quality((1 + cut) / 2)) < 1.0
    assert probability(None) == 1.0


def test_a_picture_that_is_one_sample_is_one_face() -> None:
    box = box_of(None, None, (40, 30))
    assert (box["x_min"], box["y_min"], box["x_max"], box["y_max"]) == (0, 0, 30, 40)
    box = box_of((5, 6, 10, 20), _quality(1.0), (40, 30))
    assert (box["x_min"], box["y_min"], box["x_max"], box["y_max"]) == (5, 6, 15, 26)
