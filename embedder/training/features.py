"""Pictures through a trunk that is in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
from numpy.typing import NDArray

from embedder.extractor import unit_vectors


def features_of(trunk: keras.Model, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run a trunk over pictures: (n, size, size, 3) uint8 -> (n, dim) float32."""
    if not len(chips):  # Keras takes that for an error
        return np.empty((0, trunk.output_shape[-1]), np.float32)
    features: NDArray[np.float32] = trunk.predict(chips.astype(np.float32), batch_size=32, verbose=0)
    return features.astype(np.float32, copy=False)  # float16 under mixed precision


def embed_chips(trunk: keras.Model, chips: NDArray[np.uint8], mirror: bool) -> NDArray[np.float32]:
    """Unit vectors (n, dim) of chips, as the extractor will give them."""
    features = features_of(trunk, chips)
    if mirror:
        features = np.concatenate([features, features_of(trunk, chips[:, :, ::-1])])
    return unit_vectors(features, mirror)


Weights = Sequence[NDArray[np.float32]]


def blended(before: Weights, after: Weights, share: float) -> list[NDArray[np.float32]]:
    """Give weights on the line between two sets of them (Wortsman et al. 2022, WiSE-FT).

    Args:
        before: of a trunk.
        after: of the same trunk, trained further.
        share: of the trained ones.
    """
    return [a + np.float32(share) * (b - a) for a, b in zip(before, after, strict=True)]


@contextmanager
def weights_of(trunk: keras.Model, weights: Weights) -> Iterator[None]:
    """Lend a trunk other weights."""
    own = trunk.get_weights()
    trunk.set_weights(weights)
    try:
        yield
    finally:
        trunk.set_weights(own)
