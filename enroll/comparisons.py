"""Count the distances that a calibration rests on, so that they can be drawn beside its threshold."""

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
    """Distances from photos to the nearest template of each person who is not theirs, counted in bins.

    Attributes:
        edges: (bins + 1,) of the bins, rising, from 0 to 2.
        enrolled: (bins,) comparisons of enrolled people's photos.
        strangers: (bins,) of photos of people who are not enrolled.
        set_aside: (bins,) photos of people who are too near to each other to be strangers, each with the
            nearest one of the other person.
        known: (bins,) share expected in each by what is known of the model's distances between strangers,
            None if nothing is.
        nearest: (searches,) rising, of each photo the nearest template of someone else.
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
    """Compare what a calibration compares.

    Args:
        probes: what is searched for in the gallery.
        fpir: share of strangers that may be named.
        known: of strangers' distances by the model; None: nothing.
        seed: of the draw, where there are too many searches to make all.

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
    """Return the share of distances between strangers in each bin, by the moments of ln d."""
    z = np.linspace(-_REACH, _REACH, _STEPS)
    logs = np.maximum.accumulate([float(log_quantile(known.values[:, None], at)[0]) for at in z.tolist()])
    below = np.array([NormalDist().cdf(at) for at in z.tolist()])
    return np.diff(np.interp(np.log(np.maximum(_EDGES, NO_DISTANCE)), logs, below, left=0.0, right=1.0))


def _counted(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count in bins; what is left out is infinite."""
    return np.histogram(np.minimum(distances[np.isfinite(distances)], 2.0), _EDGES)[0]
