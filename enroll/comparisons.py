"""Count the distances that a calibration rests on, so that they can be drawn beside its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from embedder.moments import NO_DISTANCE, log_quantile
from enroll.calibration import Probes, empirical_threshold
from enroll.distances import LeftOut, blocks_of_people
from enroll.near_people import pairs_of

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
        set_aside: (bins,) of people who are too near to each other to be strangers; in neither of the others.
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
        >>> found.enrolled.sum(), found.strangers.sum(), found.nearest.round(3).max()
        (np.int64(56), np.int64(0), np.float64(1.414))
    """
    rows, owners = probes.searches(seed)
    templates = probes.vectors[: len(probes.labels)]
    own = LeftOut.of(owners, probes.people, np.empty((0, 2), np.int64))
    both = LeftOut.of(owners, probes.people, pairs_of(probes.near_people(known)))
    enrolled, strangers, aside = (np.zeros(len(_EDGES) - 1, np.int64) for _ in range(3))
    nearest = np.full(len(rows), np.inf)
    for some, columns, distances in blocks_of_people(rows, templates, probes.labels):
        apart = np.zeros(distances.shape, bool)
        apart[both.within(some, columns)] = True
        apart[own.within(some, columns)] = False
        aside += _counted(distances[apart])
        distances[both.within(some, columns)] = np.inf
        stranger = owners[some] >= probes.people
        enrolled += _counted(distances[~stranger])
        strangers += _counted(distances[stranger])
        nearest[some] = np.minimum(nearest[some], distances.min(axis=1))
    nearest = np.sort(nearest[np.isfinite(nearest)])
    prior = probes.prior(known)
    return Comparisons(
        _EDGES,
        enrolled,
        strangers,
        aside,
        None if prior is None else expected_shares(prior),
        nearest,
        empirical_threshold(nearest, fpir) if len(nearest) else float("inf"),
    )


def expected_shares(known: Moments) -> NDArray[np.float64]:
    """Give the share of distances between strangers in each bin, by the moments of ln d."""
    z = np.linspace(-_REACH, _REACH, _STEPS)
    logs = np.maximum.accumulate([float(log_quantile(known.values[:, None], at)[0]) for at in z.tolist()])
    below = np.array([NormalDist().cdf(at) for at in z.tolist()])
    return np.diff(np.interp(np.log(np.maximum(_EDGES, NO_DISTANCE)), logs, below, left=0.0, right=1.0))


def _counted(distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count in bins; what is left out is infinite."""
    return np.histogram(np.minimum(distances[np.isfinite(distances)], 2.0), _EDGES)[0]
