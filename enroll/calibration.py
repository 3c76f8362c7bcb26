"""Calibrate: find the threshold for a wanted FPIR in a gallery of a given size.

FPIR, the false positive identification rate, is the share of searches for strangers that name anyone. Each
enrolled person is searched for among the others, as a stranger, and so are strangers the user gives. Counting
alone proves little: if none of n independent searches names anyone, FPIR is below about 3/n (the rule of
three), so 1 % takes 300 strangers. A gallery of ten people has ten. So the threshold is modelled:

- d, the distance from a photo to the nearest template of one other person, has a distribution F whose
  logarithm is taken as normal, corrected for its skewness (Cornish and Fisher 1938, "Moments and Cumulants in
  the Specification of Distributions");
- of N enrolled people, none is nearer than t with probability (1 - F(t))^N at least, since the distances of
  one photo to many people are positively correlated (Slepian 1962, "The One-Sided Barrier Problem for
  Gaussian Noise"): FPIR(t) <= 1 - (1 - F(t))^N;
- mean, ln spread and skewness of ln d have the prior that the model carries (`embedder.strangers`), updated
  by the gallery's own estimate of them (`enroll.posterior`);
- the lower confidence bound of the quantile is the threshold. A gallery of one person has the prior alone;
  the more people there are, the less the prior weighs.

Without a prior the gallery's own estimate is used, which takes four people.

The threshold is never larger than counting allows, either. People who are nearer to each other than strangers
are (`enroll.near_people`) are compared with all others, but not with each other, and if one photo alone makes
them so, it is left out instead: both in the model and in the count. `scripts/prove_calibration.py` checks how
often the stated FPIR is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedder._internal.ranges import COUNT, FPIR, check_fpir, check_numbers
from embedder._internal.wording import count
from embedder.errors import UsageError
from embedder.metrics import CONFIDENCE, threshold_at_fpir, trials_needed, upper_bound
from embedder.moments import log_quantile, normal_quantile
from enroll.decision import is_within
from enroll.distances import LogSums, blocks_of_people
from enroll.near_people import find_near_people
from enroll.posterior import MOMENTS, posterior_threshold
from enroll.probes import Probes, Searches
from enroll.templates import checked_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from embedder.strangers import StrangerDistances
    from enroll.near_people import NearPeople

_CONFIDENCE = 0.985  # of the bound: for 95 % in the end, the model being a little wrong too (docs/trust.md)
_LEAST_PEOPLE = MOMENTS + 1
UNLIKELY = 0.01  # how probable a gallery must be by the prior for no contradiction


_RANGES = {
    "distance": (-1e-9, 2),  # between unit vectors; below 0 it names no one, not even for a copy
    "target_fpir": FPIR,
    "confidence": (0.5, 1),
    "named": COUNT,
    "searches": COUNT,
    "strangers": COUNT,
    "counted_bound": (0, 1),
    "identities": (1, COUNT[1]),
    "templates": (1, COUNT[1]),
    "comparisons": COUNT,
    "set_aside": COUNT,
    "known_people": COUNT,
    "known_sets": COUNT,
    "agreement": (0, 1),
}


@dataclass(frozen=True)
class Calibration:
    """Holds a threshold and the evidence for its false positive identification rate (FPIR).

    Attributes:
        distance: the threshold, 0 to 2: largest Euclidean distance between unit vectors at which a name is
            given. Below 0 it names no one.
        target_fpir: upper limit of the FPIR, with probability `confidence`; 1e-6 to .999.
        confidence: probability, by the model of the distances, that the limit holds; 0.5 to 1.
        named: number of the `searches` that name anyone at this threshold.
        searches: number of non-mated searches: photos of enrolled people among the others, and of strangers.
        strangers: number of different people these searches come from.
        counted_bound: upper confidence bound of the FPIR by counting people alone, without a model, 0 to 1.
        identities: number of people in the gallery.
        templates: number of their photos.
        comparisons: number of comparisons of a photo with a person it does not show.
        set_aside: number of pairs of people who are too near to each other to be strangers: not compared, or
            compared without the one photo that makes them so.
        known_people, known_sets: number of people and of photo sets the prior was measured on; 0 without one.
        agreement: how probable a gallery is by the prior that is as unlike it as this one, or that its photos
            are of the kind the prior is of, whichever is less, 0 to 1; 1 without comparisons or a prior.

    Raises:
        ValueError: a number is out of its range, or more were named than searched for.

    Example:
        >>> calibration = calibrate(np.eye(8, dtype=np.float32), list("abcdefgh"), fpir=0.01)
        >>> calibration.target_fpir, calibration.identities, calibration.named
        (0.01, 8, 0)
    """

    distance: float
    target_fpir: float
    confidence: float
    named: int
    searches: int
    strangers: int
    counted_bound: float
    identities: int
    templates: int
    comparisons: int = 0
    set_aside: int = 0
    known_people: int = 0
    known_sets: int = 0
    agreement: float = 1.0

    def __post_init__(self) -> None:
        """Check that each number is in its range.

        Raises:
            ValueError: a number is out of its range, or more were named than searched for.
        """
        check_numbers(self, _RANGES, "calibration")
        if self.named > self.searches:
            raise ValueError(f"calibration: named: expected at most {self.searches}, got {self.named}")

    @property
    def threshold(self) -> float:
        """The largest distance at which a name is given: `distance`."""
        return self.distance

    @property
    def contradicted(self) -> bool:
        """Whether the gallery's photos contradict the model's prior: `agreement` is below 0.01."""
        return self.agreement < UNLIKELY


def calibrate(
    vectors: ArrayLike,
    labels: ArrayLike,
    fpir: float = 0.01,
    strangers: ArrayLike | None = None,
    stranger_labels: ArrayLike | None = None,
    seed: int = 0,
    known: StrangerDistances | None = None,
    near: tuple[NearPeople, ...] | None = None,
) -> Calibration:
    """Calibrate a gallery: find the largest threshold that keeps the FPIR at or below a limit.

    Args:
        vectors: (n, dim) float unit rows, the gallery's templates.
        labels: (n,) names or numbers of the people they show.
        fpir: limit of the share of strangers that are named, 1e-6 to .999.
        strangers: (m, dim) float unit rows of people who are not in the gallery.
        stranger_labels: (m,) people these show, in other numbers or names than `labels`; None: each row shows
            another person.
        seed: of the random draw of searches, if there are more than 5,000.
        known: distances between strangers by the model (`manifest.strangers`); None: unknown.
        near: people who are too near to each other, if they were found already (`Probes.near_people`).

    Returns:
        The threshold and its evidence.

    Raises:
        UsageError: an FPIR out of its range, a vector that is not finite, or `known` is None and there are
            fewer than four people.
        ValueError: arrays of other shapes, or rows that are not of length 1.

    Example:
        >>> people = np.eye(8, dtype=np.float32)  # one photo each of 8 people, all as far from each other
        >>> calibration = calibrate(people, list("abcdefgh"), fpir=0.01)
        >>> round(calibration.threshold, 3), calibration.confidence
        (1.414, 0.95)
    """
    check_fpir(fpir, "fpir")
    templates, whose = checked_rows(vectors, labels)
    if not len(templates):
        raise ValueError("vectors: expected at least one template, got none")
    others, of_others = (None, None) if strangers is None else checked_rows(strangers, stranger_labels)
    everything = Probes.of(templates, whose, others, of_others)
    people, prior = everything.people, everything.prior(known)
    everyone = len(np.unique(everything.owners))
    if prior is None and (everyone < _LEAST_PEOPLE or people < 2):
        raise UsageError(
            f"calibrating needs at least {count(_LEAST_PEOPLE, 'person')}, 2 of them enrolled; got "
            f"{people} enrolled and {count(everyone - people, 'stranger')}: enroll more, or give --strangers"
        )
    if near is None:
        near = everything.near_people(known)
    sums, nearest, owners = _compared(everything, near, seed)
    agreement = 1.0
    if prior is not None:
        limit, agreement = posterior_threshold(sums, fpir, prior, known.person_sd if known else 0.0)
    elif len(np.unique(owners)) >= _LEAST_PEOPLE:
        limit = lognormal_threshold(sums, fpir)
    else:
        raise UsageError(
            "calibrating: hardly anyone is left to compare, since these people are nearer to each other than "
            "strangers are; `embed gallery doctor` says who"
        )
    limit = min(limit, empirical_threshold(nearest, fpir) if len(nearest) else np.inf, 2.0)
    named = is_within(nearest, limit)
    strange = len(np.unique(owners))
    return Calibration(
        distance=limit,
        target_fpir=fpir,
        confidence=CONFIDENCE,
        named=int(named.sum()),
        searches=len(nearest),
        strangers=strange,
        counted_bound=upper_bound(len(np.unique(owners[named])), strange),
        identities=people,
        templates=len(templates),
        comparisons=round(float(sums.searches[0].sum())),
        set_aside=len(near),
        known_people=known.people if known else 0,
        known_sets=known.sets if known else 0,
        agreement=agreement,
    )


def first_threshold(
    vectors: NDArray[np.floating],
    labels: NDArray[np.generic],
    known: StrangerDistances,
    fpir: float,
    people: int,
    photos: float,
) -> tuple[float, int, float]:
    """Find the threshold of a gallery without a calibration, quickly, from some of its people.

    Args:
        vectors: (n, dim) unit rows, templates of some people, a few hundred.
        labels: (n,) names or numbers of the people they show.
        known: distances between strangers by the model.
        fpir: limit of the share of strangers that are named.
        people: number of people in the whole gallery.
        photos: number of photos of each, the geometric mean.

    Returns:
        The distance, the number of comparisons and `Calibration.agreement`.

    Raises:
        UsageError: most photos of different people have the same vector.
    """
    some, prior = Probes.of(vectors, labels), known.prior(people, photos)
    near = find_near_people(some.vectors, some.owners, some.vectors, some.labels, prior)
    sums, nearest, _ = _compared(some, near)
    limit, agreement = posterior_threshold(sums, fpir, prior, known.person_sd, people=people)
    counted = threshold_at_fpir(nearest, fpir) if len(nearest) else 2.0
    return min(limit, counted, 2.0), round(float(sums.searches[0].sum())), agreement


def _compared(
    everything: Probes, near: tuple[NearPeople, ...], seed: int = 0
) -> tuple[LogSums, NDArray[np.float64], NDArray[np.int64]]:
    """Compare each search with each person.

    Returns:
        The sums of the logarithms of the distances; (m,) the distance of the nearest template of each search
        that was compared; (m,) its owner.
    """
    some = Searches.of(everything, near, seed)
    sums = LogSums(some.owners, int(some.labels.max()) + 1, some.left_out)
    nearest = np.full(len(some.probes), np.inf)
    for rows, columns, distances in blocks_of_people(some.probes, some.templates, some.labels):
        sums.add(rows, columns, distances)
        distances[some.left_out.within(rows, columns)] = np.inf
        nearest[rows] = np.minimum(nearest[rows], distances.min(axis=1))
    searched = np.isfinite(nearest)
    return sums, nearest[searched], some.owners[searched]


def empirical_threshold(nearest: NDArray[np.float64], target_fpir: float) -> float:
    """Return the largest threshold at which the counted FPIR keeps the limit.

    With enough searches, the upper confidence bound of the share named is at most the target, photos counted
    as if each were of another person; with fewer, the share itself.

    Args:
        nearest: (searches,) float64 distance of the nearest template of each non-mated search.
        target_fpir: limit of the share of strangers that are named.
    """
    searches = len(nearest)
    if searches < trials_needed(target_fpir):
        return threshold_at_fpir(nearest, target_fpir)
    named = np.arange(int(target_fpir * searches) + 1)
    allowed = sum(upper_bound(int(count), searches) <= target_fpir for count in named) - 1
    return threshold_at_fpir(nearest, allowed / searches)


def lognormal_threshold(sums: LogSums, target_fpir: float, confidence: float = _CONFIDENCE) -> float:
    """Return the lower confidence bound of the threshold for an FPIR, from the gallery alone.

    Args:
        sums: of the logarithms of the distances of all searches.
        target_fpir: limit of the share of strangers that are named.
        confidence: of the bound, one-sided.
    """
    from scipy.stats import t

    people = sums.people.shape[1]
    z = normal_quantile(target_fpir, people)
    parts, total = sums.parts(), sums.searches.sum(axis=1)
    estimate = sums.middle + _log_quantile(total[:, None], z)[0]
    without = sums.middle + _log_quantile(total[:, None] - parts, z)
    count = len(without)
    jackknife = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    # Of few people the jackknife's own spread is large; the error is at least that of independent pairs.
    pairs = people * (people - 1) / 2 + people * (count - people)
    mean, second, _ = total[1:] / total[0]
    least = math.sqrt(max(second - mean**2, 0.0) * (1 + z**2 / 2) / pairs)
    return math.exp(estimate - float(t.ppf(confidence, count - MOMENTS)) * max(jackknife, least))


def _log_quantile(sums: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Return the quantile of ln d from its mean, spread and skewness.

    Args:
        sums: (4, n) sums of the powers 0 to 3 of ln d.
        z: the same quantile of the standard normal distribution.

    Returns:
        (n,) quantiles.
    """
    mean, second, third = sums[1:] / sums[0]
    variance = np.maximum(second - mean**2, 1e-12)
    skewness = (third - 3 * mean * second + 2 * mean**3) / variance**1.5
    return log_quantile(np.array([mean, np.log(variance) / 2, skewness]), z)
