"""The threshold for a wanted FPIR at a gallery's own size, and what stands behind it.

Each enrolled person is searched for among the others, as a stranger, and so are strangers the user gives.
Counting alone promises little: if none of n independent searches names anyone, FPIR is below about 3/n (the
rule of three), so 1 % takes 300 strangers. A gallery of ten people has ten. So the threshold is modelled:

- d, the distance from a photo to the nearest template of one other person, has a distribution F whose
  logarithm is taken as normal, corrected for its skewness (Cornish and Fisher 1938);
- of N enrolled people, none is nearer than t with probability (1 - F(t))^N at least, since the distances of
  one photo to many people go up and down together (Slepian 1962): FPIR(t) <= 1 - (1 - F(t))^N;
- mean, ln spread and skewness of ln d have the prior that the model carries (`embedder.strangers`), updated
  by the gallery's own estimate of them (`enroll.posterior`);
- the lower confidence bound of the quantile is the threshold. A gallery of one person has the prior alone;
  as people come, the prior weighs ever less, and in the end nothing.

A model without such knowledge leaves the gallery's own estimate, which takes four people.

The threshold is never beyond what counting allows, either. People who are nearer to each other than strangers
are (`enroll.near_people`) are compared with all others, but not with each other, and if one photo alone makes
them so, it is left out instead: both in the model and in the count. `scripts/prove_calibration.py` checks the
promise.
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
from enroll.distances import LeftOut, LogSums, blocks_of_people
from enroll.near_people import find_near_people, left_out_of
from enroll.posterior import MOMENTS, posterior_threshold
from enroll.templates import checked_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from embedder.moments import Moments
    from embedder.strangers import StrangerDistances
    from enroll.near_people import NearPeople

_CONFIDENCE = 0.985  # of the bound: for 95 % in the end, the model being a little wrong too (docs/trust.md)
_LEAST_PEOPLE = MOMENTS + 1
_MOST_SEARCHES = 5000  # more are drawn from at random: they would add nothing but time
UNLIKELY = 0.01  # how probable a gallery must be by the prior for no contradiction


_RANGES = {
    "distance": (-1e-9, 2),  # between unit vectors; below 0, where it names no one, not even for a copy
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
    """A threshold, what it promises, and what that rests on.

    Attributes:
        distance: the threshold; a face is someone's if it is at most this far from their template.
        target_fpir: share of strangers that is named at most.
        confidence: how sure that is, by the model.
        named: of the searches counted, those that name someone at this threshold.
        searches: non-mated searches: photos of enrolled people among the others, and of strangers.
        strangers: people they belong to.
        counted_bound: upper confidence bound of FPIR by counting people alone, without a model.
        identities: people in the gallery.
        templates: their photos.
        comparisons: photos compared with people who are not theirs.
        set_aside: pairs of people who are too near to each other to be strangers: not compared, or compared
            without the one photo that makes them so.
        known_people, known_sets: what the prior was measured on; 0 without one.
        agreement: how probable a gallery is by the prior that is as unlike it as this one, or that its photos
            are of the kind the prior is of, whichever is less, 0 to 1; 1 without comparisons or a prior.
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
        """Refuse numbers that no calibration has.

        Raises:
            ValueError: a number is out of its range, or more were named than searched for.
        """
        check_numbers(self, _RANGES, "calibration")
        if self.named > self.searches:
            raise ValueError(f"calibration: named: expected at most {self.searches}, got {self.named}")

    @property
    def threshold(self) -> float:
        """Give the largest distance at which a name is given: `distance`."""
        return self.distance

    @property
    def contradicted(self) -> bool:
        """Say whether the gallery's photos contradict what is known of the model."""
        return self.agreement < UNLIKELY


