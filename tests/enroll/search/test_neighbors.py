"""Search by scikit-learn alone gives what brute force gives, at any scale, dense and sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from enroll.search.base import nearest_people, nearest_templates
from enroll.search.neighbors import NeighborsIndex


def made(scale: float, dtype: Any, shift: float = 0.0) -> tuple[Any, Any, Any]:
    """Rows near each other, so that rounding would order them wrongly, and copies."""
    rng = np.random.default_rng(4)
    base = rng.normal(size=(6, 40)) + shift
    rows = base[rng.integers(0, 6, 200)] + rng.normal(size=(200, 40)) * 1e-6
    rows[50:70] = rows[:20]
    names = np.array([f"p{number:02d}" for number in rng.integers(0, 25, 200)], object)
    return (scale * rows).astype(dtype), names, (scale * base).astype(dtype)


def brute(rows: Any, names: Any, query: Any) -> list[tuple[float, str, int]]:
    away = rows.astype(np.float64) - query
    distances = np.sqrt((away**2).sum(axis=1))
    return sorted((float(one), names[row], row) for row, one in enumerate(distances))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-4, 0.0), (1e5, 0.0), (1.0, 1e3)])
def test_results_are_exact_and_in_order(kind: Any, dtype: Any, scale: float, shift: float) -> None:
    rows, names, queries = made(scale, dtype, shift)
    search_index = NeighborsIndex(kind(rows), names)
    assert (search_index.templates, search_index.people) == (200, 25)
    for query, found in zip(queries, nearest_templates(search_index, queries, 30), strict=True):
        expected = brute(rows, names, query)[:30]
        assert [(one.distance, one.identity, one.template) for one in found] == expected
    for query, found in zip(queries, nearest_people(search_index, queries, 7), strict=True):
        nearest: dict[str, float] = {}
        for distance, name, _ in brute(rows, names, query):
            nearest.setdefault(name, distance)
        assert [(one.identity, one.distance) for one in found] == list(nearest.items())[:7]


def test_all_can_be_asked_for() -> None:
    rows, names, queries = made(1.0, np.float64)
    search_index = NeighborsIndex(rows[:9], names[:9])
    assert len(nearest_templates(search_index, queries, 50)[0]) == 9
