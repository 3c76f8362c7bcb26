"""Pairs of photos that are near each other, by products in float32."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.moments import Moments
from enroll import distances, near_people
from enroll.distances import near_pairs
from tests.enroll.test_near_people import KNOWN, near, people


@pytest.mark.parametrize(("rows", "columns"), [(512, 4096), (7, 5), (5, 7)])
@pytest.mark.parametrize("enrolled", [60, 40, 33])
def test_near_pairs_are_what_all_distances_give(
    rows: int, columns: int, enrolled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "_NEAR_ROWS", rows)
    monkeypatch.setattr(distances, "_NEAR_COLUMNS", columns)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photos, owners = vectors.astype(np.float32), rng.integers(0, 12, 60)
    apart = np.linalg.norm(photos[:, None].astype(float) - photos[None], axis=2)
    limit = float(np.sort(apart.ravel())[800])  # so far apart are two of them
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
