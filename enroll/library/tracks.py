"""Link faces of successive frames to tracks, and tracks to people. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RECENT = 3  # good vectors of a track that a face is compared with: a head turns


@dataclass(frozen=True)
class Linking:
    """Holds the conditions for a face to continue a track.

    Attributes:
        near: distance of unit vectors up to which two good faces are one person's, wherever they are.
        apart: distance beyond which two good faces are two people's, however their boxes overlap.
        overlap: intersection over union of the boxes from which a face continues a track.
        gap: seconds without its face after which a track ends.
    """

    near: float
    apart: float
    overlap: float = 0.3
    gap: float = 2.0


@dataclass(eq=False)
class _Track:
    """Holds a track that may be continued.

    `speed` is that of the box's middle, in pixels a second.
    """

    number: int
    seen: float
    box: NDArray[np.float64]
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    recent: list[NDArray[np.float32]] = field(default_factory=list)

    def box_at(self, seconds: float) -> NDArray[np.float64]:
        """Predict the box of its face, (4,) float64 x, y, width and height in pixels."""
        moved = self.box.copy()
        moved[:2] += self.speed * (seconds - self.seen)
        return moved

    def move(self, seconds: float, box: NDArray[np.float64]) -> None:
        """Continue the track with a box, (4,) float64, at a time in seconds."""
        middles = [one[:2] + one[2:] / 2 for one in (self.box, box)]
        self.speed = (middles[1] - middles[0]) / max(seconds - self.seen, 1e-3)
        self.seen, self.box = seconds, box


class Tracker:
    """Links the faces of frames, given in the order of time, to tracks.

    Example:
        >>> tracker = Tracker(Linking(near=1.0, apart=1.2))
        >>> box, vector, good = np.array([[10, 10, 60, 60]]), np.eye(1, 4), np.array([True])
        >>> [tracker.add(seconds, box, vector, good).tolist() for seconds in (0.0, 0.5, 9.0)]
        [[0], [0], [1]]
    """

    def __init__(self, linking: Linking) -> None:
        """Start without tracks."""
        self._linking = linking
        self._open: list[_Track] = []
        self._next = 0
        self._before = 0.0  # time of the last frame

    @property
    def open(self) -> set[int]:
        """The numbers of the tracks that may still be continued."""
        return {track.number for track in self._open}

    def add(
        self,
        seconds: float,
        boxes: NDArray[np.float64],
        vectors: NDArray[np.float32],
        good: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Link the faces of a frame, each to another track, and start new ones.

        Args:
            seconds: time of the frame, not before that of the last.
            boxes: (n, 4) float64 x, y, width and height of the faces, in pixels.
            vectors: (n, dim) float32 unit vectors of them.
            good: (n,) bool, whether each can be recognized; the vectors of others are not compared.

        Returns:
            (n,) int64, the number of each face's track.
        """
        self._open = [track for track in self._open if seconds - track.seen <= self._linking.gap]
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        numbers = np.full(len(boxes), -1, np.int64)
        for row, column in self._pairs(seconds, boxes, vectors, good):
            track = self._open[row]
            track.move(seconds, boxes[column])
            self._learn(track, vectors[column], bool(good[column]))
            numbers[column] = track.number
        for column in np.flatnonzero(numbers < 0).tolist():
            track = _Track(self._next, seconds, boxes[column])
            self._learn(track, vectors[column], bool(good[column]))
            self._open.append(track)
            numbers[column] = track.number
            self._next += 1
        self._before = seconds
        return numbers

    def cut(self) -> None:
        """End all tracks: the scene changed, so that the next boxes have nothing to do with the last ones."""
        self._open = []

    @staticmethod
    def _learn(track: _Track, vector: NDArray[np.float32], good: bool) -> None:
        if good:
            track.recent = [*track.recent, vector][-_RECENT:]

    def _pairs(
        self,
        seconds: float,
        boxes: NDArray[np.float64],
        vectors: NDArray[np.float32],
        good: NDArray[np.bool_],
    ) -> list[tuple[int, int]]:
        """Assign faces to open tracks so that they fit best altogether."""
        if not self._open or not len(boxes):
            return []
        from scipy.optimize import linear_sum_assignment

        limits = self._linking
        expected = np.stack([track.box_at(seconds) for track in self._open])
        last = np.stack([track.box for track in self._open])
        overlap = np.maximum(overlaps(expected, boxes), overlaps(last, boxes))
        distance = np.full(overlap.shape, np.inf)
        for row, track in enumerate(self._open):
            if track.recent and good.any():
                near = np.stack(track.recent).astype(np.float64) @ vectors[good].astype(np.float64).T
                distance[row, good] = np.sqrt(np.maximum(0, 2 - 2 * near.max(axis=0)))
        known = np.isfinite(distance)
        # Another person may have come to a place that was empty for a while.
        there = np.array([track.seen >= self._before for track in self._open])[:, None]
        by_place = (overlap >= limits.overlap) & ~(
            known & (distance > np.where(there, limits.apart, limits.near))
        )
        by_vector = known & (distance <= limits.near)
        fits = np.where(by_place, overlap, 0) + np.where(by_vector, 2 - np.where(known, distance, 0), 0)
        rows, columns = linear_sum_assignment(-fits)
        return [
            (int(row), int(column)) for row, column in zip(rows, columns, strict=True) if fits[row, column]
        ]


