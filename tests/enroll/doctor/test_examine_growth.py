from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.strangers import StrangerDistances
from enroll.calibration import calibrate
from enroll.distances import person_distances
from enroll.doctor import examine as module
from enroll.doctor.examine import forecast_fpir, fpir_at
from tests.enroll.doctor.people import examined, labeled_of, made_people


def test_fpir_in_another_gallery():
    assert fpir_at(0.01, 50, 50) == pytest.approx(0.01)
    assert fpir_at(0.01, 1, 2) == pytest.approx(1 - 0.99**2)
    assert fpir_at(fpir_at(0.01, 50, 700), 700, 50) == pytest.approx(0.01)
    assert fpir_at(0.01, 50, 10**9) == pytest.approx(1)


def test_an_uncalibrated_gallery_is_calibrated_for_the_question():
    vectors, labels = made_people(30, 4, noise=0.5)
    found = examined(vectors, labels).forecast
    assert found is not None and not found.calibrated
    assert found.threshold == calibrate(vectors, labels, 0.01).distance
    assert found.people == (30, 60, 150, 300, 3000)
    assert found.fpir[0] == pytest.approx(0.01)


def test_wrong_photos_do_not_count():
    vectors, labels = made_people(30, 4)
    given = labels.copy()
    given[0] = 7
    right = np.arange(len(labels)) != 0
    found = examined(vectors, given)
    assert found.forecast is not None
    assert found.forecast.threshold == calibrate(vectors[right], labels[right], 0.01).distance


def test_the_gallerys_own_calibration_counts_for_the_size_it_was_made_for():
    vectors, labels = made_people(30, 4)
    own = replace(calibrate(vectors, labels, 0.02), identities=15)
    found = forecast_fpir(labeled_of(vectors, labels), np.ones(120, bool), own, "grown")
    assert (found.calibrated, found.threshold, found.warning) == (True, own.distance, "grown")
    assert found.fpir[:2] == pytest.approx((1 - 0.98**2, 1 - 0.98**4))


def test_strangers_are_named_no_more_often_than_expected_when_the_gallery_grows(
    monkeypatch: pytest.MonkeyPatch,
):
    """Of many people some are drawn, for which the threshold is looked for."""
    monkeypatch.setattr(module, "_MOST_PEOPLE", 60)
    vectors, labels = made_people(1100, 3, noise=0.45, seed=2)
    small = labels < 100
    found = forecast_fpir(labeled_of(vectors[small], labels[small]), np.ones(300, bool), None, None)
    assert found.fpir[0] == pytest.approx(0.01)  # for all 100, not for the 60 that were drawn
    strangers = vectors[labels >= 600]
    for people, fpir in zip(found.people[:3], found.fpir, strict=False):
        gallery = labels < people
        nearest = person_distances(strangers, vectors[gallery], labels[gallery]).min(axis=1)
        named = float((nearest <= found.threshold).mean())
        assert named <= fpir
    assert named > 0  # at five times the people, so the bound was not an idle one


def test_too_few_people():
    vectors, labels = made_people(3, 4)
    with pytest.raises(UsageError, match="at least 4 people"):
        forecast_fpir(labeled_of(vectors, labels), np.ones(12, bool), None, None)
    found = examined(vectors, labels)
    assert found.forecast is None and "enroll more" in found.notes[0]


def test_one_person_has_what_is_known_and_no_photo_has_nothing():
    vectors, labels = made_people(1, 4)
    known = StrangerDistances(0.3, 0.03, -2.3, 0.1, -0.3, 0.2, 0.02, 0.01, 0.03, 6.0, 10, 100, 4)
    found = forecast_fpir(labeled_of(vectors, labels), np.ones(4, bool), None, None, known)
    assert found.threshold == pytest.approx(known.threshold(0.01, 1, 4))
    assert found.fpir[0] == pytest.approx(0.01)
    with pytest.raises(ValueError, match="at least one template"):
        forecast_fpir(labeled_of(vectors, labels), np.zeros(4, bool), None, None, known)
