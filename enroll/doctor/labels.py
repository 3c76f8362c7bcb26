"""Find photos under the wrong name, and one person under two names.

Whether a photo shows its person is judged by Bayes' rule. The prior probability that it does is 19/20; if it
does not, it shows, nine times out of ten, any other person of the gallery with equal probability, else no one
in it. The evidence of the distances is added (`enroll.doctor.evidence.DistanceEvidence`), and a photo is
suspected when it is more probably wrong than right. Then the worst photo of each person no longer represents
them, unless it is their last, and all are judged again, so that wrong photos neither hide each other nor make
right ones suspected.

If half of a person's photos or more are unlike the others, and like no one else, it cannot be said which are
wrong: the person is divided, and these photos are not suspected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.doctor.evidence import DistanceEvidence, fit_evidence, typical_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from enroll.doctor.evidence import DistanceEvidence, LabeledTemplates


_TWICE = 0.05  # share of people assumed to be enrolled under a second name, before looking

_WRONG = 0.05  # share of photos assumed to show someone else, before looking
_NO_ONE_HERE = 0.1  # share of these that show no one of the gallery
_ROUNDS = 5  # number of wrong photos of one person that may hide each other


@dataclass(frozen=True)
class DuplicatePeople:
    """Holds two names whose photos are as near to each other as those of one person.

    Attributes:
        first, second: indices of the people, the lower one first.
        distance: from the middle photo of one to the other person, the larger of both directions.
        probability: that they are one person, 0 to 1.
    """

    first: int
    second: int
    distance: float
    probability: float


def doubt_of_two_names(people: int) -> float:
    """Return the evidence that makes two names as probably one person's as two people's.

    Args:
        people: number of people in the gallery.

    Returns:
        ln of a ratio of densities.
    """
    return float(np.log(max(people - 1, 1) / _TWICE))


def find_duplicates(
    labeled: LabeledTemplates,
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
    distances: NDArray[np.float64],
    evidence: DistanceEvidence,
) -> list[DuplicatePeople]:
    """Find pairs of names that are more probably one person than two, the most probable first.

    The prior probability that a person has a second name is 1/20, any other name with equal probability.

    Args:
        labeled: the templates.
        rows: (m,) int64 photos.
        people: (m,) int64 other people who are near them; all others are taken to be far away.
        distances: (m,) float64 typical distances of both.
        evidence: weighs a distance.
    """
    count = len(labeled.names)
    codes = labeled.labels[rows] * count + people  # a photo's person, and another who is near it
    order = np.lexsort((distances, codes))
    pairs, starts, listed = np.unique(codes[order], return_index=True, return_counts=True)
    place = (labeled.sizes()[pairs // count] - 1) // 2  # of the middle one among all photos of the first
    near = listed > place
    middle = distances[order][starts[near] + place[near]]
    there = dict(zip(pairs[near].tolist(), middle.tolist(), strict=True))
    doubt = doubt_of_two_names(count)
    found = []
    for code, distance in there.items():
        first, second = divmod(code, count)
        back = there.get(second * count + first)
        if first < second and back is not None:
            farther = max(distance, back)
            surplus = float(evidence(np.array([farther]))[0]) - doubt
            if surplus > 0:
                found.append(DuplicatePeople(first, second, farther, float(1 / (1 + np.exp(-surplus)))))
    return sorted(found, key=lambda pair: (-pair.probability, pair.distance, pair.first, pair.second))


@dataclass(frozen=True)
class MislabeledPhoto:
    """Holds a photo that probably does not show its person.

    Attributes:
        row: of the template.
        like: index of the person it looks like, or -1: no one in the gallery.
        probability: that it is wrong, 0 to 1.
    """

    row: int
    like: int
    probability: float


@dataclass(frozen=True, eq=False)
class Judged:
    """Holds the judgement of all photos.

    Attributes:
        mislabeled: photos that are probably wrong, the most probable first.
        divided: people whose photos are unlike each other without a majority.
        kept: (n,) bool, the templates that are not suspected.
    """

    mislabeled: tuple[MislabeledPhoto, ...]
    divided: tuple[int, ...]
    kept: NDArray[np.bool_]


def find_mislabeled(
    labeled: LabeledTemplates,
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
    evidence: DistanceEvidence,
    duplicates: Sequence[DuplicatePeople] = (),
) -> Judged:
    """Find photos that probably do not show their person.

    Args:
        labeled: the templates.
        rows: (m,) int64 photos.
        people: (m,) int64 other people who are near them.
        evidence: of all photos; it is fitted again without those that are wrong.
        duplicates: names of one person; a photo is not wrong for looking like its person's other name.
    """
    count = len(labeled.names)
    same = {(pair.first, pair.second) for pair in duplicates}
    codes = [first * count + second for first, second in same | {(b, a) for a, b in same}]
    apart = ~np.isin(labeled.labels[rows] * count + people, codes)
    rows, people = rows[apart], people[apart]
    believed = np.ones(len(labeled.labels), bool)
    for _ in range(_ROUNDS):
        wrong, like, divided = _judge(labeled, rows, people, evidence, believed)
        worst = _worst(labeled, wrong, believed)
        if not len(worst):
            break
        believed[worst] = False
        evidence = fit_evidence(labeled, labeled.members(believed), believed) or evidence
    else:
        wrong, like, divided = _judge(labeled, rows, people, evidence, believed)
    found = [
        MislabeledPhoto(row, int(like[row]), float(wrong[row]))
        for row in np.flatnonzero(wrong > 0.5).tolist()
    ]
    found.sort(key=lambda entry: (-entry.probability, entry.row))
    return Judged(tuple(found), tuple(divided.tolist()), wrong <= 0.5)


def _worst(
    labeled: LabeledTemplates, wrong: NDArray[np.float64], believed: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Return the row of the most probably wrong photo of each person who has another one.

    Args:
        labeled: the templates.
        wrong: (n,) float64, how probably each is wrong.
        believed: (n,) bool, photos that represent their person.
    """
    rows = np.flatnonzero(believed)
    rows = rows[np.lexsort((-wrong[rows], labeled.labels[rows]))]
    _, first, photos = np.unique(labeled.labels[rows], return_index=True, return_counts=True)
    return np.asarray(rows[first][(wrong[rows[first]] > 0.5) & (photos > 1)])


