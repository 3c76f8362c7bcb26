"""Decide on a name from the nearest people and a threshold: a name, or unknown and why.

Pure functions: no files, no model, no state.
"""

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
    """Holds a person who may be the answer, and the distance to them.

    Attributes:
        identity: name of the person.
        distance: Euclidean distance of their nearest template, 0 to 2 between unit vectors.

    Example:
        >>> Candidate("Ada", 0.41).distance
        0.41
    """

    identity: str
    distance: float


@dataclass(frozen=True)
class Decision:
    """Holds the answer for one face: a name, or unknown and the reason.

    Attributes:
        identity: the name, or None for unknown.
        reason: `match`; `too_far`: the nearest template is beyond the threshold; `ambiguous`: another
            person is within the margin; `taken`: another face of the photo is nearer to that person;
            `empty_gallery`; and of several frames of one person (`enroll.agreement`) `few_frames`: too few of
            them agree; `disputed`: too many of them name someone else.
        distance: of the nearest template, None in an empty gallery.
        threshold: the largest distance at which a name is given.
        candidates: the nearest people, nearest first.

    Example:
        >>> answer = decide([Candidate("Ada", 0.71), Candidate("Bob", 0.93)], threshold=0.6)
        >>> answer.identity is None, answer.reason, answer.second
        (True, 'too_far', 0.93)
    """

    identity: str | None
    reason: Reason
    distance: float | None
    threshold: float
    candidates: tuple[Candidate, ...]

    @property
    def second(self) -> float | None:
        """Distance of the nearest template of the second person, None if there is none."""
        return self.candidates[1].distance if len(self.candidates) > 1 else None


@overload
def is_within(distance: float, threshold: float) -> bool: ...
@overload
def is_within(distance: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]: ...
def is_within(distance: float | NDArray[np.float64], threshold: float) -> bool | NDArray[np.bool_]:
    """Return whether each distance is at most the threshold, so that it allows a name.

    Args:
        distance: one distance, or (n,) float64; NaN allows none.
        threshold: largest distance at which a name is given.

    Returns:
        A bool, or (n,) bool.
    """
    return distance <= threshold


def is_ambiguous(first: float, second: float, margin: float) -> bool:
    """Return whether the second person is less than the margin farther than the first."""
    return second - first < margin


def decide(candidates: Sequence[Candidate], threshold: float, margin: float = 0.0) -> Decision:
    """Decide on the nearest person: name them if their nearest template is near enough.

    The template that is compared with the threshold is the template that gives the name, so they cannot show
    two people.

    Args:
        candidates: the nearest people, nearest first.
        threshold: largest distance at which a name is given.
        margin: the second person must be at least this much farther than the first.

    Returns:
        The name, or None and the reason.

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
    """Name each person once in a photo: keep the nearest of several faces with one name.

    A face that loses its name is unknown. It does not get the name of its second-nearest person, because
    another face is evidence against the first name but none for the second (docs/decisions/005).

    Args:
        decisions: of all faces of one photo; of equally near ones the first keeps the name.

    Returns:
        The decisions in the same order, those that lost their name with the reason `taken`.
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
