"""A vector in two halves."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="embedder")
class SplitHalves(layers.Layer):  # type: ignore[misc]
    """Cuts the last axis in the middle, for a head on each half of a feature.

    No head of ours needs it; from Python it lets one half learn identities while the other is free for
    something else (camera, pose), and only the first half is kept.

    Input shape:
        (batch, ..., 2 n).

    Output shape:
        Two of (batch, ..., n), of the input's type.

    Example:
        >>> identity, rest = SplitHalves()(features)
    """

    def build(self, input_shape: Shape) -> None:
        """Check that there are two halves.

        Raises:
            ValueError: the last axis is odd or of unknown length.
        """
        _halves(input_shape)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return both halves."""
        middle = inputs.shape[-1] // 2
        return inputs[..., :middle], inputs[..., middle:]

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        """Give (..., 2 n) -> (..., n), (..., n)."""
        return _halves(input_shape)


def _halves(shape: Shape) -> tuple[Shape, Shape]:
    last = shape[-1]
    if last is None or last % 2:
        raise ValueError(f"SplitHalves: expected a last axis of even length, got shape {tuple(shape)}")
    half = (*shape[:-1], last // 2)
    return half, half
