"""Small made-up galleries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIM = 6


def unit(rows: object) -> NDArray[np.float32]:
    vectors = np.array(rows, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_rows(seed: int, count: int, dim: int = DIM) -> NDArray[np.float32]:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


@dataclass(frozen=True)
class Made:
    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    cohort: NDArray[np.float32]
    queries: NDArray[np.float32]


def made(seed: int = 0, people: int = 4, each: int = 3, spread: float = 0.5) -> Made:
    """People around random directions; their numbers are not 0, 1, 2, and their rows are mixed."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(people, DIM))
    labels = np.repeat(np.arange(people) * 7 - 5, each)
    vectors = unit(np.repeat(middles, each, axis=0) + spread * rng.normal(size=(people * each, DIM)))
    near = unit(middles + spread * rng.normal(size=middles.shape))
    order = rng.permutation(len(labels))
    queries = np.concatenate([near, random_rows(seed + 1, 5)])
    return Made(vectors[order], labels[order], random_rows(seed + 2, 9), queries)
