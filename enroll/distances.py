"""Compute distances of photos to people in blocks, and sums for a model of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import pair_distances, squared_distances
from embedder.moments import NO_DISTANCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ROWS_AT_ONCE, _PHOTOS_AT_ONCE = 512, 8192  # 4 million distances in memory, however many people there are
_NEAR_ROWS, _NEAR_COLUMNS = 512, 4096  # products at a time, 8 MB: they fit into a core's cache
_POWERS = 4  # of the logarithms, from 0 to 3


def person_distances(
    probes: NDArray[np.float32], vectors: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute the distance of each probe to the nearest template of each person.

    Args:
        probes: (p, dim) float32 unit rows.
        vectors: (n, dim) float32 unit rows, the templates.
        labels: (n,) int, their people, from 0 without a gap.

    Returns:
        (p, people) float64.
    """
    result = np.empty((len(probes), len(np.unique(labels))))
    for rows, columns, distances in blocks_of_people(probes, vectors, labels):
        result[rows, columns] = distances
    return result


def blocks_of_people(
    probes: NDArray[np.float32], vectors: NDArray[np.float32], labels: NDArray[np.integer]
) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Yield the values of `person_distances` in blocks, each with its rows and columns.

    Args:
        probes: (p, dim) float32 unit rows.
        vectors: (n, dim) float32 unit rows, the templates.
        labels: (n,) int, their people, from 0 without a gap.
    """
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    first = 0
    while first < len(starts):
        # People whose photos fit, one of them at least.
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + _PHOTOS_AT_ONCE, "right")))
        theirs = vectors[order[starts[first] : ends[last - 1]]]
        for row in range(0, len(probes), _ROWS_AT_ONCE):
            rows = slice(row, min(row + _ROWS_AT_ONCE, len(probes)))
            squared = squared_distances(probes[rows], theirs)
            nearest = np.minimum.reduceat(squared, starts[first:last] - starts[first], axis=1)
            yield rows, slice(first, last), np.sqrt(nearest)
        first = last


def near_pairs(
    probes: NDArray[np.float32], owners: NDArray[np.integer], enrolled: int, limit: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Find pairs of photos of two people that are within a distance, block by block.

    Products in float32 rule out nearly all pairs; where their rounding could matter, distances in float64
    decide.

    Args:
        probes: (n + m, dim) float32 rows about 1 long: templates, then photos that are compared with these
            alone.
        owners: (n + m,) int, the person of each.
        enrolled: n.
        limit: the distance.

    Yields:
        Rows of both photos, (pairs,) each; a pair may come twice.
    """
    squares = np.vecdot(probes, probes)
    least = (squares[:enrolled].min() + squares.min() - limit**2) / 2
    # A sum of n products is off by at most n half roundings of the product of both lengths.
    least -= (probes.shape[1] + 8) * np.finfo(np.float32).eps * squares.max()
    memory = np.empty(_NEAR_ROWS * _NEAR_COLUMNS, np.float32)  # new memory takes as long as the products
    tops = [*range(0, enrolled, _NEAR_ROWS), *range(enrolled, len(probes), _NEAR_ROWS), len(probes)]
    for top, bottom in pairwise(tops):
        rows = probes[top:bottom]
        # A template has been compared with all earlier rows already.
        for left in range(top if top < enrolled else 0, enrolled, _NEAR_COLUMNS):
            columns = probes[left : min(left + _NEAR_COLUMNS, enrolled)]
            products = memory[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            places = np.flatnonzero(np.matmul(rows, columns.T, out=products) >= least)
            first, second = places // len(columns) + top, places % len(columns) + left
            apart = owners[first] != owners[second]
            first, second = first[apart], second[apart]
            near = pair_distances(probes, first, probes, second) <= limit
            yield first[near], second[near]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Holds searches and people that are not compared: the same person, or set aside.

    Attributes:
        rows: (m,) int64 of the searches, rising.
        people: (m,) int64 columns.
    """

    rows: NDArray[np.int64]
    people: NDArray[np.int64]

    @classmethod
    def of(cls, owners: NDArray[np.integer], people: int, pairs: NDArray[np.int64]) -> LeftOut:
        """Leave out each owner's own distance, and those between pairs of people.

        Args:
            owners: (searches,) int, the person each search is for; a column's index if that person is
                enrolled.
            people: number of columns.
            pairs: (n, 2) int64 people, in either order.
        """
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[both[:, 1] < people]
        both = both[np.argsort(both[:, 0], kind="stable")]
        first = np.searchsorted(both[:, 0], owners, "left")
        counts = np.searchsorted(both[:, 0], owners, "right") - first
        rows = np.repeat(np.arange(len(owners)), counts)
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        own = np.flatnonzero(owners < people)
        rows = np.concatenate([rows, own])
        columns = np.concatenate([both[np.repeat(first, counts) + places, 1], owners[own]])
        order = np.argsort(rows, kind="stable")
        return cls(rows[order].astype(np.int64), columns[order].astype(np.int64))

    def within(self, rows: slice, columns: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows and columns that are left out in a block of distances, (k,) int64 each."""
        some = slice(*np.searchsorted(self.rows, [rows.start, rows.stop]))
        here = (self.people[some] >= columns.start) & (self.people[some] < columns.stop)
        return self.rows[some][here] - rows.start, self.people[some][here] - columns.start


class LogSums:
    """Sums the powers 0 to 3 of the logarithms of distances to others.

    Attributes:
        owners: (searches,) int64, the person each search is for.
        middle: subtracted from each logarithm, to lose no digits.
        searches: (4, searches) float64 sums for each search.
        people: (4, people) float64 sums for each person found.
    """

    def __init__(self, owners: NDArray[np.integer], people: int, left_out: LeftOut | None = None) -> None:
        """Start without any distance.

        Args:
            owners: (searches,) int, the person each search is for; a column's index if that person is
                enrolled.
            people: number of columns.
            left_out: searches and people that do not count; None: each owner's own distance.
        """
        self.owners, self.middle = owners, 0.0
        self._left_out = left_out or LeftOut.of(owners, people, np.empty((0, 2), np.int64))
        self.searches, self.people = np.zeros((_POWERS, len(owners))), np.zeros((_POWERS, people))

    def add(self, rows: slice, columns: slice, distances: NDArray[np.float64]) -> None:
        """Add a block of distances.

        Args:
            rows: searches of the block.
            columns: people of the block.
            distances: (rows, columns) float64, of each search to the nearest template of each person.
        """
        logs = np.log(np.maximum(distances, NO_DISTANCE))
        if not self.searches.any():
            self.middle = float(logs.mean())
        logs -= self.middle
        power = np.ones_like(logs)
        power[self._left_out.within(rows, columns)] = 0.0
        for searches, people in zip(self.searches, self.people, strict=True):
            searches[rows] += power.sum(axis=1)
            people[columns] += power.sum(axis=0)
            power *= logs

    def parts(self) -> NDArray[np.float64]:
        """Return the sums that each person is part of, searching or found, (4, everyone) float64."""
        people = self.people.shape[1]
        _, units = np.unique(np.concatenate([self.owners, np.arange(people)]), return_inverse=True)
        both = np.concatenate([self.searches, self.people], axis=1)
        return np.stack([np.bincount(units, powers) for powers in both])
