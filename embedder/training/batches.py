"""Photos to batches: order and views of each epoch follow from the seed and its number alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from embedder.training.sampling import Sampler
from embedder.training.views import Views


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One pass over the photos in a new order, each in a new view.

    Whatever was drawn before, epoch k is the same epoch k, so that a resumed run sees what an unbroken one
    would have seen.

    Args:
        views: of n photos.
        labels: (n,) int32 class numbers from 0.
        targets: labels -> what the head's outputs are compared with.
        sampler: says which photos make up a batch.
        seed: of what is drawn in the views.
        first_epoch: number of the first epoch, from 0.
    """

    def __init__(
        self,
        views: Views,
        labels: NDArray[np.int32],
        targets: Callable[[NDArray[np.int32]], Any],
        sampler: Sampler,
        seed: int,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._views, self._labels, self._targets = views, labels, targets
        self._sampler, self._seed, self._epoch = sampler, seed, first_epoch
        self._rows = self._sampler.epoch(first_epoch)

    def __len__(self) -> int:
        """Batches per epoch."""
        return len(self._sampler)

    def __getitem__(self, index: int) -> tuple[dict[str, NDArray[Any]], Any]:
        """Give batch `index` of the epoch: the inputs by name, and the targets."""
        rows = self._rows[index]
        rng = np.random.default_rng([self._seed, 2, self._epoch, index])
        labels = self._labels[rows]
        return {**self._views(rows, rng), "label": labels}, self._targets(labels)

    def on_epoch_end(self) -> None:
        """Go on to the next epoch."""
        self._epoch += 1
        self._rows = self._sampler.epoch(self._epoch)
