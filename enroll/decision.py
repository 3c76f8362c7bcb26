"""Neighbours and a threshold to an answer: a name, or unknown and why. A pure rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Reason = Literal["match", "too_far", "ambiguous", "taken", "empty_gallery", "few_frames", "disputed"]


@dataclass(frozen=True)
class Candidate:
    """An identity and the distance of its nearest template, euclidean between unit vectors, 0 to 2."""

    identity: str
    distance: float


@dataclass(frozen=True)
class Decision:
    """The answer for one face.

    Attributes:
        identity: the name, or None for unknown.
        reason: `match`; `too_far`: the nearest template is beyond the threshold; `ambiguous`: another
            person is within the margin; `taken`: another face of the photo is nearer to that person;
            `empty_gallery`; and of several frames of one person (`enroll.agreement`) `few_frames`: too few of
            them agree; `disputed`: too many of them name someone else.
        distance: of the nearest template, None in an empty gallery.
        threshold: the largest distance at which a name is given.
        candidates: the nearest identities, nearest first.
    """

    identity: str | None
    reason: Reason
    distance: float | None
    threshold: float
    candidates: tuple[Candidate, ...]

    @property
    def second(self) -> float | None:
        """Distance of the second person's nearest template, None if there is none."""
        return self.candidates[1].distance if len(self.candidates) > 1 else None


@overload
def is_within(distance: float, threshold: float) -> bool: ...
@overload
def is_within(distance: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]: ...
def is_within(distance: float | NDArray[np.float64], threshold: float) -> bool | NDArray[np.bool_]:
    """Say whether a distance, or each of an array of them, allows a name; a NaN does not."""
    return distance <= threshold


def is_ambiguous(first: float, second: float, margin: float) -> bool:
    """Say whether the second person is too near to name the first one."""
    return second - first < margin


def decide(candidates: Sequence[Candidate], threshold: float, margin: float = 0.0) -> Decision:
    """Name the nearest identity if its own nearest template is within the threshold.

    The template that passes the gate is the template that gives the name, so they cannot be two people.

    Args:
        candidates: nearest identities in total order, nearest first.
        threshold: largest distance at which a name is given.
        margin: the second identity must be at least this much farther than the first.

    Example:
        >>> decide([Candidate("Ada", 0.41), Candidate("Bob", 0.93)], threshold=0.6).identity
        'Ada'
        >>> decide([Candidate("Ada", 0.71), Candidate("Bob", 0.93)], threshold=0.6).reason
        'too_far'
    """
    listed = tuple(candidates)
    if not listed:
        return Decision(None, "empty_gallery", None, threshold, ())
    first = listed[0]
    reason: Reason = "match"
    if not is_within(first.distance, threshold):
        reason = "too_far"
    elif len(listed) > 1 and is_ambiguous(first.distance, listed[1].distance, margin):
        reason = "ambiguous"
    return Decision(first.identity if reason == "match" else None, reason, first.distance, threshold, listed)


def one_face_per_person(decisions: Sequence[Decision]) -> list[Decision]:
    """Give each person to one face of a photo: the nearest.

    A face that loses its person is unknown; it does not go on to the second-nearest, since what speaks
    against the first person is another face and nothing in this one (docs/decisions/005).

    Args:
        decisions: of all faces of one photo; of equally near ones the first wins.
    """
    holder: dict[str, int] = {}
    for index, decision in enumerate(decisions):
        if (name := decision.identity) is None or decision.distance is None:
            continue
        best = decisions[holder[name]].distance if name in holder else None
        if best is None or decision.distance < best:
            holder[name] = index
    return [
        decision
        if decision.identity is None or holder[decision.identity] == index
        else replace(decision, identity=None, reason="taken")
        for index, decision in enumerate(decisions)
    ]
