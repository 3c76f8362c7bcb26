"""Find people who are nearer to each other than strangers: copies, wrong names, duplicates.

A distance between photos of two people is suspicious if no stranger is expected to be as near, however many
pairs are compared: fewer than one in 100 clean galleries of the size has a nearer one. The distribution of
strangers' distances comes from the model, and from the gallery itself: a normal distribution of ln d with the
model's as prior, mixed with 1 % of any distances, so that the near pairs that are looked for cannot shift the
fit.

If it is one photo of several, and unlike the others of its name, that photo is set aside for the threshold.
Otherwise the comparisons of the two people are. Nobody else's are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from embedder.errors import UsageError
from embedder.metrics import squared_distances
from embedder.moments import NO_DISTANCE, WARY, limit_of_strangers, middle_and_spread
from enroll.distances import LeftOut, near_pairs, person_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.moments import Moments

Kind = Literal["copy", "photo", "people"]

COPY = 0.02  # the same picture, perhaps stored again: photos of two people are far beyond
_OUTLIERS = 0.01  # share of comparisons that may not be of strangers, before looking
_RANGE = math.log(2 / NO_DISTANCE)  # of ln d, over which outliers are uniform
_MOST_SEARCHES = 512  # random searches from which the gallery's distances are estimated
_MOST_PEOPLE = 1000  # random people they are compared with; more add nothing but time
_STEPS = 30
_NONE = np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class NearPeople:
    """Holds two people who are nearer to each other than strangers.

    Attributes:
        first, second: indices of the people; strangers come behind those who are enrolled.
        kind: `copy`: one picture under both names; `photo`: some photos of the first are like the second;
            `people`: most photos of both are alike.
        photos: (row, row, distance) of the photos of the first and the nearest of the second, nearest first;
            strangers' rows come behind the templates.
        odd: row of the photo that is set aside in place of the pair: the only one of the first that is near,
            as far from the others of its name as strangers are, and these from the second; None if it is not
            one photo.
    """

    first: int
    second: int
    kind: Kind
    photos: tuple[tuple[int, int, float], ...]
    odd: int | None = None


def pairs_of(near: tuple[NearPeople, ...]) -> NDArray[np.int64]:
    """Return the pairs of people as (n, 2) int64."""
    return np.array([(pair.first, pair.second) for pair in near], np.int64).reshape(-1, 2)


def left_out_of(
    near: tuple[NearPeople, ...], owners: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what is set aside for the threshold.

    Args:
        near: pairs of people that were found.
        owners: (n + m,) int, the person of each photo.

    Returns:
        Rows of photos, rising, and (k, 2) pairs of people, both int64.
    """
    odd = np.unique(np.array([pair.odd for pair in near if pair.odd is not None], np.int64))
    bare = np.unique(owners[odd])
    bare = bare[[(owners == person).sum() == (owners[odd] == person).sum() for person in bare]]
    odd = odd[~np.isin(owners[odd], bare)]  # everyone keeps a photo
    alone = set(odd.tolist())
    return odd, pairs_of(tuple(pair for pair in near if pair.odd not in alone))


def find_near_people(
    probes: NDArray[np.float32],
    owners: NDArray[np.integer],
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer],
    prior: Moments | None,
) -> tuple[NearPeople, ...]:
    """Find people who are nearer to each other than strangers, among enrolled people and strangers.

    Args:
        probes: (n + m, dim) float32 unit rows: the templates, then strangers' photos.
        owners: (n + m,) int, the person of each, those of templates from 0 without a gap.
        vectors: (n, dim) float32, the templates.
        labels: (n,) int, their people, as in `owners`.
        prior: of ln d, or None if the model's distances are unknown.

    Raises:
        UsageError: most photos of different people have the same vector.
    """
    people = int(labels.max()) + 1
    left_out = LeftOut.of(owners, people, _NONE)
    total = len(probes) * people - len(left_out.rows)
    if total <= 0:
        return ()
    limit, usual = _limits(probes, owners, vectors, labels, prior, total)
    found: list[NDArray[np.int64]] = []
    for rows, others in near_pairs(probes, owners, len(vectors), limit):
        found.append(np.unique(np.sort(np.column_stack([owners[rows], owners[others]]), axis=1), axis=0))
    pairs = np.unique(np.concatenate(found), axis=0)
    if not len(pairs):
        return ()
    order = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[order], np.arange(int(owners.max()) + 2))
    result = []
    for first, second in pairs.tolist():
        mine, theirs = (order[starts[person] : starts[person + 1]] for person in (first, second))
        result.append(_judged(first, second, mine, theirs, probes, limit, usual))
    return tuple(sorted(result, key=lambda pair: (pair.photos[0][2], pair.first, pair.second)))


