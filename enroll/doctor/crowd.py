"""Templates by person, and which templates of other people are nearest to each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.search.contract import Finder
    from enroll.store import Templates

_NEAR = 16  # templates of others looked at for each: enough that a photo's true person is among them
_MOST_MEMBERS = 64  # so many photos stand for a person who has more
_MOST_QUERIES = 1024  # at once
_NUMBERS_AT_ONCE = 16_000_000  # of vectors that a search gives: 64 MB


@dataclass(frozen=True, eq=False)
class Crowd:
    """The templates of a gallery by person.

    Attributes:
        names: of the people, sorted.
        labels: (n,) int64, index into `names`.
        ids: (n,) int64 of the templates, rising.
        vectors: (n, dim) float32 unit rows.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, templates: Templates) -> Crowd:
        """Sort templates by person."""
        names, labels = np.unique(templates.identities, return_inverse=True)
        return cls(tuple(map(str, names)), labels.astype(np.int64), templates.ids, templates.vectors)

    def sizes(self) -> NDArray[np.int64]:
        """Number of templates of each person, (people,)."""
        return np.bincount(self.labels, minlength=len(self.names))

    def members(self, kept: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        """Give the rows that stand for each person: those kept, or of many so many, drawn at random.

        Args:
            kept: (n,) which rows may.
        """
        rows = np.random.default_rng(0).permutation(len(kept))
        rows = rows[kept[rows]]
        rows = rows[np.argsort(self.labels[rows], kind="stable")]
        ends = np.searchsorted(self.labels[rows], np.arange(1, len(self.names)))
        return [part[:_MOST_MEMBERS] for part in np.split(rows, ends)]


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest templates of other people, nearest first.

    Attributes:
        rows: (n, k) of the templates, -1 where there are no more.
        distances: (n, k), infinite there.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]

    def pairs(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give each template with each person whose templates are among them: rows and people, (m,) each.

        Args:
            labels: (n,) whose the templates are.
        """
        there = self.rows >= 0
        people = int(labels.max(initial=0)) + 1
        codes = np.unique(np.nonzero(there)[0] * people + labels[self.rows[there]])
        return codes // people, codes % people


def nearest_others(crowd: Crowd, finder: Finder, progress: Progress | None = None) -> Nearest:
    """Search for every template among those of other people, a few at a time.

    Args:
        crowd: the templates.
        finder: searches the same templates; others that it finds, enrolled meanwhile, are passed over.
        progress: hears of each template.
    """
    count, dim = crowd.vectors.shape
    rows = np.full((count, _NEAR), -1)
    distances = np.full((count, _NEAR), np.inf)
    # A search finds a person's own photos first, so it asks for so many more; who has most comes first.
    sizes = crowd.sizes()[crowd.labels]
    order = np.argsort(-sizes, kind="stable")
    start = 0
    with (progress or Progress()).bar("Comparing", count) as advance:
        while start < count:
            wanted = int(sizes[order[start]]) + _NEAR
            step = int(np.clip(_NUMBERS_AT_ONCE // (wanted * dim), 1, _MOST_QUERIES))
            asked = order[start : start + step]
            for row, found in zip(asked, finder.nearest(crowd.vectors[asked], wanted), strict=True):
                place = np.minimum(np.searchsorted(crowd.ids, found.ids), count - 1)
                others = (crowd.ids[place] == found.ids) & (crowd.labels[place] != crowd.labels[row])
                away = found.vectors[others].astype(np.float64) - crowd.vectors[row]
                distance = np.sqrt((away**2).sum(axis=1))
                first = np.lexsort((place[others], distance))[:_NEAR]
                rows[row, : len(first)] = place[others][first]
                distances[row, : len(first)] = distance[first]
            start += step
            advance(len(asked))
    return Nearest(rows, distances)
