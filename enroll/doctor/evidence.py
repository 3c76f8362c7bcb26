"""Find the nearest photos of other people, and weigh what a distance tells.

A photo's typical distance to a person is the root mean square of the distances to the nearer three quarters
of their other photos, so that a wrong photo or two among these do not count. Within a person it has one
distribution and between people another; the logarithm of each is taken as normal, with median and scaled
median deviation from the gallery itself (robust against the very mistakes that are looked for). The ratio
of both densities says how much likelier a distance is if the photo shows that person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.runtime import Progress
from embedder.metrics import squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.search.base import SearchIndex
    from enroll.templates import Templates


_NEAR = 16  # templates of others compared with each: enough for a photo's true person to be among them
_MOST_MEMBERS = 64  # photos that represent a person who has more
_MOST_QUERIES = 1024  # at once
_NUMBERS_AT_ONCE = 16_000_000  # float32 in the vectors that a search returns: 64 MB

_NEARER = 0.75  # share of a person's photos that counts
_NO_DISTANCE = 1e-3  # two copies of one picture; the logarithm would be infinite
_LEAST = 5  # distances that make a distribution
_LEAST_SPREAD = 0.02  # of logarithms; a gallery of near copies knows nothing of how photos differ
_SCALE = 1.4826  # makes the median deviation of a normal distribution its standard deviation
_HALVINGS = 50  # of a range of distances: to the last digits
_DRAWN = 5000  # photos compared with people at random, for the distribution between people


@dataclass(frozen=True, eq=False)
class LabeledTemplates:
    """Holds the templates of a gallery by person.

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
    def of(cls, templates: Templates) -> LabeledTemplates:
        """Number the people of templates."""
        names, labels = np.unique(templates.identities, return_inverse=True)
        return cls(tuple(map(str, names)), labels.astype(np.int64), templates.ids, templates.vectors)

    def sizes(self) -> NDArray[np.int64]:
        """Count the templates of each person, (people,) int64."""
        return np.bincount(self.labels, minlength=len(self.names))

    def members(self, kept: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        """Return the rows that represent each person: those kept, at most 64 drawn at random.

        Args:
            kept: (n,) bool, which rows may be used.
        """
        rows = np.random.default_rng(0).permutation(len(kept))
        rows = rows[kept[rows]]
        rows = rows[np.argsort(self.labels[rows], kind="stable")]
        ends = np.searchsorted(self.labels[rows], np.arange(1, len(self.names)))
        return [part[:_MOST_MEMBERS] for part in np.split(rows, ends)]


@dataclass(frozen=True, eq=False)
class NearestOthers:
    """Holds the nearest templates of other people, nearest first.

    Attributes:
        rows: (n, k) int64 of the templates, -1 where there are no more.
        distances: (n, k) float64, infinite there.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]

    def pairs(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pair each template with each person whose templates are among its nearest.

        Args:
            labels: (n,) int64, the person of each template.

        Returns:
            Rows and people, (m,) int64 each.
        """
        there = self.rows >= 0
        people = int(labels.max(initial=0)) + 1
        codes = np.unique(np.nonzero(there)[0] * people + labels[self.rows[there]])
        return codes // people, codes % people


def nearest_others(
    labeled: LabeledTemplates, search_index: SearchIndex, progress: Progress | None = None
) -> NearestOthers:
    """Search for every template among those of other people, up to 1,024 at a time.

    Args:
        labeled: the templates.
        search_index: searches the same templates; others that it finds, enrolled meanwhile, are ignored.
        progress: progress bar, advanced with every template.
    """
    count, dim = labeled.vectors.shape
    rows = np.full((count, _NEAR), -1)
    distances = np.full((count, _NEAR), np.inf)
    # A search finds a person's own photos first, so more are asked for; people with most photos come first.
    sizes = labeled.sizes()[labeled.labels]
    order = np.argsort(-sizes, kind="stable")
    start = 0
    with (progress or Progress()).bar("Comparing", count) as advance:
        while start < count:
            wanted = int(sizes[order[start]]) + _NEAR
            step = int(np.clip(_NUMBERS_AT_ONCE // (wanted * dim), 1, _MOST_QUERIES))
            asked = order[start : start + step]
            for row, found in zip(asked, search_index.nearest(labeled.vectors[asked], wanted), strict=True):
                place = np.minimum(np.searchsorted(labeled.ids, found.ids), count - 1)
                others = (labeled.ids[place] == found.ids) & (labeled.labels[place] != labeled.labels[row])
                away = found.vectors[others].astype(np.float64) - labeled.vectors[row]
                distance = np.sqrt((away**2).sum(axis=1))
                first = np.lexsort((place[others], distance))[:_NEAR]
                rows[row, : len(first)] = place[others][first]
                distances[row, : len(first)] = distance[first]
            start += step
            advance(len(asked))
    return NearestOthers(rows, distances)


def typical_distances(
    labeled: LabeledTemplates,
    members: list[NDArray[np.intp]],
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Compute the typical distance of photos to people.

    Args:
        labeled: the templates.
        members: rows that represent each person.
        rows: (m,) int64 of the photos.
        people: (m,) int64, the person each is compared with.

    Returns:
        (m,) float64; NaN where the person has no other photo.
    """
    result = np.full(len(rows), np.nan)
    order = np.argsort(people, kind="stable")
    starts = np.flatnonzero(np.diff(people[order], prepend=-1))
    for asked in np.split(order, starts[1:]) if len(order) else []:
        own = members[people[asked[0]]]
        if not len(own):
            continue
        squared = squared_distances(labeled.vectors[rows[asked]], labeled.vectors[own])
        squared[rows[asked][:, None] == own[None]] = np.inf
        squared.sort(axis=1)
        others = np.isfinite(squared).sum(axis=1)
        counted = np.arange(len(own)) < np.ceil(_NEARER * others)[:, None]
        total = np.where(counted, squared, 0.0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            result[asked] = np.sqrt(total / counted.sum(axis=1))
    return result


@dataclass(frozen=True)
class DistanceEvidence:
    """Holds the distributions of the typical distance, within a person and between people.

    Attributes:
        same, same_spread: middle and spread of its logarithm within a person.
        other, other_spread: between a photo and a person it does not show.
    """

    same: float
    same_spread: float
    other: float
    other_spread: float

    @classmethod
    def fit(cls, same: NDArray[np.float64], other: NDArray[np.float64]) -> DistanceEvidence | None:
        """Fit both distributions; None if there are too few distances or they do not differ.

        Args:
            same: (n,) float64 typical distances of photos to their own person, NaN left out.
            other: (m,) float64 typical distances to other people, NaN left out.
        """
        logs = [np.log(np.maximum(part[np.isfinite(part)], _NO_DISTANCE)) for part in (same, other)]
        if min(map(len, logs)) < _LEAST:
            return None
        (same_middle, same_spread), (other_middle, other_spread) = map(_middle_and_spread, logs)
        if same_middle >= other_middle:
            return None
        return cls(same_middle, same_spread, other_middle, other_spread)

    def __call__(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ln of the ratio of the densities: above 0 is evidence for the person.

        Of two normal densities with unlike spreads the ratio turns around far out, where there are no data;
        from there on it is taken as constant.

        Args:
            distances: (m,) float64 typical distances.

        Returns:
            (m,) float64, 0 where the distance is NaN.
        """
        logs = np.log(np.maximum(np.nan_to_num(distances, nan=1.0), _NO_DISTANCE))
        a, b = self.same_spread**-2, self.other_spread**-2
        if a != b:
            turn = (self.same * a - self.other * b) / (a - b)
            logs = np.maximum(logs, turn) if turn < self.same else np.minimum(logs, turn)
        ratio = ((logs - self.other) ** 2 * b - (logs - self.same) ** 2 * a) / 2 + np.log(a / b) / 2
        return np.where(np.isfinite(distances), ratio, 0.0)

    def reach(self, least: float) -> float:
        """Return the largest distance whose evidence is above a limit, 0 if there is none.

        Args:
            least: the limit, ln of a ratio.
        """
        low, high = _NO_DISTANCE, 2.0  # between unit vectors
        if self(np.array([low]))[0] <= least:
            return 0.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self(np.array([middle]))[0] > least else (low, middle)
        return high


def fit_evidence(
    labeled: LabeledTemplates, members: list[NDArray[np.intp]], kept: NDArray[np.bool_]
) -> DistanceEvidence | None:
    """Fit the evidence of a gallery: photos against their own person, and against others.

    Args:
        labeled: the templates.
        members: rows that represent each person.
        kept: (n,) bool, rows that are not suspected of showing someone else.
    """
    if len(labeled.names) < 2:
        return None
    rng = np.random.default_rng(0)
    own = rng.permutation(np.flatnonzero(kept))[:_DRAWN]
    rows = rng.choice(own, _DRAWN)
    strange = (labeled.labels[rows] + rng.integers(1, len(labeled.names), _DRAWN)) % len(labeled.names)
    return DistanceEvidence.fit(
        typical_distances(labeled, members, own, labeled.labels[own]),
        typical_distances(labeled, members, rows, strange),
    )


def _middle_and_spread(logs: NDArray[np.float64]) -> tuple[float, float]:
    middle = float(np.median(logs))
    return middle, max(_SCALE * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
