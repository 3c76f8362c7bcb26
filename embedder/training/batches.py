"""Photos to batches: order and augmentation of each epoch follow from the seed and its number alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

SHIFT = 0.05  # of the side: what a hand-held camera or a loose crop moves a face by


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One pass over the photos in a new order, each randomly mirrored and shifted.

    Whatever was drawn before, epoch k is the same epoch k, so that a resumed run sees what an unbroken one
    would have seen.

    Args:
        chips: (n, size, size, 3) uint8.
        labels: (n,) int32 class numbers from 0.
        targets: labels -> what the head's outputs are compared with.
        batch_size: photos per batch; the last batch of an epoch may be smaller.
        seed: of order and augmentation.
        first_epoch: number of the first epoch, from 0.
    """

    def __init__(
        self,
        chips: NDArray[np.uint8],
        labels: NDArray[np.int32],
        targets: Callable[[NDArray[np.int32]], Any],
        batch_size: int,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._chips, self._labels, self._targets = chips, labels, targets
        self._batch_size, self._seed, self._epoch = batch_size, seed, first_epoch
        self._order = self._draw_order()

    def __len__(self) -> int:
        """Batches per epoch; a last batch of a single photo is left to the next epoch's order."""
        whole, rest = divmod(len(self._labels), self._batch_size)
        return max(1, whole + (rest > 1))

    def __getitem__(self, index: int) -> tuple[dict[str, NDArray[Any]], Any]:
        """Give batch `index` of the epoch: ({"image", "label"}, targets)."""
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        rng = np.random.default_rng([self._seed, 2, self._epoch, index])
        labels = self._labels[rows]
        images = augment(self._chips[rows], rng).astype(np.float32)
        return {"image": images, "label": labels}, self._targets(labels)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._epoch += 1
        self._order = self._draw_order()

    def _draw_order(self) -> NDArray[np.intp]:
        return np.random.default_rng([self._seed, 3, self._epoch]).permutation(len(self._labels))


def augment(chips: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mirror half of the pictures and shift each by up to `SHIFT` of its side, repeating the border.

    Args:
        chips: (n, size, size, 3) uint8.
        rng: draws.

    Returns:
        A new array of the same shape.
    """
    count, size = chips.shape[:2]
    most = math.ceil(SHIFT * size)
    mirrored = rng.random(size=(count,)) < 0.5
    shifts = rng.integers(-most, most + 1, (count, 2))
    pixels = np.arange(size)
    out = np.empty_like(chips)
    for i in range(count):
        rows, columns = (np.clip(pixels + shift, 0, size - 1) for shift in shifts[i])
        out[i] = chips[i][rows[:, None], columns[::-1] if mirrored[i] else columns]
    return out
