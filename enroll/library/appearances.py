"""Follow faces from frame to frame, and keep what the answer for each appearance needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from enroll.agreement import Evidence
from enroll.library.tracks import Linking, Tracker, is_cut
from enroll.sightings import Sighting, worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedder.faces.crop import Crop
    from enroll.decision import Decision
    from enroll.library.video import Frame

    Decide = Callable[[NDArray[np.float32]], Sequence[Decision]]

_APART = 1.2  # times the threshold: no photos of one person of ORL are farther apart, most of strangers are
_BEST = 3  # frames of an appearance that are kept to be shown
_MANY = 1000  # appearances of which more than one picture is kept


@dataclass(eq=False)
class Appearance:
    """Holds one appearance of a person: from coming into sight to leaving it.

    Attributes:
        first, last: seconds since the film began.
        evidence: collected from its frames.
        best: its most useful frames, the best first.
    """

    first: float
    last: float
    evidence: Evidence = field(default_factory=Evidence)
    best: list[tuple[float, Sighting]] = field(default_factory=list)

    def add(self, sighting: Sighting, vector: NDArray[np.float32], keep: int) -> None:
        """Add a frame, and keep its face if it is among the best.

        Args:
            sighting: the face.
            vector: (dim,) float32 unit vector of it.
            keep: number of best frames to keep.
        """
        weight, good = worth(sighting.quality)
        self.last = sighting.seconds
        self.evidence.add(vector, sighting.decision, weight, good)
        self.best.append((weight + good, sighting))  # a good one before any other
        self._keep_best(keep)

    def include(self, other: Appearance) -> None:
        """Add another appearance of the same person."""
        self.evidence.include(other.evidence)
        self.best += other.best
        self._keep_best(max(len(self.best), 1))

    def _keep_best(self, keep: int) -> None:
        self.best.sort(key=lambda entry: -entry[0])
        del self.best[keep:]
        self.best[1:] = [entry for entry in self.best[1:] if entry[1].crop is not None]


class Appearances:
    """Holds all appearances of a film or camera, updated frame by frame."""

    def __init__(self, decide: Decide, threshold: float | None, gap: float, keep_crops: bool) -> None:
        """Start without any.

        Args:
            decide: returns the decision for each row of (n, dim) unit vectors, the faces of one frame.
            threshold: largest distance at which a name is given; if it is None, unknown, faces are followed
                by their places alone.
            gap: seconds for which someone may be out of sight within an appearance.
            keep_crops: keep the pictures of the best frames, too.
        """
        self._decide, self._keep_crops = decide, keep_crops
        near, apart = (0.0, 2.0) if threshold is None else (threshold, min(_APART * threshold, 2.0))
        self._tracker = Tracker(Linking(near, apart, gap=gap))
        self._by_track: dict[int, Appearance] = {}
        self._before: NDArray[np.uint8] | None = None
        self._count = 0

    def add(self, frame: Frame, crops: Sequence[Crop], vectors: NDArray[np.float32]) -> None:
        """Add the faces of a frame.

        Args:
            frame: later than the last one.
            crops: its faces.
            vectors: (n, dim) float32 unit vectors of them.
        """
        if self._before is not None and is_cut(self._before, frame.pixels):
            self._tracker.cut()
        self._before = frame.pixels
        height, width = frame.pixels.shape[:2]
        boxes = np.array([crop.box or (0, 0, width, height) for crop in crops], np.float64).reshape(-1, 4)
        good = np.array([worth(crop.quality)[1] for crop in crops], bool)
        numbers = self._tracker.add(frame.seconds, boxes, vectors, good)
        if not len(crops):
            return
        for number, crop, vector, decision in zip(
            numbers.tolist(), crops, vectors, self._decide(vectors), strict=True
        ):
            if number not in self._by_track:
                self._by_track[number] = Appearance(frame.seconds, frame.seconds)
                self._count += 1
            keep = _BEST if self._keep_crops and self._count <= _MANY else 1
            pixels = crop.pixels.copy() if self._keep_crops else None
            sighting = Sighting(frame.seconds, crop.box, crop.points, crop.quality, decision, pixels)
            self._by_track[number].add(sighting, vector, keep)

    def open(self) -> list[Appearance]:
        """List the appearances in sight, or out of sight for less than the gap."""
        return [self._by_track[number] for number in sorted(self._tracker.open) if number in self._by_track]

    def take_ended(self) -> list[Appearance]:
        """Remove and return the appearances that have ended."""
        ended = sorted(set(self._by_track) - self._tracker.open)
        return [self._by_track.pop(number) for number in ended]

    def take_all(self) -> list[Appearance]:
        """Remove and return all appearances that are left."""
        self._tracker.cut()
        return self.take_ended()
