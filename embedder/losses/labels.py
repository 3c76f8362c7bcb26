"""Check labels and features of a loss or a layer, whose wrong shapes would broadcast.

Labels of shape (batch, 1), as some pipelines make them, would by broadcasting compare each photo with each
other one, and train another loss without an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from embedder._internal.wording import count


def check_labels(labels: Any, features: Any, owner: str, classes: int | None = None) -> tuple[Any, Any]:
    """Flatten labels to (batch,), and refuse those that are not the number of a class.

    In eager calls a wrong label is an error. A compiled graph cannot raise an error on every back end; there
    a wrong label makes its row, and so the loss, NaN.

    Args:
        labels: (batch,) or (batch, 1), integers or floats that hold integers: the class of each row.
        features: (batch, dim), any float dtype.
        owner: name of the loss or layer, for the message.
        classes: number of classes; None: any number.

    Returns:
        The labels (batch,) int32, with 0 in the place of wrong ones; and (batch,) float32, NaN for wrong
        labels and 0 for the others, to be added to the loss.

    Raises:
        ValueError: a shape or a label is wrong.
    """
    rows, batch = _shape(labels), check_features(features, owner)[0]
    if rows is not None and not (len(rows) == 1 or (len(rows) == 2 and rows[1] in (1, None))):
        raise ValueError(
            f"{owner}: expected labels of shape (batch,) or (batch, 1), integers from 0, got shape {rows}; "
            "one-hot labels become integers by argmax"
        )
    if rows is not None and batch is not None and rows[0] not in (None, batch):
        raise ValueError(
            f"{owner}: expected a label for each of {count(batch, 'row')}, got labels of shape {rows}"
        )
    if (known := _values(labels)) is not None:
        _check_values(known, owner, classes)
    whole = ops.reshape(ops.cast(labels, "int32"), (ops.shape(features)[0],))
    inside = whole >= 0 if classes is None else ops.logical_and(whole >= 0, whole < classes)
    return ops.where(inside, whole, 0), ops.where(inside, 0.0, np.float32("nan"))


def check_features(features: Any, owner: str) -> tuple[int | None, int | None]:
    """Return the shape (batch, dim) of features; None for an unknown length.

    Raises:
        ValueError: the shape is not (batch, dim).
    """
    shape = _shape(features)
    if shape is None or len(shape) != 2:
        raise ValueError(f"{owner}: expected features of shape (batch, dim), got shape {shape}")
    return shape[0], shape[1]


def _shape(values: Any) -> tuple[int | None, ...] | None:
    try:
        return tuple(values.shape)
    except ValueError:  # TensorFlow, of unknown rank
        return None


def _values(labels: Any) -> Any:
    try:
        return np.asarray(ops.convert_to_numpy(labels))
    except Exception:  # within a graph; each back end raises another error there
        return None


def _check_values(labels: Any, owner: str, classes: int | None) -> None:
    wrong = ~((labels >= 0) & (labels == np.floor(labels)))
    if classes is not None:
        wrong |= labels >= classes
    if wrong.any():
        limit = "" if classes is None else f" to {classes - 1}"
        raise ValueError(
            f"{owner}: expected labels that are whole numbers from 0{limit}, got {labels[wrong].flat[0]}"
        )
