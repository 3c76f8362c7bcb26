"""The same person under two names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.doctor.crowd import Crowd
    from enroll.doctor.likeness import Evidence

_TWICE = 0.05  # share of people assumed to be enrolled under a second name, before looking


@dataclass(frozen=True)
class Twins:
    """Two names whose photos are as near to each other as those of one person.

    Attributes:
        first, second: indices of the people, the lower one first.
        distance: from the middle photo of one to the other person, the larger of both directions.
        probability: that they are one person.
    """

    first: int
    second: int
    distance: float
    probability: float


def find_twins(
    crowd: Crowd,
    rows: NDArray[np.int64],
    people: NDArray[np.int64],
    distances: NDArray[np.float64],
    evidence: Evidence,
) -> list[Twins]:
    """Find pairs of people who are more probably one than two, the most probable first.

    Every name is taken to have a second one with probability 1/20, any other name alike.

    Args:
        crowd: the templates.
        rows: (m,) photos.
        people: (m,) other people who are near them; all others are far away.
        distances: (m,) typical distances of both.
        evidence: what a distance says.
    """
    count = len(crowd.names)
    codes = crowd.labels[rows] * count + people  # a photo's person, and another who is near it
    order = np.lexsort((distances, codes))
    pairs, starts, listed = np.unique(codes[order], return_index=True, return_counts=True)
    place = (crowd.sizes()[pairs // count] - 1) // 2  # of the middle one among all photos of the first
    near = listed > place
    middle = distances[order][starts[near] + place[near]]
    there = dict(zip(pairs[near].tolist(), middle.tolist(), strict=True))
    doubt = np.log(max(count - 1, 1) / _TWICE)
    found = []
    for code, distance in there.items():
        first, second = divmod(code, count)
        back = there.get(second * count + first)
        if first < second and back is not None:
            farther = max(distance, back)
            surplus = float(evidence(np.array([farther]))[0]) - doubt
            if surplus > 0:
                found.append(Twins(first, second, farther, float(1 / (1 + np.exp(-surplus)))))
    return sorted(found, key=lambda pair: (-pair.probability, pair.distance, pair.first, pair.second))
