"""Thresholds of scores that are no distances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from embedder.errors import UsageError
from embedder.metrics import upper_bound
from enroll import score_calibration
from enroll.calibration import empirical_threshold
from enroll.score_calibration import calibrate_scores
from enroll.scoring.margin import Margin
from enroll.scoring.mean import Mean
from tests.enroll.doctor.people import made_people

VECTORS, LABELS = made_people(14, 4, noise=0.3)
X, Y = VECTORS[:40], LABELS[:40]
STRANGERS, WHOSE = VECTORS[40:], LABELS[40:]


def scores_of_others(rule: Mean | Margin) -> np.ndarray:
    """Each photo's score with its own person left out."""
    return np.array(
        [rule.fit(X[own != Y], Y[own != Y]).scores(row[None]).min() for row, own in zip(X, Y, strict=True)]
    )


@pytest.mark.parametrize("rule", [Mean(), Margin()])
@pytest.mark.parametrize("fpir", [0.05, 0.3])
def test_the_threshold_is_what_counting_allows(rule: Mean | Margin, fpir: float) -> None:
    found = calibrate_scores(rule, X, Y, fpir)
    scores = scores_of_others(rule)
    assert found.threshold == pytest.approx(empirical_threshold(scores, fpir), rel=1e-9)
    named = scores <= found.threshold
    people = len(np.unique(Y[named]))
    assert (found.named, found.searches, found.strangers) == (named.sum(), 40, 10)
    assert found.counted_bound == upper_bound(people, 10)
    assert found.confidence == pytest.approx(beta.cdf(fpir, people + 1, 10 - people))
    assert (found.identities, found.templates, found.target_fpir) == (10, 40, fpir)


def test_strangers_are_searched_for_among_all() -> None:
    alone, helped = (calibrate_scores(Mean(), X, Y, 0.3, *more) for more in ((), (STRANGERS, WHOSE)))
    assert (helped.searches, helped.strangers) == (56, 14)
    own = Mean().fit(X, Y).scores(STRANGERS).min(axis=1)
    every = np.concatenate([scores_of_others(Mean()), own])
    assert helped.threshold == pytest.approx(empirical_threshold(every, 0.3), rel=1e-9) != alone.threshold


def test_of_very_many_people_some_are_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_calibration, "_MOST_PEOPLE", 6)
    found = [calibrate_scores(Mean(), X, Y, 0.1, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2] and found[0].strangers == 6


def test_who_cannot_be_searched_for_is_refused() -> None:
    with pytest.raises(UsageError, match=r"calibrating needs at least 2 people, or strangers; got 1 person"):
        calibrate_scores(Mean(), X[:4], Y[:4], 0.1)
    with pytest.raises(ValueError, match="needs a second person"):
        calibrate_scores(Margin(), X[:8], Y[:8], 0.1)
    assert calibrate_scores(Mean(), X[:4], Y[:4], 0.1, STRANGERS, WHOSE).strangers == 4


def test_everyone_named_is_no_confidence() -> None:
    assert calibrate_scores(Mean(), X, Y, 0.999).confidence == 0.0
