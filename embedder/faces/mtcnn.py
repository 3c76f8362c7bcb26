"""MTCNN: three networks in a row, each looking more closely at what the one before let through.

Zhang et al. 2016, arXiv 1604.02878. The first network sees faces of 12 x 12 pixels and is shown the photo in
many sizes; the second sees what it found in 24 x 24 pixels, the third in 48 x 48, cut from the photo itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedder.config import DetectorConfig
from embedder.faces.align import Similarity, cut
from embedder.faces.detection import Detection, first_of_each_place, without_overlaps
from embedder.faces.mtcnn_networks import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_CELL, _STRIDE = 12, 2  # pixels of the square in which the first network sees a face, and between two
_STEP = 0.709  # from one size of the photo to the next: half of the pixels
_BAND = 2**15  # pixels the first network sees at once; what it computes of them fits the processor's cache
_BATCH = 64  # squares another network sees at once
# Share of the union of two boxes. The package has 0.5 after the first network, which loses one ORL face in
# 800: the one box left of it may be one that the next networks do not let through.
_SAME_PLACE = 0.7


@dataclass(frozen=True, eq=False)
class _Places:
    """Places that may be faces, the most certain first; coordinates in pixels of the photo.

    Attributes:
        boxes: (n, 4) float64 x, y, width, height.
        scores: (n,) float64, 0 to 1.
        points: (n, 5, 2) float64: left eye, right eye, nose, left and right corner of the mouth, as seen in
            the picture; or (n, 0, 2).
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    points: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.intp] | list[int]) -> _Places:
        return _Places(self.boxes[rows], self.scores[rows], self.points[rows])


@dataclass(frozen=True)
class _Stage:
    """A network, the side of the squares it sees, and the score at which it lets a place through."""

    network: Network
    side: int
    at_least: float