def overlaps(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the intersection over union of boxes.

    Args:
        some: (n, 4) float64 x, y, width and height.
        others: (m, 4) likewise.

    Returns:
        (n, m) float64, 0 to 1; 0 for boxes without an area.
    """
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum((some[:, :2] + some[:, 2:])[:, None], (others[:, :2] + others[:, 2:])[None])
    shared = np.maximum(0, high - low).prod(axis=2)
    areas = some[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1)[None] - shared
    return np.asarray(np.divide(shared, areas, out=np.zeros_like(shared), where=areas > 0))


def join_tracks(
    vectors: NDArray[np.float32], spans: NDArray[np.float64], weights: NDArray[np.float64], near: float
) -> NDArray[np.int64]:
    """Join tracks of one person, the nearest first; never two that are seen at the same time.

    Groups are compared by their mean vectors, so that a chain of look-alikes does not make one person.

    Args:
        vectors: (n, dim) float32 unit vectors, the mean of each track.
        spans: (n, 2) float64 first and last second of each track.
        weights: (n,) float64 number of frames behind each vector; tracks of weight 0 are joined with none.
        near: distance up to which they are one person's.

    Returns:
        (n,) int64, the number of each track's person, counted in the order of their first tracks.
    """
    group = list(range(len(vectors)))
    members = {index: [index] for index in group}
    sums = vectors.astype(np.float64) * weights[:, None]
    for one, other in _near_pairs(vectors, weights > 0, near):
        a, b = group[one], group[other]
        if a == b or _overlap(spans[members[a]], spans[members[b]]):
            continue
        if np.linalg.norm(_unit(sums[a]) - _unit(sums[b])) > near:
            continue
        a, b = min(a, b), max(a, b)
        sums[a] += sums[b]
        for index in members[b]:
            group[index] = a
        members[a] += members.pop(b)
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def _near_pairs(
    vectors: NDArray[np.float32], counted: NDArray[np.bool_], near: float
) -> list[tuple[int, int]]:
    """Find the pairs of rows within a distance, the nearest first."""
    rows = np.flatnonzero(counted)
    pairs, lengths = [], []
    for place, row in enumerate(rows[:-1]):  # a row at a time: all distances of 20,000 tracks take gigabytes
        later = rows[place + 1 :]
        distance = np.sqrt(np.maximum(0, 2 - 2 * (vectors[later] @ vectors[row]).astype(np.float64)))
        close = distance <= near
        pairs.append(np.column_stack([np.full(close.sum(), row), later[close]]))
        lengths.append(distance[close])
    if not pairs:
        return []
    order = np.argsort(np.concatenate(lengths), kind="stable")
    return [(int(one), int(other)) for one, other in np.concatenate(pairs)[order]]


def _overlap(some: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    return bool(np.any((some[:, None, 0] <= others[None, :, 1]) & (others[None, :, 0] <= some[:, None, 1])))


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def is_cut(before: NDArray[np.uint8], after: NDArray[np.uint8], share: float = 0.5) -> bool:
    """Return whether the scene changed between two frames: most pixels have another brightness.

    Args:
        before: (height, width, 3) uint8 RGB; only few pixels are compared.
        after: the next frame, likewise.
        share: of the pixels that must have moved to another of 16 levels of brightness.
    """
    one, other = _levels(before), _levels(after)
    return float(np.abs(one - other).sum()) / 2 > share


def _levels(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the share of pixels at each of 16 levels of green, which is most of the brightness."""
    step = max(1, min(image.shape[:2]) // 64)
    green = image[::step, ::step, 1].ravel() >> 4
    return np.bincount(green, minlength=16) / max(1, len(green))
