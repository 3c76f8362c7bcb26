"""Group templates for scorers, and compute distances to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.wording import count

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = 1e-3  # how far from 1 the norm of a vector may be


@dataclass(frozen=True)
class TemplateGroups:
    """Holds checked templates, grouped by person.

    They are sorted by value, and equal rows of a person count once, so neither the order of enrollment
    nor a photo enrolled twice can change a score.

    Attributes:
        people: (people,) int64, ascending.
        vectors: (n, dim) float64 unit rows, those of a person together.
        starts: (people,) intp, the first row of each person.
        cohort: (m, dim) float64 unit rows of known strangers, m may be 0.
    """

    people: NDArray[np.int64]
    vectors: NDArray[np.float64]
    starts: NDArray[np.intp]
    cohort: NDArray[np.float64]

    @classmethod
    def check(
        cls,
        vectors: NDArray[np.floating],
        labels: NDArray[np.integer],
        cohort: NDArray[np.floating] | None,
    ) -> TemplateGroups:
        """Check and group templates.

        Args:
            vectors: (n, dim) unit rows.
            labels: (n,) integers.
            cohort: (m, dim) unit rows of known strangers; None: none.

        Raises:
            ValueError: as of `Scorer.fit`.
        """
        rows, of = unit_rows(vectors, "templates"), np.asarray(labels)
        if not len(rows):
            raise ValueError("expected at least one template, received none: enroll someone first")
        if of.shape != (len(rows),) or not np.issubdtype(of.dtype, np.integer):
            raise ValueError(f"expected {len(rows)} whole numbers as labels, got {of.dtype} {of.shape}")
        strangers = np.empty((0, rows.shape[1])) if cohort is None else unit_rows(cohort, "cohort")
        if strangers.shape[1] != rows.shape[1]:
            raise ValueError(
                f"the cohort has {strangers.shape[1]} dimensions and the templates have {rows.shape[1]}: "
                "embed both with one model"
            )
        return cls.grouped(rows, of, strangers)

    @classmethod
    def grouped(
        cls,
        rows: NDArray[np.float64],
        labels: NDArray[np.integer],
        cohort: NDArray[np.float64] | None = None,
    ) -> TemplateGroups:
        """Group rows that were checked, or that need not be of length 1.

        Args:
            rows: (n, dim) float64.
            labels: (n,) integers.
            cohort: (m, dim) float64; None: none.
        """
        people = np.unique(labels).astype(np.int64)
        groups = [np.unique(rows[labels == person], axis=0) for person in people]
        starts = np.cumsum([0, *map(len, groups[:-1])]).astype(np.intp)
        strangers = rows[:0] if cohort is None else np.unique(cohort, axis=0)
        return cls(people, np.concatenate(groups), starts, strangers)

    def groups(self, values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Split an array about the templates into one part per person.

        Args:
            values: (n, ...), one entry per template.
        """
        return np.split(values, self.starts[1:])

    def others(self, person: int) -> NDArray[np.float64]:
        """Return the templates of everyone but one person, (k, dim) float64.

        Args:
            person: column of that person.
        """
        groups = self.groups(self.vectors)
        return np.concatenate([self.vectors[:0], *groups[:person], *groups[person + 1 :]])


def unit_rows(vectors: NDArray[np.floating], name: str) -> NDArray[np.float64]:
    """Check that rows are finite and of length 1.

    Args:
        vectors: (n, dim) float.
        name: of the argument, for the error.

    Returns:
        (n, dim) float64.

    Raises:
        ValueError: they are not; the message says which of them.
    """
    rows = np.asarray(vectors, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"{name}: expected (rows, dim), got an array of shape {rows.shape}")
    off = np.flatnonzero(~(np.abs(np.sqrt((rows**2).sum(axis=1)) - 1) <= UNIT))
    if len(off):
        raise ValueError(
            f"{name}: row {off[0]} is not a finite vector of length 1 ({count(len(off), 'such row')}); "
            "leave it out, or divide it by its norm"
        )
    return rows


def distances(query: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the Euclidean distances of a vector to rows, summed in the order of `search.base`.

    Args:
        query: (dim,) float64.
        vectors: (n, dim) float64.

    Returns:
        (n,) float64.
    """
    found: NDArray[np.float64] = np.sqrt(((vectors - query) ** 2).sum(axis=1))
    return found
