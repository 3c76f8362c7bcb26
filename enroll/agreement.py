"""Decide on several frames of one person: a name on which good frames agree, or unknown.

A pure function of its arguments. One frame can be wrong: of hundreds of frames of a stranger, the nearest is
nearer than a photo would be. So a name takes two things. The mean vector of the best frames must be decided
for it, as a photo would be; and enough good frames must name the same person each on its own, a share of all
of them, and outnumber those for any other person by as many. `scripts/measure_agreement.py` measures how
often that names strangers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from enroll.decision import Decision

SHARE = 3  # one good frame in three must agree: names .7 % of strangers instead of 1.7 %, and no fewer known
MEAN_OF = 10  # best frames whose vectors are averaged: more of the same seconds add little


@dataclass(frozen=True)
class Agreement:
    """Holds the answer for several frames of one person.

    Attributes:
        decision: the name, or unknown and why, of all frames together.
        frames: number of frames in which the face was seen.
        good: number of these in which it can be recognized; only these count.
        agreed: number of good frames that give the answer on their own, too: the name, or unknown.
        against: number of good frames that name the person named most often among others.
    """

    decision: Decision
    frames: int
    good: int
    agreed: int
    against: int


class Evidence:
    """Collects the frames of one person; its size does not grow with their number.

    Attributes:
        frames: number of frames that were added.
        good: number of good ones.
        named: for each person, the number of good frames that name them.
    """

    def __init__(self) -> None:
        """Start without a frame."""
        self.frames = self.good = 0
        self.named: Counter[str] = Counter()
        self._best: list[tuple[bool, float, NDArray[np.float32]]] = []

    def add(self, vector: NDArray[np.float32], decision: Decision, weight: float, good: bool) -> None:
        """Add a frame.

        Args:
            vector: (dim,) float32 unit vector of the face.
            decision: for the frame on its own.
            weight: how useful the face is, 0 or more; see `embedder.faces.quality.usefulness`.
            good: whether it can be recognized.
        """
        self.frames += 1
        if good:
            self.good += 1
            if decision.identity is not None:
                self.named[decision.identity] += 1
        self._best.append((good, weight, vector))
        self._keep_best()

    def include(self, other: Evidence) -> None:
        """Add the frames of another appearance of the same person."""
        self.frames += other.frames
        self.good += other.good
        self.named += other.named
        self._best += other._best
        self._keep_best()

    def mean(self) -> NDArray[np.float32]:
        """Compute the weighted mean vector of the best frames, (dim,) float32 of unit length.

        Only good frames count, if there are any.

        Raises:
            ValueError: there are no frames.
        """
        if not self._best:
            raise ValueError("expected at least one frame, got none")
        chosen = [entry for entry in self._best if entry[0] == self._best[0][0]]
        weights = np.array([max(weight, 1e-6) for _, weight, _ in chosen])  # frames of no use count evenly
        mean = weights @ np.stack([vector for _, _, vector in chosen]).astype(np.float64)
        length = float(np.linalg.norm(mean))
        if length < 1e-6:  # opposite vectors cancel out; the best frame is used alone then
            return chosen[0][2]
        return np.asarray(mean / length, np.float32)

    def _keep_best(self) -> None:
        self._best.sort(key=lambda entry: (not entry[0], -entry[1]))
        del self._best[MEAN_OF:]


def agree(evidence: Evidence, joint: Decision, least: int) -> Agreement:
    """Decide who the frames of one person show.

    Args:
        evidence: all frames.
        joint: the decision for their mean vector.
        least: number of good frames that must name the person, at least a third of all good ones; and by
            which they must outnumber those that name anyone else.

    Returns:
        The name of `joint`, or unknown with the reason.

    Example:
        >>> from enroll.decision import Candidate, decide
        >>> named, evidence = decide([Candidate("ada", 0.4)], threshold=1.0), Evidence()
        >>> for vector in np.eye(2, dtype=np.float32):
        ...     evidence.add(vector, named, weight=1.0, good=True)
        >>> agree(evidence, named, least=2).decision.identity
        'ada'
    """
    name = joint.identity
    if name is None:
        against = max(evidence.named.values(), default=0)
        unknown = evidence.good - evidence.named.total()
        return Agreement(joint, evidence.frames, evidence.good, unknown, against)
    agreed = evidence.named[name]
    against = max((count for person, count in evidence.named.items() if person != name), default=0)
    decision = joint
    if agreed < max(least, evidence.good / SHARE):
        decision = replace(joint, identity=None, reason="few_frames")
    elif agreed - against < least:
        decision = replace(joint, identity=None, reason="disputed")
    return Agreement(decision, evidence.frames, evidence.good, agreed, against)
