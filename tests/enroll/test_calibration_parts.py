"""Numbers that a calibration can have, and which of its parts decides the threshold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from embedder.errors import UsageError
from embedder.metrics import threshold_at_fpir
from enroll.calibration import Calibration, calibrate, first_threshold
from enroll.distances import LogSums, person_distances
from enroll.near_people import NearPeople
from enroll.posterior import posterior_threshold
from tests.enroll.test_calibration import KNOWN, people

MADE = Calibration(0.5, 0.01, 0.95, 0, 10, 5, 0.4, 7, 21)
COUNTS = ("named", "searches", "strangers", "comparisons", "set_aside", "known_people", "known_sets")
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(COUNTS, (0, 2**53)),
    **dict.fromkeys(("identities", "templates"), (1, 2**53)),
    "distance": (-1e-9, 2),
    "target_fpir": (1e-6, 0.999),
    "confidence": (0.5, 1),
    "counted_bound": (0, 1),
    "agreement": (0, 1),
}
FAR = replace(  # distances of which few are below 2
    replace(KNOWN, mean=0.69, log_spread=1.0, skewness=0.0, shrink=0.0, freedom=1e6),
    **dict.fromkeys(("mean_sd", "log_spread_sd", "skewness_sd", "shrink_sd", "person_sd"), 0.0),
)


@pytest.mark.parametrize("name", RANGES)
def test_ends_of_a_range_are_within(name: str) -> None:
    wide = replace(MADE, searches=2**53)
    for end, way in zip(RANGES[name], (-1, 1), strict=True):
        assert getattr(replace(wide, **{name: end}), name) == end
        beyond = end + way if isinstance(getattr(MADE, name), int) else math.nextafter(end, way * math.inf)
        with pytest.raises(ValueError, match=f"calibration: {name}: expected"):
            replace(wide, **{name: beyond})


def test_no_more_are_named_than_searched_for() -> None:
    assert replace(MADE, named=10).named == 10
    with pytest.raises(ValueError, match="named: expected at most 10, got 11"):
        replace(MADE, named=11)


def test_what_is_not_known_is_nothing() -> None:
    for one in (MADE, calibrate(*people(8, 3), 0.01)):
        assert (one.set_aside, one.known_people, one.known_sets, one.agreement) == (0, 0, 0, 1.0)
    assert MADE.comparisons == 0
    assert not replace(MADE, agreement=0.01).contradicted
    assert replace(MADE, agreement=math.nextafter(0.01, 0)).contradicted


def test_what_is_known_and_what_is_seen_decide() -> None:
    vectors, labels = people(6, 3)
    sums = LogSums(labels, 6)
    sums.add(slice(0, 18), slice(0, 6), person_distances(vectors, vectors, labels))
    limit, agreement = posterior_threshold(sums, 0.01, KNOWN.prior(6, 3.0), KNOWN.person_sd)
    found = calibrate(vectors, labels, 0.01, known=KNOWN)
    assert (found.distance, found.agreement) == pytest.approx((limit, agreement), rel=1e-9)
    assert posterior_threshold(sums, 0.01, KNOWN.prior(6, 3.0), 0.0)[0] != pytest.approx(limit, rel=1e-6)
    limit, agreement = posterior_threshold(sums, 0.01, KNOWN.prior(50, 3.0), KNOWN.person_sd, people=50)
    first = first_threshold(vectors, labels, KNOWN, 0.01, 50, 3.0)
    assert first == (pytest.approx(limit), 90, pytest.approx(agreement))


def test_what_is_counted_decides_where_it_is_less() -> None:
    vectors, labels = people(6, 3, noise=1.0)
    sums = LogSums(labels, 6)
    distances = person_distances(vectors, vectors, labels)
    sums.add(slice(0, 18), slice(0, 6), distances)
    distances[np.arange(18), labels] = np.inf
    counted = threshold_at_fpir(distances.min(axis=1), 0.2)
    assert counted < posterior_threshold(sums, 0.2, KNOWN.prior(6, 3.0), KNOWN.person_sd)[0]
    assert first_threshold(vectors, labels, KNOWN, 0.2, 6, 3.0)[0] == pytest.approx(counted, rel=1e-12)


def test_no_threshold_is_above_the_largest_distance() -> None:
    vectors, labels = people(1, 3)
    assert FAR.prior(1, 3.0).lower_bound(2.0, 0.95) > 3
    assert calibrate(vectors, labels, 0.99, known=FAR).distance == 2
    assert first_threshold(vectors, labels, FAR, 0.99, 1, 3.0)[0] == 2


def test_three_people_who_are_compared_are_too_few() -> None:
    near = tuple(NearPeople(3, other, "people", ((12, 4 * other, 0.1),)) for other in range(3))
    with pytest.raises(UsageError, match="hardly anyone is left"):
        calibrate(*people(4, 4), 0.01, near=near)
