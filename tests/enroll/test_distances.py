"""Which photos are compared, and pairs of photos that are near each other, by products in float32."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.moments import Moments
from enroll import distances, near_people
from enroll.distances import LeftOut, near_pairs
from tests.enroll.test_near_people import GALLERIES, KNOWN, near, people


@pytest.mark.parametrize(("rows", "columns"), [(512, 4096), (7, 5), (5, 7)])
@pytest.mark.parametrize("enrolled", [60, 40, 33])
@pytest.mark.parametrize("place", [300, 800, 2500])
def test_near_pairs_are_what_all_distances_give(
    rows: int, columns: int, enrolled: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "_NEAR_ROWS", rows)
    monkeypatch.setattr(distances, "_NEAR_COLUMNS", columns)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 5))
    vectors *= rng.uniform(0.95, 1.05, (60, 1)) / np.linalg.norm(vectors, axis=1, keepdims=True)
    photos, owners = vectors.astype(np.float32), rng.integers(0, 12, 60)
    apart = np.linalg.norm(photos[:, None].astype(float) - photos[None], axis=2)
    limit = float(np.sort(apart.ravel())[place])  # so far apart are two of them; 0.7, 1.1 and 1.6
    found = {
        frozenset(pair)
        for first, second in near_pairs(photos, owners, enrolled, limit)
        for pair in zip(first.tolist(), second.tolist(), strict=True)
    }
    assert found == {
        frozenset((i, j))
        for i in range(60)
        for j in range(enrolled)
        if owners[i] != owners[j] and apart[i, j] <= limit
    }
    assert len(found) > 50


def test_left_out() -> None:
    owners = np.array([2, 0, 0, 3, 1, 4])
    left_out = LeftOut.of(owners, 3, np.array([[0, 1], [3, 0], [4, 1], [2, 0]]))
    cells = sorted(zip(left_out.rows.tolist(), left_out.people.tolist(), strict=True))
    of_people = [(0, 2), (0, 0), *((row, person) for row in (1, 2) for person in (0, 1, 2)), (4, 0), (4, 1)]
    assert cells == sorted([*of_people, (3, 0), (5, 1)])  # of the strangers 3 and 4
    assert left_out.rows.tolist() == sorted(left_out.rows)
    rows, columns = left_out.within(slice(1, 4), slice(1, 3))
    here = sorted(zip(rows.tolist(), columns.tolist(), strict=True))
    assert here == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_near_people_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, owners, _ = GALLERIES["shared"]
    at_once = near(vectors, owners, None)
    monkeypatch.setattr(distances, "_NEAR_ROWS", 7)
    monkeypatch.setattr(distances, "_NEAR_COLUMNS", 5)
    assert near(vectors, owners, None) == at_once
    assert len(at_once) > 2


def test_some_people_say_how_far_strangers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = people(40, 4)
    vectors[5] = vectors[100]
    everyone = near(vectors, labels, KNOWN)
    seen: list[NDArray[np.float64]] = []
    whole = near_people.robust_moments

    def listening(logs: NDArray[np.float64], weight: float, prior: Moments) -> tuple[float, float, float]:
        seen.append(logs)
        return whole(logs, weight, prior)

    monkeypatch.setattr(near_people, "robust_moments", listening)
    monkeypatch.setattr(near_people, "_MOST_PEOPLE", 25)
    assert near(vectors, labels, KNOWN) == everyone != ()
    (logs,) = seen
    assert len(logs) == 160 * 25 - 25 * 4  # without each photo's distance to its own person
    assert (logs < np.log(0.02)).sum() <= 2  # of the copies alone
