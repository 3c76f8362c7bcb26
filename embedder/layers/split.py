"""Define the layer that splits features into two halves."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

Shape = tuple[int | None, ...]


@keras.saving.register_keras_serializable(package="embedder")
class SplitHalves(layers.Layer):  # type: ignore[misc]
    """Splits the last axis into two halves, for a head on each half of the features.

    One half is trained on identities, the other one on something else (camera, pose); only the first half is
    kept after training.

    Input shape:
        (batch, ..., 2 n), any dtype.

    Output shape:
        Two arrays (batch, ..., n), of the input's dtype.

    Raises:
        ValueError: the last axis is odd or of unknown length.

    Example:
        >>> import numpy as np
        >>> identity, rest = SplitHalves()(np.ones((4, 6), "float32"))
        >>> tuple(identity.shape)
        (4, 3)
    """

    def build(self, input_shape: Shape) -> None:
        """Check that the last axis has an even length."""
        _halves(input_shape)

    def call(self, inputs: Any) -> tuple[Any, Any]:
        """Return both halves of the last axis."""
        middle = inputs.shape[-1] // 2
        return inputs[..., :middle], inputs[..., middle:]

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        """Return (batch, ..., n) twice for (batch, ..., 2 n)."""
        return _halves(input_shape)


def _halves(shape: Shape) -> tuple[Shape, Shape]:
    last = shape[-1]
    if last is None or last % 2:
        raise ValueError(f"SplitHalves: expected a last axis of even length, got shape {tuple(shape)}")
    half = (*shape[:-1], last // 2)
    return half, half
