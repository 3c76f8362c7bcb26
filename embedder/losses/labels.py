"""Check the labels and features that a loss or a layer is given, before they broadcast to something else.

Labels of shape (batch, 1), as some pipelines make them, would compare each photo with each other one by
broadcasting, and train another loss without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from embedder._internal.wording import count


def check_labels(labels: Any, features: Any, owner: str, classes: int | None = None) -> tuple[Any, Any]:
    """Flatten labels to one per row of the features, and refuse those that name no class.

    Where values are known (eager calls) a wrong label is an error. In a compiled graph nothing can be raised
    on every back end; there a wrong label makes its row NaN, which no run survives unnoticed.

    Args:
        labels: (batch,) or (batch, 1), integers or floats that hold integers; whose photo each row is.
        features: (batch, dim), any float dtype.
        owner: whose argument it is, for the message.
        classes: number of classes; None lets every label from 0 on be one.

    Returns:
        The labels, (batch,) int32, 0 where they name no class, and (batch,) float32, 0 or, there, NaN.

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
    """Give the shape of features.

    Raises:
        ValueError: it is not (batch, dim).
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
    except Exception:  # in a graph; each back end has an error of its own for that
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