@dataclass(frozen=True, eq=False)
class Probes:
    """What is searched for in a gallery: its own templates, then strangers.

    Attributes:
        vectors: (n + m, dim) unit rows.
        owners: (n + m,) whose they are: from 0 the enrolled people, then the strangers.
        people: number of enrolled people.
        labels: (n,) as `owners`, of the templates alone.
    """

    vectors: NDArray[np.float32]
    owners: NDArray[np.int64]
    people: int
    labels: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        vectors: NDArray[np.floating],
        labels: NDArray[np.generic],
        strangers: NDArray[np.floating] | None = None,
        stranger_labels: NDArray[np.generic] | None = None,
    ) -> Probes:
        """Number people and strangers; see `calibrate` for the arguments.

        Raises:
            UsageError: a vector is not finite.
        """
        people, owners = np.unique(labels, return_inverse=True)
        probes, enrolled = vectors, owners
        if strangers is not None and stranger_labels is not None and len(strangers):
            _, others = np.unique(stranger_labels, return_inverse=True)
            probes = np.concatenate([vectors, strangers])
            owners = np.concatenate([owners, others + len(people)])
        if not np.isfinite(probes).all():
            raise UsageError("calibrating: a vector is not finite; the model is broken, train it again")
        return cls(probes, owners.astype(np.int64), len(people), enrolled.astype(np.int64))

    def near_people(self, known: StrangerDistances | None) -> tuple[NearPeople, ...]:
        """Find people too near to each other to be strangers."""
        templates = self.vectors[: len(self.labels)]
        return find_near_people(self.vectors, self.owners, templates, self.labels, self.prior(known))

    def prior(self, known: StrangerDistances | None) -> Moments | None:
        """Give what the model knows of distances in this gallery."""
        if known is None:
            return None
        photos = np.bincount(self.labels)
        return known.prior(self.people, float(np.exp(np.log(photos).mean())))


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
    """Find the threshold for a wanted FPIR.

    Args:
        vectors: (n, dim) unit rows, the gallery's templates.
        labels: (n,) whose they are, names or numbers.
        fpir: share of strangers that may be named, 1e-6 to .999.
        strangers: (m, dim) unit rows of people who are not in the gallery.
        stranger_labels: (m,) whose they are, apart from `labels`; None: each row is of another person.
        seed: of the draw, where there are too many searches to make all.
        known: of strangers' distances by the model; None: nothing.
        near: people who are too near to each other, if they were found already (`Probes.near_people`).

    Raises:
        UsageError: an FPIR out of its range, a vector that is not finite, or nothing is known and there
            are fewer than four people.
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
    """Find the threshold of a gallery that no one has calibrated, quickly, from some of its people.

    Args:
        vectors: (n, dim) unit rows, templates of some people, a few hundred.
        labels: (n,) whose they are.
        known: of strangers' distances by the model.
        fpir: share of strangers that may be named.
        people: in the whole gallery.
        photos: of each, the geometric mean.

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


@dataclass(frozen=True, eq=False)
class Searches:
    """What a calibration compares: photos and templates, without what is set aside.

    Attributes:
        probes: (m, dim) unit rows that are searched for.
        owners: (m,) whose they are, as those of `Probes`.
        templates: (n, dim) unit rows they are searched for among.
        labels: (n,) whose these are.
        left_out: searches and people that are not compared.
    """

    probes: NDArray[np.float32]
    owners: NDArray[np.int64]
    templates: NDArray[np.float32]
    labels: NDArray[np.int64]
    left_out: LeftOut

    @classmethod
    def of(cls, everything: Probes, near: tuple[NearPeople, ...], seed: int = 0) -> Searches:
        """Leave out people who are too near to each other; of very many photos, draw those searched for."""
        odd, apart = left_out_of(near, everything.owners)
        probes, owners = np.delete(everything.vectors, odd, axis=0), np.delete(everything.owners, odd)
        enrolled = len(everything.labels) - int((odd < len(everything.labels)).sum())
        templates, labels = probes[:enrolled], owners[:enrolled]
        if len(probes) > _MOST_SEARCHES:
            drawn = np.sort(np.random.default_rng(seed).permutation(len(probes))[:_MOST_SEARCHES])
            probes, owners = probes[drawn], owners[drawn]
        left_out = LeftOut.of(owners, int(labels.max()) + 1, apart)
        return cls(probes, owners, templates, labels, left_out)


def _compared(
    everything: Probes, near: tuple[NearPeople, ...], seed: int = 0
) -> tuple[LogSums, NDArray[np.float64], NDArray[np.int64]]:
    """Give the sums, and of each photo compared the distance of the nearest template and its owner."""
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
    """Give the largest threshold that counting allows.

    With enough searches, the upper confidence bound of the share named is at most the target, photos counted
    as if each were of another person; with fewer, the share itself.

    Args:
        nearest: (searches,) distance of the nearest template of each non-mated search.
        target_fpir: share of strangers that may be named.
    """
    searches = len(nearest)
    if searches < trials_needed(target_fpir):
        return threshold_at_fpir(nearest, target_fpir)
    named = np.arange(int(target_fpir * searches) + 1)
    allowed = sum(upper_bound(int(count), searches) <= target_fpir for count in named) - 1
    return threshold_at_fpir(nearest, allowed / searches)


def lognormal_threshold(sums: LogSums, target_fpir: float, confidence: float = _CONFIDENCE) -> float:
    """Give the lower confidence bound of the distance at which FPIR is as wanted, by the gallery alone.

    Args:
        sums: of all searches.
        target_fpir: share of strangers that may be named.
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
    # Of few people the jackknife's own spread is large; no one is surer than from independent pairs.
    pairs = people * (people - 1) / 2 + people * (count - people)
    mean, second, _ = total[1:] / total[0]
    least = math.sqrt(max(second - mean**2, 0.0) * (1 + z**2 / 2) / pairs)
    return math.exp(estimate - float(t.ppf(confidence, count - MOMENTS)) * max(jackknife, least))


def _log_quantile(sums: NDArray[np.float64], z: float) -> NDArray[np.float64]:
    """Quantile of ln d by mean, spread and skewness, from sums of the powers 0 to 3, (4, n)."""
    mean, second, third = sums[1:] / sums[0]
    variance = np.maximum(second - mean**2, 1e-12)
    skewness = (third - 3 * mean * second + 2 * mean**3) / variance**1.5
    return log_quantile(np.array([mean, np.log(variance) / 2, skewness]), z)
