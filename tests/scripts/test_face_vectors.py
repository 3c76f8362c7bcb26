from __future__ import annotations

import numpy as np
import pytest
from face_vectors import draw_many, likeness
from synthetic_people import Population

PEOPLE, PHOTOS, DIM = 30, 6, 12


@pytest.fixture(scope="module")
def some() -> tuple[np.ndarray, np.ndarray, Population]:
    """People who lie as the model says, in other proportions along each axis."""
    rng = np.random.default_rng(0)
    scale = np.linspace(1.0, 0.3, DIM)
    places = np.eye(DIM)[0] * 2 + rng.normal(size=(PEOPLE, 1, DIM)) * scale
    vectors = places + 0.3 * rng.normal(size=(PEOPLE, PHOTOS, DIM)) * scale
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).reshape(-1, DIM)
    labels = np.repeat(np.arange(PEOPLE), PHOTOS)
    return vectors.astype(np.float32), labels, Population.fit(vectors, labels)


def test_drawn_faces_are_unit_vectors_and_begin_alike(some, monkeypatch) -> None:
    monkeypatch.setattr("face_vectors._BLOCK", 16)
    many = draw_many(some[2], 40, 3, seed=1)
    assert many.dtype == np.float32
    assert many.shape == (40, 3, DIM)
    assert np.allclose(np.linalg.norm(many, axis=2), 1, atol=1e-6)
    assert np.array_equal(many[:32], draw_many(some[2], 32, 3, seed=1))
    assert not np.array_equal(many[0], draw_many(some[2], 1, 3, seed=2)[0])
    assert len(np.unique(many[:, 0, 0])) == 40  # no block repeats another


def test_drawn_distances_lie_like_those_they_were_fitted_to(some) -> None:
    rows = {(row["to"], row["faces"]): np.array(row["quantiles"]) for row in likeness(some[2], *some[:2], 0)}
    for to in ("the same person", "the nearest other person"):
        middle = rows[to, "real"][2:5]  # the outer quantiles of so few people say little
        assert np.abs(rows[to, "drawn"][2:5] - middle).max() < 0.15 * middle.max()
    assert rows["the same person", "drawn"][3] < rows["the nearest other person", "drawn"][3]
