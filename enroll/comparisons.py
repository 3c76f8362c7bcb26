"""Count the distances that a calibration rests on, to draw them beside its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from embedder.moments import NO_DISTANCE, log_quantile
from enroll.calibration import empirical_threshold
from enroll.distances import blocks_of_people
from enroll.probes import Probes, Searches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.moments import Moments
    from embedder.strangers import StrangerDistances

_EDGES = np.linspace(0, 2, 101)  # all distances between unit vectors
_REACH, _STEPS = 6.0, 481  # standard deviations of a normal variable to either side, and quantiles of it


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Counts distances from photos to the nearest template of each other person, in bins.

    Attributes:
        edges: (bins + 1,) float64 of the bins, rising, from 0 to 2.
        enrolled: (bins,) int64, comparisons of enrolled people's photos.
        strangers: (bins,) int64, of photos of people who are not enrolled.
        set_aside: (bins,) int64, photos of people who are too near to each other to be strangers, each with
            the nearest one of the other person.
        known: (bins,) float64 share expected in each by the model's distances between strangers, None if
            these are unknown.
        nearest: (searches,) float64, rising, the distance of the nearest template of someone else of each
            photo.
        counted_threshold: the largest that counting alone allows, infinite without a search.
    """

    edges: NDArray[np.float64]
    enrolled: NDArray[np.int64]
    strangers: NDArray[np.int64]
    set_aside: NDArray[np.int64]
    known: NDArray[np.float64] | None
    nearest: NDArray[np.float64]
    counted_threshold: float


def compare(probes: Probes, fpir: float, known: StrangerDistances | None, seed: int = 0) -> Comparisons:
    """Count the distances between the photos and people that a calibration compares.

    Args:
        probes: the photos that are searched for in the gallery.
        fpir: limit of the share of strangers that are named.
        known: distances between strangers by the model; None: unknown.
        seed: of the random draw of searches, if there are too many.

    Raises:
        UsageError: most photos of different people have the same vector.

    Example:
        >>> people = np.eye(8, dtype=np.float32)  # one photo each of 8 people, all as far from each other
        >>> found = compare(Probes.of(people, np.arange(8)), 0.01, None)
        >>> int(found.enrolled.sum()), int(found.strangers.sum()), round(float(found.nearest[0]), 3)
        (56, 0, 1.414)
    """
    near = probes.near_people(known)
    some = Searches.of(probes, near, seed)
    enrolled, strangers = (np.zeros(len(_EDGES) - 1, np.int64) for _ in range(2))
    nearest = np.full(len(some.probes), np.inf)
    for rows, columns, distances in blocks_of_people(some.probes, some.templates, some.labels):
        distances[some.left_out.within(rows, columns)] = np.inf
        strange = some.owners[rows] >= probes.people
        enrolled += _counted(distances[~strange])
        strangers += _counted(distances[strange])
        nearest[rows] = np.minimum(nearest[rows], distances.min(axis=1))
    nearest = np.sort(nearest[np.isfinite(nearest)])
    prior = probes.prior(known)
    return Comparisons(
        _EDGES,
        enrolled,
        strangers,
        _counted(np.array([distance for pair in near for _, _, distance in pair.photos])),
        None if prior is None else expected_shares(prior),
        nearest,
        empirical_threshold(nearest, fpir) if len(nearest) else float("inf"),
    )


def expected_shares(known: Moments) -> NDArray[np.float64]:
    """Compute the share of distances between strangers in each bin, (bins,) float64.

    Args:
        known: moments of the logarithm of the distance.
    """
    z = np.linspace(-_REACH, _REACH, _STEPS)
    logs = np.maximum.accumulate([float(log_quantile(known.values[:, None], at)[0]) for at in z.tolist()])
    below = np.array([NormalDist().cdf(at) for at in z.tolist()])
    return np.diff(np.interp(np.log(np.maximum(_EDGES, NO_DISTANCE)), logs, below, left=0.0, right=1.0))


def _counted(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count distances in the bins; those left out are infinite."""
    return np.histogram(np.minimum(distances[np.isfinite(distances)], 2.0), _EDGES)[0]
