"""People who come near enough to each other to be named for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from enroll.doctor.crowd import Crowd, Nearest
    from enroll.doctor.twins import Twins


@dataclass(frozen=True)
class Confused:
    """Two people of whom a photo of one would be named as the other, if that one alone were enrolled.

    Attributes:
        first, second: indices of the people, the lower one first.
        photos: of both, how many come within the threshold of the other.
        distance: of the two photos nearest to each other.
    """

    first: int
    second: int
    photos: int
    distance: float


def find_confused(
    crowd: Crowd,
    nearest: Nearest,
    threshold: float,
    kept: NDArray[np.bool_],
    twins: Sequence[Twins] = (),
) -> tuple[list[Confused], int]:
    """List pairs within a threshold, those with most photos first, then the nearest.

    Args:
        crowd: the templates.
        nearest: of other people to each.
        threshold: largest distance at which a name is given.
        kept: (n,) photos that are not suspected of showing someone else.
        twins: names of one person; they are no confusion.

    Returns:
        The pairs, and how many photos come within the threshold of any other person.
    """
    people = len(crowd.names)
    near = (nearest.rows >= 0) & (nearest.distances <= threshold) & kept[:, None]
    near &= kept[nearest.rows]
    rows, places = np.nonzero(near)
    whose, others = crowd.labels[rows], crowd.labels[nearest.rows[rows, places]]
    pairs = np.minimum(whose, others) * people + np.maximum(whose, others)
    apart = ~np.isin(pairs, [pair.first * people + pair.second for pair in twins])
    rows, pairs, distances = rows[apart], pairs[apart], nearest.distances[rows, places][apart]
    codes, index = np.unique(pairs, return_inverse=True)
    closest = np.full(len(codes), np.inf)
    np.minimum.at(closest, index, distances)
    photos = np.bincount(np.unique(index * len(kept) + rows) // len(kept), minlength=len(codes))
    found = [
        Confused(code // people, code % people, count, distance)
        for code, count, distance in zip(codes.tolist(), photos.tolist(), closest.tolist(), strict=True)
    ]
    found.sort(key=lambda pair: (-pair.photos, pair.distance, pair.first, pair.second))
    return found, len(np.unique(rows))
