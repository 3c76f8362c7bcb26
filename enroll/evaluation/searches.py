"""Search for photos among enrolled ones, with exact results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder.metrics import squared_distances
from enroll.confidence import FARTHEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.evaluation.samples import EmbeddedSamples
    from enroll.scoring.base import Scorer


_PAIRS_AT_ONCE = 4_000_000  # distances in memory: 32 MB


@dataclass(frozen=True, eq=False)
class Found:
    """Holds the results of searches.

    Attributes:
        rank: (n,) float64 rank of the right person, ties counting against it; infinite if not found.
        distance: (n,) float64, of the nearest template; infinite without a face.
        second: (n,) float64, of the nearest template of any other person; 2 in a gallery of one.
        nearest: (n,) int64 row of the nearest template, -1 if there is none.
    """

    rank: NDArray[np.float64]
    distance: NDArray[np.float64]
    second: NDArray[np.float64]
    nearest: NDArray[np.int64]


def search_rows(samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]) -> Found:
    """Search for each probe among the enrolled rows; one without a face finds nothing.

    Args:
        samples: the photos.
        probes: (n,) int64 rows to search for.
        gallery: (m,) int64 rows that are enrolled.
    """
    rank, distance, second = (np.full(len(probes), np.inf) for _ in range(3))
    nearest = np.full(len(probes), -1, np.int64)
    found = np.flatnonzero(samples.found[probes])
    people, starts = np.unique(samples.labels[gallery], return_index=True)
    step = max(1, _PAIRS_AT_ONCE // max(1, len(gallery)))
    for start in range(0, len(found) if len(gallery) else 0, step):
        rows = found[start : start + step]
        squared = squared_distances(samples.vectors[probes[rows]], samples.vectors[gallery])
        by_person = np.minimum.reduceat(squared, starts, axis=1)
        own = people[None] == samples.labels[probes[rows], None]
        of_own = np.where(own, by_person, np.inf).min(axis=1)
        others = np.where(own, np.inf, by_person)
        rank[rows] = np.where(np.isfinite(of_own), 1 + (others <= of_own[:, None]).sum(axis=1), np.inf)
        first = squared.argmin(axis=1)
        distance[rows], nearest[rows] = np.sqrt(squared[np.arange(len(rows)), first]), gallery[first]
        second[rows] = np.sqrt(np.partition(by_person, 1, axis=1)[:, 1]) if len(people) > 1 else FARTHEST
    return Found(rank, distance, second, nearest)


def search_many(samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]) -> Found:
    """Search as `search_rows` does, several times as fast, by products in float32.

    Where their rounding could change a name or a rank, `search_rows` decides; the distances are computed in
    float64 in any case. Only which of two people comes second who are equally far, to six digits, may differ.

    Args:
        samples: the photos.
        probes: (n,) int64 rows to search for.
        gallery: (m,) int64 rows that are enrolled.
    """
    rank, distance, second = (np.full(len(probes), np.inf) for _ in range(3))
    nearest = np.full(len(probes), -1, np.int64)
    found = np.flatnonzero(samples.found[probes])
    people, starts, photos = np.unique(samples.labels[gallery], return_index=True, return_counts=True)
    if len(people) < 2 or not len(found):
        return search_rows(samples, probes, gallery)
    vectors, person_of = samples.vectors[gallery], np.repeat(np.arange(len(people)), photos)
    # A sum of n products of two unit vectors is off by at most n half roundings, whatever the order.
    rounding = (vectors.shape[1] + 8) * np.finfo(np.float32).eps
    step = max(1, _PAIRS_AT_ONCE // len(gallery))
    memory = np.empty((min(step, len(found)), len(gallery)), np.float32)
    unsure = np.zeros(len(probes), bool)
    for start in range(0, len(found), step):
        rows = found[start : start + step]
        place, queries = np.arange(len(rows)), samples.vectors[probes[rows]]
        products = np.matmul(queries, vectors.T, out=memory[: len(rows)])
        first = products.argmax(axis=1)
        most, named = products[place, first], person_of[first]
        own, columns = _spans(starts[named], photos[named])
        distance[rows], nearest[rows] = _nearest_of(queries, vectors, own, columns)
        products[own, columns] = -np.inf
        other = products.argmax(axis=1)
        others = person_of[other]
        second[rows], _ = _nearest_of(queries, vectors, *_spans(starts[others], photos[others]))
        right = people[named] == samples.labels[probes[rows]]
        rank[rows[right]] = 1
        mated = np.isin(samples.labels[probes[rows]], people)
        unsure[rows] = (most - products[place, other] <= rounding) | (mated & ~right)
    nearest[found] = gallery[nearest[found]]
    again = np.flatnonzero(unsure)
    exact = search_rows(samples, probes[again], gallery)
    rank[again], distance[again], second[again] = exact.rank, exact.distance, exact.second
    nearest[again] = exact.nearest
    return Found(rank, distance, second, nearest)


def _spans(starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the index of the span, and the position, of everything in some spans.

    Args:
        starts: (spans,) first position of each.
        lengths: (spans,) of each.

    Returns:
        Two arrays (sum of lengths,).
    """
    before = np.cumsum(lengths) - lengths
    number = np.repeat(np.arange(len(lengths)), lengths)
    return number, np.arange(len(number)) + (starts - before)[number]


def _nearest_of(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the nearest of some vectors for each query.

    Args:
        queries: (q, dim) float32.
        vectors: (n, dim) float32.
        rows: (pairs,) query of each pair, rising.
        columns: (pairs,) vector of each pair.

    Returns:
        (q,) least distances, and (q,) the vectors with them.
    """
    apart = queries[rows].astype(np.float64) - vectors[columns]
    distances = np.sqrt(np.vecdot(apart, apart))
    order = np.lexsort((columns, distances, rows))
    first = order[np.unique(rows, return_index=True)[1]]
    return distances[first], columns[first]


def search_by_scorer(
    scorer: Scorer, samples: EmbeddedSamples, probes: NDArray[np.int64], gallery: NDArray[np.int64]
) -> Found:
    """Search as `search_rows` does, by the scores of a scorer.

    The nearest row is that of the person with the best score.

    Args:
        scorer: compares people with a query.
        samples: the photos.
        probes: (n,) int64 rows to search for.
        gallery: (m,) int64 rows that are enrolled.
    """
    rank, distance, second = (np.full(len(probes), np.inf) for _ in range(3))
    nearest = np.full(len(probes), -1, np.int64)
    found = np.flatnonzero(samples.found[probes])
    if not len(gallery) or not len(found):
        return Found(rank, distance, second, nearest)
    fitted = scorer.fit(samples.vectors[gallery], samples.labels[gallery])
    for row in found.tolist():
        probe = samples.vectors[probes[[row]]]
        scores = fitted.scores(probe)[0]
        own = scores[fitted.people == samples.labels[probes[row]]]
        rank[row] = (scores <= own[0]).sum() if len(own) else np.inf
        first = int(scores.argmin())
        distance[row] = scores[first]
        second[row] = np.partition(scores, 1)[1] if len(scores) > 1 else FARTHEST
        theirs = gallery[samples.labels[gallery] == fitted.people[first]]
        nearest[row] = theirs[squared_distances(probe, samples.vectors[theirs])[0].argmin()]
    return Found(rank, distance, second, nearest)
