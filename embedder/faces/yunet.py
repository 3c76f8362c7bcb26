"""Run the face detector YuNet on LiteRT, and decode its output to candidates.

Wu, Peng and Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector". All its layers are convolutions: it
takes pictures of any size, and finds faces from 20 to 300 pixels in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.runtime import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME, VERSION = "yunet", "2023mar"  # the version is that of the weights, as opencv_zoo names it
STRIDE = 32  # pixels: the sides of the network's input are multiples of it
_CLASS, _OBJECT, _CENTER, _SIZE, _POINTS = 0, 1, slice(2, 4), slice(4, 6), slice(6, 16)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Holds places that may be faces, sorted by score from high to low.

    Attributes:
        boxes: (n, 4) float32 x, y, width, height in pixels; (0, 0) is the outer corner of the first pixel.
        points: (n, 5, 2) float32 in pixels, in the order of `detection.POINTS`.
        scores: (n,) float32, 0 to 1.
    """

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class YuNet:
    """Runs YuNet on pictures; a change of the picture size takes a millisecond.

    Each thread needs its own: the runtime has one set of buffers.
    """

    def __init__(self, network: bytes, threads: int = 1) -> None:
        """Load the network.

        Args:
            network: LiteRT flatbuffer, as `embedder.export.yunet` compiles it.
            threads: number of threads of the network.
        """
        from ai_edge_litert.interpreter import Interpreter

        with quiet():  # LiteRT announces its delegate on standard error
            self._interpreter: Any = Interpreter(model_content=network, num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs: list[tuple[int, int]] = []  # stride and index of each map
        self._shape = (0, 0, 0)

    def look(self, picture: NDArray[np.uint8], at_least: float) -> Candidates:
        """Find the places with at least a given score.

        Args:
            picture: (height, width, 3) uint8 RGB; it is filled up with black to multiples of `STRIDE`.
            at_least: lowest score, between 0 and 1.
        """
        return self.look_all(picture[None], at_least)[0]

    def look_all(self, pictures: NDArray[np.uint8], at_least: float) -> list[Candidates]:
        """Find the places of several pictures in one run.

        Args:
            pictures: (n, height, width, 3) uint8 RGB; filled up with black to multiples of `STRIDE`.
            at_least: lowest score, between 0 and 1.
        """
        count, height, width = pictures.shape[:3]
        shape = (count, -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE)
        if shape != self._shape:
            self._prepare(shape)
        buffer = self._interpreter.tensor(self._input)()
        buffer[:, :height, :width] = pictures
        buffer[:, height:], buffer[:, :, width:] = 0, 0
        del buffer  # the runtime does not run while an array refers to its memory
        self._interpreter.invoke()
        maps = {stride: self._interpreter.get_tensor(index) for stride, index in self._outputs}
        return decode(maps, at_least)

    def _prepare(self, shape: tuple[int, int, int]) -> None:
        self._shape = (0, 0, 0)
        with quiet():
            self._interpreter.resize_tensor_input(self._input, (*shape, 3))
            self._interpreter.allocate_tensors()
        self._outputs = [
            (shape[1] // int(entry["shape"][1]), entry["index"])
            for entry in self._interpreter.get_output_details()
        ]
        self._shape = shape


def decode(maps: dict[int, NDArray[np.float32]], at_least: float) -> list[Candidates]:
    """Decode the network's output to boxes and points, for places with a sufficient score.

    Args:
        maps: (pictures, rows, columns, 16) float32 by stride in pixels: logits of class and object, whose
            probabilities' geometric mean is the score; center, logarithm of the size, and five points, in
            strides from the cell's corner.
        at_least: lowest score, between 0 and 1.

    Returns:
        The candidates of each picture.
    """
    floor = 2 * np.log(at_least)  # of the logarithm of class times object
    # A probability is 1 at most, so a cell in which either is too small cannot have enough score.
    enough = floor - np.log1p(-np.exp(floor))
    cells = {
        stride: np.nonzero((numbers[..., _CLASS] >= enough) & (numbers[..., _OBJECT] >= enough))
        for stride, numbers in maps.items()
    }
    numbers = np.concatenate([maps[stride][at] for stride, at in cells.items()])
    places = np.concatenate([np.stack(at, axis=1) for at in cells.values()])
    strides = np.repeat(np.array(list(cells), np.float32), [len(at[0]) for at in cells.values()])
    scores = np.exp(-0.5 * np.logaddexp(0, -numbers[:, [_CLASS, _OBJECT]]).sum(axis=1))
    likely = np.flatnonzero(scores >= at_least)
    order = likely[np.lexsort((-scores[likely], places[likely, 0]))]
    numbers, places, strides, scores = (part[order] for part in (numbers, places, strides[:, None], scores))
    corner = places[:, :0:-1].astype(np.float32)
    size = np.exp(numbers[:, _SIZE]) * strides
    center = (corner + numbers[:, _CENTER]) * strides
    boxes = np.concatenate([center - size / 2, size], axis=1)
    points = (corner[:, None] + numbers[:, _POINTS].reshape(-1, 5, 2)) * strides[:, None]
    pictures = len(next(iter(maps.values())))
    ends = np.searchsorted(places[:, 0], np.arange(1, pictures))
    parts = (np.split(part.astype(np.float32), ends) for part in (boxes, points, scores))
    return [Candidates(*picture) for picture in zip(*parts, strict=True)]
