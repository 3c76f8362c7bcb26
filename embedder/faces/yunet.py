"""Run YuNet on LiteRT: a picture to the places that may be faces, decoded.

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023. All its
layers are convolutions: it takes pictures of any size and sees faces from 20 to 300 pixels at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.runtime import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME, VERSION = "yunet", "2023mar"  # the version is that of the weights, in opencv_zoo's words
STRIDE = 32  # sides of what the network sees are multiples of it
_CLASS, _OBJECT, _CENTER, _SIZE, _POINTS = 0, 1, slice(2, 4), slice(4, 6), slice(6, 16)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Places that may be faces, the most certain first; (0, 0) is the outer corner of the first pixel.

    Attributes:
        boxes: (n, 4) float32 x, y, width, height in pixels.
        points: (n, 5, 2) float32 in pixels, in the order of `detection.POINTS`.
        scores: (n,) float32, 0 to 1.
    """

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class YuNet:
    """The network for pictures of one size at a time; another size costs a millisecond to prepare.

    Not safe to share between threads: the runtime keeps one set of buffers.
    """

    def __init__(self, network: bytes, threads: int = 1) -> None:
        """Load the network.

        Args:
            network: LiteRT flatbuffer, as `embedder.export.yunet` compiles it.
            threads: to run it with.
        """
        from ai_edge_litert.interpreter import Interpreter

        with quiet():  # LiteRT announces its delegate on standard error
            self._interpreter: Any = Interpreter(model_content=network, num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs: list[tuple[int, int]] = []  # stride and index of each map
        self._shape = (0, 0)

    def look(self, picture: NDArray[np.uint8], at_least: float) -> Candidates:
        """Find the places that score at least so much.

        Args:
            picture: (height, width, 3) uint8 RGB; it is filled up with black to multiples of `STRIDE`.
            at_least: smallest score, between 0 and 1.
        """
        height, width = picture.shape[:2]
        shape = (-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE)
        if shape != self._shape:
            self._prepare(shape)
        seen = self._interpreter.tensor(self._input)()[0]
        seen[:height, :width] = picture
        seen[height:], seen[:, width:] = 0, 0
        del seen  # the runtime refuses to run while its memory is looked at
        self._interpreter.invoke()
        maps = {stride: self._interpreter.get_tensor(index)[0] for stride, index in self._outputs}
        return decode(maps, at_least)

    def _prepare(self, shape: tuple[int, int]) -> None:
        self._shape = (0, 0)
        with quiet():
            self._interpreter.resize_tensor_input(self._input, (1, *shape, 3))
            self._interpreter.allocate_tensors()
        self._outputs = [
            (shape[0] // int(entry["shape"][1]), entry["index"])
            for entry in self._interpreter.get_output_details()
        ]
        self._shape = shape


def decode(maps: dict[int, NDArray[np.float32]], at_least: float) -> Candidates:
    """Turn the network's numbers into boxes and points, only for the places that score enough.

    Args:
        maps: by stride in pixels, (rows, columns, 16): logits of class and object, whose probabilities'
            geometric mean is the score; center, logarithm of the size and five points, in strides from the
            cell's corner.
        at_least: smallest score, between 0 and 1.
    """
    floor = 2 * np.log(at_least)  # of the logarithm of class times object
    boxes, points, scores = [], [], []
    for stride, numbers in maps.items():
        # A probability is 1 at most: where one alone is too small, the other need not be looked at.
        rows, columns = np.nonzero(numbers[..., _CLASS] >= floor - np.log1p(-np.exp(floor)))
        kept = numbers[rows, columns]
        certainty = np.exp(-0.5 * np.logaddexp(0, -kept[:, [_CLASS, _OBJECT]]).sum(axis=1))
        enough = certainty >= at_least
        kept, cell = kept[enough], np.stack([columns, rows], axis=1)[enough].astype(np.float32)
        size = np.exp(kept[:, _SIZE]) * stride
        center = (cell + kept[:, _CENTER]) * stride
        boxes.append(np.concatenate([center - size / 2, size], axis=1))
        points.append((cell[:, None] + kept[:, _POINTS].reshape(-1, 5, 2)) * stride)
        scores.append(certainty[enough])
    together = np.concatenate(scores)
    order = np.argsort(-together, kind="stable")
    return Candidates(
        np.concatenate(boxes).astype(np.float32)[order],
        np.concatenate(points).astype(np.float32)[order],
        together.astype(np.float32)[order],
    )
