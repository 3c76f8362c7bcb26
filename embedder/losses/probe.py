"""Whether a loss can stand in for the classification term: tried on a few samples, not looked up."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

BATCH, CLASSES = 6, 3
_SURE = 4.0  # logits of the answers that are tried: a probability of .96
_STEEPEST = 1e3  # of cross-entropy it is 1; a loss that divides by targets of 0 reaches 1e8


def find_fault(loss: keras.losses.Loss) -> str | None:
    """Say why a loss cannot train a classifier, or None if it can.

    Args:
        loss: (labels (batch,), logits (batch, classes)) -> a number, or one per sample.
    """
    labels = np.arange(BATCH, dtype="int32") % CLASSES
    right = _SURE * np.eye(CLASSES, dtype="float32")[labels]
    try:
        each = loss.call(ops.convert_to_tensor(labels), ops.convert_to_tensor(right))
        shape = tuple(each.shape)
        if shape not in ((BATCH,), ()):
            return f"expected a number a sample or one in all, got of a batch of {BATCH} the shape {shape}"
        good, bad = (float(loss(labels, logits)) for logits in (right, np.roll(right, 1, axis=1)))
        if not np.isfinite([good, bad]).all():
            return f"expected numbers, got {good} where answers are right and {bad} where they are wrong"
        if good >= bad:
            return (
                f"expected less where answers are right, got {good:.3g}, and {bad:.3g} where they are wrong"
            )
        step = _first_step(loss, labels)
    except Exception as error:  # whatever a function of the user's own may raise
        lines = str(error).strip().splitlines()
        return f"it raised {type(error).__name__}{': ' + lines[0] if lines else ''}"
    if not np.isfinite(step).all():
        return "its gradient is not finite"
    if not step.any():
        return "no gradient comes from it to the logits"
    if abs(step).max() > _STEEPEST:
        return f"its gradient is {abs(step).max():.1g} already at an even guess"
    return None


def _first_step(loss: keras.losses.Loss, labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Gradient of the loss at an even guess, by a step of SGD(1) as training compiles it."""
    inputs = keras.Input((1,))
    dense = keras.layers.Dense(CLASSES, use_bias=False, kernel_initializer="zeros", dtype="float32")
    model = keras.Model(inputs, dense(inputs))
    # With nothing to add but a gradient of 0, as Keras raises an error where there is none at all.
    model.compile(keras.optimizers.SGD(1.0), lambda y, z: loss(y, z) + 0 * ops.sum(z), jit_compile=False)
    # One class weighs more: if all are alike, their gradients cancel.
    model.train_on_batch((labels == 0).astype("float32")[:, None] + 0.5, labels)
    return -np.asarray(ops.convert_to_numpy(dense.kernel))
