"""BlazeFace over a photo: a coarse look for places that may be faces, then a close look at each.

The network sees faces best when they are 24 to 96 of its pixels wide. So the photo is shown to it in
several sizes, from one that makes the smallest face 20 pixels down to one in which a face may fill the
picture; there, a low score is enough. Each place is cut out, turned upright by its eyes and looked at again
in the size the network likes; that decides, and gives the points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedder.config import DetectorConfig
from embedder.faces.align import Similarity, cut
from embedder.faces.blazeface import STRIDE, BlazeFace, Candidates
from embedder.faces.detection import Detection, first_of_each_place, without_overlaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SMALLEST = 20  # pixels of the smallest face in the largest size shown; at 18, one in 100 is lost
_TOO_SMALL = 0.75  # of the smallest face; below, more places that are none than faces are found
_STEP = 3  # from one size to the next; a face is well seen over a factor of 4
_LEAST, _LAST = 64, 85  # pixels of the longer side in the smallest size: a face may fill it
_BLOCK = 1024  # longest side shown at once, a multiple of the stride: bounds the memory
_SEAM = 128  # pixels that blocks share: the largest face seen in one
_SEEN_LARGER = 3  # a face is well seen over a factor of 4; seen too small, its place is too large
_SAME_PLACE = 0.4  # share of the union from which two sizes saw the same place
_CLOSE, _SHARE = 80, 0.7  # pixels of the close look, and the share of its side that a face takes
_SMALL_PHOTO = 1_000_000  # pixels below which the look for the smallest faces may be saved
_FIRST, _FIRST_PROPOSAL = 5 / 3, 2  # times the smallest face and the proposal, of the look before that


class BlazeFaceDetector:
    """Finds faces with BlazeFace; see `detection.Detector`. Not safe to share between threads."""

    # Medians over the ORL faces on the chips that dlib cuts, of 150 x 150 pixels.
    canonical = np.array([[47.0, 45.4], [102.6, 45.4], [75.3, 76.7], [75.1, 102.8]]) / 150

    def __init__(self, config: DetectorConfig | None = None, threads: int = 1) -> None:
        """Load the network.

        Args:
            config: what is looked for.
            threads: of the look at the largest size; the others are too small to be shared out.
        """
        self._config = config or DetectorConfig()
        self._threads = threads
        self._coarse: dict[tuple[str, int], BlazeFace] = {}
        self._close = BlazeFace(1)

    def find(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find the faces of a (height, width, 3) uint8 RGB picture, the most certain first."""
        smallest, at_least = self._config.min_face, self._config.proposal
        scales = _scales(image, smallest)
        found: list[Detection] = []
        if image.shape[0] * image.shape[1] < _SMALL_PHOTO:
            first = _scales(image, _FIRST * smallest)
            found = self._look(image, first, _FIRST_PROPOSAL * at_least, "first", found)
            # People in a photo are of a size: next to a large face, few are as small as the next look finds.
            if found and min(face.box[2] for face in found) > 2 * smallest:
                return without_overlaps(found, self._config.overlap)
            scales = scales[:1] if found else scales
        found = self._look(image, scales, at_least, "thorough", found)
        return without_overlaps(found, self._config.overlap)

    def _look(
        self,
        image: NDArray[np.uint8],
        scales: list[float],
        at_least: float,
        look: str,
        known: list[Detection],
    ) -> list[Detection]:
        """Give the faces that are known and those that are seen at some scales."""
        found = list(known)
        least = _TOO_SMALL * min(self._config.min_face, _SMALLEST / scales[0])
        for box, points in self._places(image, scales, at_least, look):
            if any(_same_face(face, *box.tolist()) for face in found):
                continue
            face = self._look_closely(image, box, points)
            if face and face.box[2] >= least:
                found.append(face)
        return found

    def _places(
        self, image: NDArray[np.uint8], scales: list[float], at_least: float, look: str
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Give the box and points of each place worth a close look, the most promising first."""
        size = np.array(image.shape[1::-1])
        # Where most pixels would be averaged away, leaving out every other one halves the time.
        step = 2 if scales[0] < 0.4 and size.min() > STRIDE else 1
        picture = Image.fromarray(image[::step])
        if step > 1:
            picture = picture.resize((size // step).tolist(), Image.Resampling.NEAREST)
        seen = []
        for level, scale in enumerate(scales):
            shape = np.maximum(1, np.round(size * scale / STRIDE)).astype(int) * STRIDE
            picture = picture.resize(shape.tolist(), Image.Resampling.BILINEAR, reducing_gap=1.0)
            network = self._network(look, level)
            seen.append(_enlarged(_look_coarsely(network, np.asarray(picture), at_least), size / shape))
        together = _joined(seen)
        for index in first_of_each_place(together.boxes, _SAME_PLACE, of_union=True):
            yield together.boxes[index], together.points[index]

    def _network(self, look: str, level: int) -> BlazeFace:
        """Give each step of each look a network of its own, as changing the size takes time."""
        if (look, level) not in self._coarse:
            self._coarse[look, level] = BlazeFace(1 if level else self._threads)
        return self._coarse[look, level]

    def _look_closely(
        self, image: NDArray[np.uint8], box: NDArray[np.float32], points: NDArray[np.float32]
    ) -> Detection | None:
        """Say whether a place is a face, and if so, where exactly."""
        x, y, width, height = box.tolist()
        center, side = complex(x + width / 2, y + height / 2), (width + height) / 2
        eyes = complex(*(points[1] - points[0]).tolist())
        turn = eyes.conjugate() / (abs(eyes) or 1) * (_CLOSE * _SHARE / side)
        to_square = Similarity(turn, complex(_CLOSE, _CLOSE) / 2 - turn * center)
        square = cut(image, to_square, _CLOSE, Image.Resampling.BILINEAR)
        seen = self._close.look(square, self._config.score)
        if not len(seen.scores):
            return None
        back = to_square.inverse()
        x, y, width, height = seen.boxes[0].tolist()
        middle = back.turn * complex(x + width / 2, y + height / 2) + back.shift
        if abs(middle - center) > side / 2:  # another face, which has a place of its own
            return None
        side = (width + height) / 2 * back.scale
        box_found = (middle.real - side / 2, middle.imag - side / 2, side, side)
        return Detection(box_found, back(seen.points[0]), float(seen.scores[0]))


def _scales(image: NDArray[np.uint8], smallest: float) -> list[float]:
    """Give the sizes to show a picture in, as shares of its own, the largest first."""
    longest = max(image.shape)
    scales = [max(_SMALLEST / smallest, _LEAST / longest)]
    while longest * scales[-1] > _LAST:
        scales.append(scales[-1] / _STEP)
    return scales


def _look_coarsely(network: BlazeFace, pixels: NDArray[np.uint8], at_least: float) -> Candidates:
    blocks = []
    for top in range(0, max(1, pixels.shape[0] - _SEAM), _BLOCK - _SEAM):
        for left in range(0, max(1, pixels.shape[1] - _SEAM), _BLOCK - _SEAM):
            block = pixels[top : top + _BLOCK, left : left + _BLOCK]
            seen = network.look(block, at_least)
            shift = np.array([left, top], np.float32)
            boxes = seen.boxes + np.concatenate([shift, [0, 0]])
            blocks.append(Candidates(boxes, seen.points + shift, seen.scores))
    return _joined(blocks)


def _enlarged(seen: Candidates, factor: NDArray[np.float64]) -> Candidates:
    exact = factor.astype(np.float32)
    return Candidates(seen.boxes * np.tile(exact, 2), seen.points * exact, seen.scores)


def _joined(parts: list[Candidates]) -> Candidates:
    order = np.argsort(-np.concatenate([part.scores for part in parts]), kind="stable")
    return Candidates(
        np.concatenate([part.boxes for part in parts])[order],
        np.concatenate([part.points for part in parts])[order],
        np.concatenate([part.scores for part in parts])[order],
    )


def _same_face(face: Detection, x: float, y: float, width: float, height: float) -> bool:
    """Say whether a place is a face that was found already, seen in another size too."""
    left, top, side, _ = face.box
    right, down = x + width / 2 - left, y + height / 2 - top  # from the face's corner to the place's middle
    if 0 <= right < side and 0 <= down < side:
        return True
    far = max(abs(right - side / 2), abs(down - side / 2))
    return width < _SEEN_LARGER * side and far < width / 4
