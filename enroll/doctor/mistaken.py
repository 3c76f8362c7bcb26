"""Photos that do not look like their person: Bayes' rule over whom a photo may show.

Before looking, a photo shows the person it is given to with probability 19/20; else, nine times out of ten,
any other person of the gallery alike, or no one in it. The evidence of the distances is added
(`likeness.Evidence`), and a photo is suspected when it is more probably wrong than right. Suspects no longer
stand for their person, and the rest is judged again, so that several wrong photos of one person do not hide
each other.

Whose photos are all unlike each other, and like no one else's, may be right or wrong: there is no majority.
They are `Split`, and their photos not suspected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from enroll.doctor.likeness import Evidence, learn, typical_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from enroll.doctor.crowd import Crowd
    from enroll.doctor.twins import Twins

_WRONG = 0.05  # share of photos assumed to show someone else, before looking
_NO_ONE_HERE = 0.1  # share of these that show no one of the gallery
_ROUNDS = 5  # two or three are enough; a photo might go in and out for ever


@dataclass(frozen=True)
class Suspect:
    """A photo that probably does not show its person.

    Attributes:
        row: of the template.
        like: index of the person it looks like, or -1: no one here.
        probability: that it is wrong.
    """

    row: int
    like: int
    probability: float


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of judging all photos.

    Attributes:
        suspects: the most probable first.
        split: people whose photos are unlike each other without a majority.
        kept: (n,) the templates that are not suspected.
    """

    suspects: tuple[Suspect, ...]
    split: tuple[int, ...]
    kept: NDArray[np.bool_]


def find_mistaken(
    crowd: Crowd,
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
    evidence: Evidence,
    twins: Sequence[Twins] = (),
) -> Judged:
    """Judge every photo.

    Args:
        crowd: the templates.
        rows: (m,) photos.
        people: (m,) other people who are near them.
        evidence: from all photos; learned anew without the suspects.
        twins: names of one person; a photo is not wrong for looking like its person's other name.
    """
    count = len(crowd.names)
    same = {(pair.first, pair.second) for pair in twins}
    codes = [first * count + second for first, second in same | {(b, a) for a, b in same}]
    apart = ~np.isin(crowd.labels[rows] * count + people, codes)
    rows, people = rows[apart], people[apart]
    kept = np.ones(len(crowd.labels), bool)
    for _ in range(_ROUNDS):
        wrong, like, split = _judge(crowd, rows, people, evidence, kept)
        before, kept = kept, wrong <= 0.5
        if np.array_equal(before, kept):
            break
        evidence = learn(crowd, crowd.members(kept), kept) or evidence
    suspects = [Suspect(row, int(like[row]), float(wrong[row])) for row in np.flatnonzero(~kept).tolist()]
    suspects.sort(key=lambda entry: (-entry.probability, entry.row))
    return Judged(tuple(suspects), tuple(split.tolist()), kept)


def _judge(
    crowd: Crowd,
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
    evidence: Evidence,
    kept: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.intp]]:
    """Give each photo's probability to be wrong, whom it is like, and the people without a majority."""
    members, everyone = crowd.members(kept), np.arange(len(crowd.labels))
    own = evidence(typical_distances(crowd, members, everyone, crowd.labels))
    distances = typical_distances(crowd, members, rows, people)
    others = np.where(np.isfinite(distances), evidence(distances), -np.inf)
    right = own + np.log(1 - _WRONG)
    # Of all others only those near a photo count; the rest add nothing.
    someone = np.full(len(own), -np.inf)
    np.logaddexp.at(someone, rows, others)
    someone += np.log(_WRONG * (1 - _NO_ONE_HERE) / max(len(crowd.names) - 1, 1))
    no_one = np.log(_WRONG * _NO_ONE_HERE)
    unlike = (np.logaddexp(someone, no_one) > right) & (someone <= right)
    left = np.bincount(crowd.labels[someone <= right], minlength=len(crowd.names))
    alone = np.bincount(crowd.labels[unlike], minlength=len(crowd.names))
    split = np.flatnonzero((alone > 0) & (2 * alone >= left))
    no_one = np.where(np.isin(crowd.labels, split), -np.inf, no_one)
    odds = np.logaddexp(someone, no_one) - right
    best = np.full(len(own), -np.inf)
    np.maximum.at(best, rows, others)
    nearest = others == best[rows]
    like = np.full(len(own), -1)
    like[rows[nearest]] = people[nearest]
    like[no_one > someone] = -1
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500))), like, split