def _judged(
    first: int,
    second: int,
    mine: NDArray[np.intp],
    theirs: NDArray[np.intp],
    probes: NDArray[np.float32],
    limit: float,
    usual: float,
) -> NearPeople:
    """Find out which photos of two people are near, and which person's photo is unlike its others."""
    distances = np.sqrt(squared_distances(probes[mine], probes[theirs]))
    near = distances <= max(limit, distances.min())  # `near_pairs` rounds otherwise: a copy is 1e-8 away here
    row, column = np.unravel_index(distances.argmin(), distances.shape)
    # A wrong photo is farther from the others of its name than a right one.
    alone = (_nearest_own(probes, mine, int(row)), _nearest_own(probes, theirs, int(column)))
    photos_near = (near.any(axis=1).sum(), near.any(axis=0).sum())
    if (-alone[1], photos_near[1]) < (-alone[0], photos_near[0]):
        first, second, mine, theirs, distances, near = second, first, theirs, mine, distances.T, near.T
    rows = np.flatnonzero(near.any(axis=1))
    like = distances[rows].argmin(axis=1)
    order = np.argsort(distances[rows, like], kind="stable")
    photos = tuple(
        (int(mine[row]), int(theirs[column]), float(distances[row, column]))
        for row, column in zip(rows[order], like[order], strict=True)
    )
    most = all(2 * near.any(axis=axis).sum() > near.shape[1 - axis] for axis in (0, 1))
    kind: Kind = "copy" if photos[0][2] <= COPY else "people" if most else "photo"
    others = np.delete(distances, rows, axis=0)
    apart = len(rows) == 1 and len(others) > 0 and min(max(alone), others.min()) > usual
    odd = photos[0][0] if apart else None
    return NearPeople(first, second, kind, photos, odd)


def _nearest_own(probes: NDArray[np.float32], rows: NDArray[np.intp], place: int) -> float:
    """Return the distance of one of a person's photos to the nearest other one, infinite if it has none."""
    others = np.delete(rows, place)
    squared = squared_distances(probes[rows[[place]]], probes[others])
    return float(np.sqrt(squared.min())) if len(others) else math.inf


def _limits(
    probes: NDArray[np.float32],
    owners: NDArray[np.integer],
    vectors: NDArray[np.float32],
    labels: NDArray[np.integer],
    prior: Moments | None,
    total: int,
) -> tuple[float, float]:
    """Return the distance below which no stranger is expected, and the one below which few are."""
    rows = np.random.default_rng(0).permutation(len(probes))[:_MOST_SEARCHES]
    everyone = int(labels.max()) + 1
    people = np.arange(everyone)
    if everyone > _MOST_PEOPLE:
        people = np.sort(np.random.default_rng(1).permutation(everyone)[:_MOST_PEOPLE])
        theirs = np.isin(labels, people)
        vectors, labels = vectors[theirs], labels[theirs]
    distances = person_distances(probes[rows], vectors, labels)
    logs = np.log(np.maximum(distances, NO_DISTANCE))[owners[rows][:, None] != people]
    if not len(logs):
        return 0.0, 0.0
    if float(np.median(logs)) <= math.log(COPY):
        raise UsageError(
            "calibrating: photos of different people have the same vector, so no threshold tells them apart; "
            "`embed evaluate` on their folders finds the same person under two names"
        )
    if prior is None:
        middle, width = middle_and_spread(logs)
        return limit_of_strangers(middle, width, None, total), limit_of_strangers(middle, width, None, 1)
    pairs = everyone * (everyone - 1) / 2 + everyone * (len(np.unique(owners)) - everyone)
    mean, spread, skewness = robust_moments(logs, min(1.0, pairs / len(logs)), prior)
    return limit_of_strangers(mean, spread, skewness, total), limit_of_strangers(mean, spread, skewness, 1)


def robust_moments(logs: NDArray[np.float64], weight: float, prior: Moments) -> tuple[float, float, float]:
    """Fit a normal distribution to data with outliers, by expectation maximization.

    It starts from the prior and from the median, and the more probable result is used: one pair of people
    that is near is taken for an outlier, a gallery all of whose people are nearer for a gallery that differs.

    Args:
        logs: (n,) float64 ln d.
        weight: of each; photos of two people are one comparison.
        prior: of their moments; Student's t in the mean.

    Returns:
        Mean, spread and skewness; the skewness is one standard deviation lower than is likely, so that a long
        tail is not taken for outliers.
    """
    center, variance = float(prior.values[0]), max(float(prior.covariance[0, 0]), 1e-12)
    known = float(np.exp(2 * prior.values[1]))
    worth = 1 / (2 * max(float(prior.covariance[1, 1]), 1e-12))
    outside = math.log(_OUTLIERS / _RANGE)
    ends = []
    for start in (center, float(np.median(logs))):
        mean, squared = start, known
        for _ in range(_STEPS):
            inside = math.log(1 - _OUTLIERS) - (logs - mean) ** 2 / (2 * squared)
            inside -= math.log(2 * math.pi * squared) / 2
            with np.errstate(over="ignore"):  # far out: a share of 0
                share = weight / (1 + np.exp(outside - inside))
            # Student's t as a normal distribution whose variance grows with how far off the mean is.
            wider = variance * (prior.freedom + (mean - center) ** 2 / variance) / (prior.freedom + 1)
            mean = (center / wider + (share @ logs) / squared) / (1 / wider + share.sum() / squared)
            squared = (worth * known + share @ (logs - mean) ** 2) / (worth + share.sum())
        likelihood = weight * float(np.logaddexp(inside, outside).sum())
        surprise = (prior.freedom + 1) / 2 * math.log1p((mean - center) ** 2 / variance / prior.freedom)
        bent = float(share @ (logs - mean) ** 3 / max(share.sum(), 1e-12)) / squared**1.5
        ends.append((likelihood - surprise, mean, math.sqrt(squared), bent, float(share.sum())))
    _, mean, spread, bent, comparisons = max(ends)
    sureness, seen = 1 / max(float(prior.covariance[2, 2]), 1e-12), comparisons / 6
    skewness = (sureness * float(prior.values[2]) + seen * bent) / (sureness + seen)
    return mean, spread, max(float(skewness) - 1 / math.sqrt(sureness + seen), WARY)
