"""Templates for searches, and the definition of what is nearest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from enroll.decision import Candidate
from enroll.templates import Templates


def unit(rows: object) -> NDArray[np.float32]:
    vectors = np.array(rows, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_rows(seed: int, count: int, dim: int) -> NDArray[np.float32]:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def templates(names: list[str], vectors: NDArray[np.float32], first: int = 1) -> Templates:
    return Templates(np.arange(first, first + len(names)), np.array(names, object), vectors)


def part(of: Templates, rows: slice | NDArray[np.bool_]) -> Templates:
    return Templates(of.ids[rows], of.identities[rows], of.vectors[rows])


def ranked(searched: Templates, query: NDArray[np.float32]) -> list[tuple[float, str, int]]:
    """The definition: every template by distance, identity and id."""
    rows = []
    for key, identity, vector in zip(searched.ids, searched.identities, searched.vectors, strict=True):
        difference = vector.astype(np.float64) - query.astype(np.float64)
        rows.append((math.sqrt((difference**2).sum()), identity, int(key)))
    return sorted(rows)


def oracle(searched: Templates, query: NDArray[np.float32], people: int) -> list[Candidate]:
    """The first template of each identity."""
    found: list[Candidate] = []
    for distance, identity, _ in ranked(searched, query):
        if identity not in [candidate.identity for candidate in found]:
            found.append(Candidate(identity, distance))
    return found[:people]