def _judge(
    labeled: LabeledTemplates,
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
    evidence: DistanceEvidence,
    believed: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.intp]]:
    """Compute how probably each photo is wrong, and find the people without a majority.

    Args:
        labeled: the templates.
        rows: (m,) int64 photos.
        people: (m,) int64 other people who are near them; all others are too far to count.
        evidence: weighs a distance.
        believed: (n,) bool, photos that represent their person.

    Returns:
        (n,) float64 probabilities, (n,) int64 the person each is like, and the people without a majority.
    """
    members, everyone, count = labeled.members(believed), np.arange(len(labeled.labels)), len(labeled.names)
    right = evidence(typical_distances(labeled, members, everyone, labeled.labels)) + np.log(1 - _WRONG)
    distances = typical_distances(labeled, members, rows, people)
    others = np.where(np.isfinite(distances), evidence(distances), -np.inf)
    someone, best = np.full((2, len(right)), -np.inf)
    np.logaddexp.at(someone, rows, others)
    np.maximum.at(best, rows, others)
    someone += np.log(_WRONG * (1 - _NO_ONE_HERE) / max(count - 1, 1))
    no_one = np.log(_WRONG * _NO_ONE_HERE)
    odds = np.logaddexp(someone, no_one) - right
    unclaimed = someone <= np.maximum(right, no_one)
    alone = np.bincount(labeled.labels[unclaimed & (odds > 0)], minlength=count)
    left = np.bincount(labeled.labels[unclaimed], minlength=count)
    divided = np.flatnonzero((alone > 0) & (2 * alone >= left))
    odds[unclaimed & np.isin(labeled.labels, divided)] = -np.inf
    like = np.full(len(right), -1)
    nearest = (others == best[rows]) & ~unclaimed[rows]
    like[rows[nearest]] = people[nearest]
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500))), like, divided
