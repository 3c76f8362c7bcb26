from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.errors import UsageError
from embedder.moments import Moments
from embedder.stranger_fit import fit_strangers
from embedder.strangers import StrangerDistances
from enroll.calibration import Probes, calibrate
from enroll.distances import LeftOut
from enroll.near_people import NearPeople, pairs_of, robust_moments
from tests.enroll.test_calibration import people


def known(seed: int = 100) -> StrangerDistances:
    found = fit_strangers([people(60, 4, seed)])
    assert found is not None
    return found


KNOWN = known()


def near(
    vectors: NDArray, labels: NDArray, prior: StrangerDistances | None, *others: Any
) -> tuple[NearPeople, ...]:
    return Probes.of(vectors, labels, *others).near_people(prior)


@pytest.mark.parametrize("prior", [KNOWN, None])
@pytest.mark.parametrize("seed", range(5))
def test_nobody_is_near_in_a_clean_gallery(prior: StrangerDistances | None, seed: int) -> None:
    assert near(*people(12, 4, seed), prior) == ()


@pytest.mark.parametrize("prior", [KNOWN, None])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_photo_under_another_name(prior: StrangerDistances | None, size: int) -> None:
    if prior is None and size < 8:
        return
    vectors, labels = people(size, 4)
    mixed = labels.copy()
    mixed[3] = 1  # the last photo of person 0
    (found,) = near(vectors, mixed, prior)
    assert (found.first, found.second, found.kind) == (1, 0, "photo")
    distances = [np.linalg.norm(vectors[3] - vectors[row]) for row in range(3)]
    ((row, like, distance),) = found.photos
    assert (row, like) == (3, int(np.argmin(distances)))
    assert distance == pytest.approx(min(distances), abs=1e-6)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_same_picture_under_two_names(noise: float) -> None:
    vectors, labels = people(6, 3)
    copy = vectors[[4]] + noise * np.random.default_rng(0).normal(size=(1, 40)) / math.sqrt(40)
    vectors = np.concatenate([vectors, copy / np.linalg.norm(copy)]).astype(np.float32)
    (found,) = near(vectors, np.append(labels, 3), KNOWN)
    assert (found.first, found.second, found.kind) == (3, 1, "copy")
    assert found.photos[0][:2] == (18, 4) and found.photos[0][2] <= 2 * noise


def test_one_person_under_two_names() -> None:
    vectors, labels = people(8, 6)
    halves = labels.copy()
    halves[:3] = 8
    (found,) = near(vectors, halves, KNOWN)
    assert (found.first, found.second, found.kind) == (0, 8, "people")
    assert [row for row, _, _ in found.photos] != [] and {row for row, _, _ in found.photos} <= {3, 4, 5}
    distances = [distance for _, _, distance in found.photos]
    assert distances == sorted(distances)


def test_stranger_who_is_enrolled() -> None:
    vectors, labels = people(7, 4)
    enrolled, given = labels < 6, np.r_[0:2, 24:28]
    (found,) = near(vectors[2:24], labels[2:24], KNOWN, vectors[given], np.array([9, 9, 5, 5, 5, 5]))
    assert enrolled.sum() == 24
    # Strangers come behind the six people, in the order of their labels: 5, then 9.
    assert {found.first, found.second} == {0, 7}
    row, like, _ = found.photos[0]
    assert {row, like} <= {0, 1, 22, 23} and (row < 22) != (like < 22)


def test_gallery_of_another_kind_is_no_gallery_of_twins() -> None:
    """All people resemble each other: what the model is known for is contradicted, nobody is set aside."""
    rng = np.random.default_rng(0)
    vectors, labels = people(20, 3)
    shifted = vectors + 3 * rng.normal(size=40) / math.sqrt(40)
    shifted = (shifted / np.linalg.norm(shifted, axis=1, keepdims=True)).astype(np.float32)
    assert near(shifted, labels, KNOWN) == ()
    promise = calibrate(shifted, labels, 0.01, known=KNOWN)
    assert promise.contradicted and promise.agreement < 0.01
    assert promise.distance < 0.6 * calibrate(vectors, labels, 0.01, known=KNOWN).distance
    assert not calibrate(vectors, labels, 0.01, known=KNOWN).contradicted


def test_all_photos_the_same() -> None:
    vectors = np.tile(np.float32([1, 0]), (12, 1))
    for prior in (KNOWN, None):
        with pytest.raises(UsageError, match="the same vector"):
            near(vectors, np.repeat(np.arange(6), 2), prior)


def test_one_person_is_near_no_one() -> None:
    assert near(*people(1, 5), KNOWN) == ()


def test_robust_moments_is_moved_by_a_shift_and_not_by_a_few() -> None:
    prior = Moments(np.array([0.3, math.log(0.05), -0.4]), np.diag([0.02, 0.1, 0.2]) ** 2, 6.0)
    logs = np.random.default_rng(0).normal(0.31, 0.05, 300)
    clean = robust_moments(logs, 0.5, prior)[:2]
    assert clean == pytest.approx((0.31, 0.05), abs=0.01)
    mixed = np.concatenate([logs, np.linspace(-2, -0.5, 30)])
    assert robust_moments(mixed, 0.5, prior)[:2] == pytest.approx(clean, abs=0.003)
    assert robust_moments(logs - 0.5, 0.5, prior)[:2] == pytest.approx((-0.19, 0.05), abs=0.02)
    assert robust_moments(np.array([-0.5]), 1.0, prior)[0] == pytest.approx(0.3, abs=1e-3)
    few = robust_moments(np.array([0.34]), 1.0, prior)[0]
    assert 0.3 < few < 0.34  # between what is known and what is seen


def test_robust_skewness_is_a_deviation_lower() -> None:
    prior = Moments(np.array([0.3, math.log(0.05), -0.4]), np.diag([0.02, 0.1, 0.2]) ** 2, 6.0)
    logs = np.random.default_rng(0).normal(0.3, 0.05, 600)
    mean, spread, found = robust_moments(logs, 0.5, prior)
    bent = ((logs - mean) ** 3).mean() / spread**3
    expected = (25 * -0.4 + 50 * bent) / 75 - 75**-0.5
    assert found == pytest.approx(expected, abs=0.04)
    unsure = Moments(prior.values, np.diag([0.02, 0.1, 3.0]) ** 2, 6.0)
    assert robust_moments(np.array([0.34]), 1.0, unsure)[2] == -1.0


def test_left_out() -> None:
    owners = np.array([2, 0, 0, 3, 1])
    left_out = LeftOut.of(owners, 3, np.array([[0, 1], [3, 0]]))
    cells = set(zip(left_out.rows.tolist(), left_out.people.tolist(), strict=True))
    assert cells == {(0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (4, 0), (4, 1)}
    rows, columns = left_out.within(slice(1, 4), slice(1, 3))
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (1, 0)]
    assert pairs_of(()).shape == (0, 2)
