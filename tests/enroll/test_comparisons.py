"""Distances that a calibration rests on, counted."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from embedder.moments import Moments
from enroll.calibration import calibrate
from enroll.comparisons import compare, expected_shares
from enroll.probes import Probes
from tests.conftest import TOY_STRANGERS
from tests.enroll.doctor.people import made_people


def test_all_are_counted_once():
    vectors, labels = made_people(8, 3)
    own = labels < 5
    given = vectors[own], labels[own], vectors[~own], labels[~own]
    found = compare(Probes.of(*given), 0.01, TOY_STRANGERS)
    assert found.set_aside.sum() == 0
    assert (found.enrolled.sum(), found.strangers.sum()) == (5 * 3 * 4, 3 * 3 * 5)
    distances = np.linalg.norm(vectors[:, None] - vectors[own][None], axis=2)
    distances[labels[:, None] == labels[own][None]] = np.inf
    of_people = distances.reshape(len(vectors), 5, 3).min(axis=2)
    counts = np.histogram(of_people[np.isfinite(of_people)], found.edges)[0]
    assert (found.enrolled + found.strangers).tolist() == counts.tolist()
    assert found.nearest == pytest.approx(np.sort(of_people.min(axis=1)), abs=1e-6)


def test_they_are_those_of_the_calibration():
    vectors, labels = made_people(8, 4)
    labels[:2] = 8  # half of the photos of one person under another name
    found = compare(Probes.of(vectors, labels), 0.01, TOY_STRANGERS)
    calibration = calibrate(vectors, labels, 0.01, known=TOY_STRANGERS)
    assert calibration.set_aside == 1 and found.set_aside.sum() > 0
    assert found.enrolled.sum() == calibration.comparisons
    assert len(found.nearest) == calibration.searches
    assert (found.nearest <= calibration.distance).sum() == calibration.named
    assert found.counted_threshold >= calibration.distance


def test_nothing_is_known_and_no_one_else_is_there():
    vectors, labels = made_people(1, 3)
    found = compare(Probes.of(vectors, labels), 0.01, None)
    assert found.known is None and found.enrolled.sum() == 0
    assert found.counted_threshold == float("inf")


def test_what_is_known_is_a_distribution():
    known = Moments(np.array([np.log(1.2), np.log(0.1), 0.0]), np.eye(3), 10.0)
    shares = expected_shares(known)
    edges = np.linspace(0, 2, len(shares) + 1)
    assert shares.sum() == pytest.approx(1, abs=1e-3) and (shares >= 0).all()
    for below in (0.9, 1.0, 1.1):
        expected = NormalDist(np.log(1.2), 0.1).cdf(np.log(below))
        assert shares[edges[1:] <= below + 1e-9].sum() == pytest.approx(expected, abs=2e-3)