class MtcnnDetector:
    """Finds faces with MTCNN; see `detection.Detector`."""

    # As measured on the chips that dlib cuts, of 150 x 150 pixels; the mouth is the middle of its corners.
    canonical = np.array([[47, 45], [101, 45], [74, 75], [(51 + 98) / 2, 100]]) / 150

    def __init__(self, config: DetectorConfig | None = None, threads: int = 1) -> None:
        """Load the networks.

        Args:
            config: what is looked for; the scores that count are the package's own.
            threads: that numpy may use while it looks; two gain a tenth.

        Raises:
            MissingPackageError: the package `mtcnn` is not installed.
        """
        from threadpoolctl import ThreadpoolController

        self._config = config or DetectorConfig()
        self._first = _Stage(Network("pnet", pools=(2, 0, 0)), _CELL, 0.6)
        self._second = _Stage(Network("rnet", pools=(3, 3, 0)), 24, 0.7)
        self._third = _Stage(Network("onet", pools=(3, 3, 2, 0)), 48, 0.8)
        self._pools, self._threads = ThreadpoolController(), threads

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the most certain first."""
        with self._pools.limit(limits=self._threads, user_api="blas"):
            places = self._propose(image)
            places = _look(self._second, image, places.boxes)
            places = places[first_of_each_place(places.boxes, _SAME_PLACE, of_union=True)]
            places = _look(self._third, image, places.boxes)
        eyes_and_nose, mouth = places.points[:, :3], places.points[:, 3:].mean(axis=1, keepdims=True)
        points = np.concatenate([eyes_and_nose, mouth], axis=1)
        faces = [
            Detection((x, y, width, height), own_points, score)
            for (x, y, width, height), own_points, score in zip(
                places.boxes.tolist(), points, places.scores.tolist(), strict=True
            )
        ]
        return without_overlaps(faces, self._config.overlap)

    def _propose(self, image: NDArray[np.uint8]) -> _Places:
        """Give the places where the first network sees a face, in any size of the photo."""
        size = np.array(image.shape[1::-1])
        found = [_places(np.empty((0, 4)), np.empty(0))]
        for shape, level in _levels(image, self._config.min_face):
            factor = size / shape
            # A face may be larger than the photo's shorter side: give it the room.
            room = np.maximum(_CELL - shape, 0)
            left, top = (room // 2).tolist()
            right, bottom = (room - room // 2).tolist()
            seen = self._look_everywhere(np.pad(level, ((top, bottom), (left, right), (0, 0))))
            boxes = seen.boxes - (left, top, 0, 0)
            found.append(_places(boxes * np.tile(factor, 2), seen.scores))
        every = _joined(found)
        return every[first_of_each_place(every.boxes, _SAME_PLACE, of_union=True)]

    def _look_everywhere(self, level: NDArray[np.uint8]) -> _Places:
        """Show one size of the photo to the first network, in bands that bound the memory."""
        rows = max(1, _BAND // level.shape[1] // _STRIDE) * _STRIDE
        bands = []
        for top in range(0, level.shape[0] - _CELL + 1, rows):
            offsets, logits = self._first.network(level[None, top : top + rows + _CELL - _STRIDE])
            scores = _scores(logits[0])
            y, x = np.nonzero(scores > self._first.at_least)
            squares = np.column_stack([_STRIDE * x, _STRIDE * y + top, np.full(len(x), _CELL)])
            bands.append(_places(_moved(squares, offsets[0, y, x]), scores[y, x]))
        every = _joined(bands)
        return every[first_of_each_place(every.boxes, _SAME_PLACE, of_union=True)]


def _levels(image: NDArray[np.uint8], min_face: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8]]]:
    """Give width and height, and the pixels, of each size of the photo that the first network is shown."""
    size = np.array(image.shape[1::-1])
    # In a picture of hardly more than a face, half of its length is large.
    scale = min(1.0, _CELL / min(min_face, size.max() / 2))
    photo = Image.fromarray(image).reduce(max(1, int(1 / (2 * scale))))  # once, not for each size
    while max(size) * scale >= _CELL:
        shape = np.maximum(1, np.round(size * scale)).astype(int)
        how = Image.Resampling.BILINEAR
        yield shape, np.asarray(photo.resize((int(shape[0]), int(shape[1])), how, reducing_gap=2.0))
        scale *= _STEP


def _look(stage: _Stage, image: NDArray[np.uint8], boxes: NDArray[np.float64]) -> _Places:
    """Show each place to a network, and give those it lets through, where it says they are."""
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    within = ((centers > 0) & (centers < image.shape[1::-1])).all(axis=1)  # there is something to see
    sides = boxes[:, 2:].max(axis=1, keepdims=True)
    squares = np.concatenate([centers - sides / 2, sides], axis=1)[within]
    batches = []
    for start in range(0, len(squares), _BATCH):
        batch = squares[start : start + _BATCH]
        patches = [_patch(image, x, y, side, stage.side) for x, y, side in batch.tolist()]
        offsets, *points, logits = stage.network(np.stack(patches))
        scores = _scores(logits)
        rows = np.flatnonzero(scores > stage.at_least)
        # Five x, then five y.
        relative = points[0].reshape(-1, 2, 5).transpose(0, 2, 1) if points else np.empty((len(batch), 0, 2))
        absolute = batch[:, None, :2] + batch[:, None, 2:] * relative
        batches.append(_Places(_moved(batch, offsets)[rows], scores[rows], absolute[rows]))
    return _joined(batches or [_Places(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)))])


def _patch(image: NDArray[np.uint8], x: float, y: float, side: float, pixels: int) -> NDArray[np.uint8]:
    scale = pixels / side
    to_square = Similarity(complex(scale), -scale * complex(x, y))
    return cut(image, to_square, pixels, Image.Resampling.BILINEAR)


def _moved(squares: NDArray[np.floating], offsets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Apply what a network says about squares x, y, side: where their four edges should be."""
    side = squares[:, 2:]
    low = squares[:, :2] + side * offsets[:, :2]
    high = squares[:, :2] + side + side * offsets[:, 2:]
    return np.concatenate([low, high - low], axis=1)


def _scores(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp((logits[..., 0] - logits[..., 1]).astype(np.float64)))


def _places(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> _Places:
    return _Places(boxes, scores, np.empty((len(boxes), 0, 2)))


def _joined(parts: list[_Places]) -> _Places:
    """Put lists together, the most certain first; what has no area is left out."""
    boxes = np.concatenate([part.boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    points = np.concatenate([part.points for part in parts])
    order = np.argsort(-scores, kind="stable")
    return _Places(boxes, scores, points)[order[(boxes[order, 2:] > 0).all(axis=1)]]
