"""Check the parameters of the classifier, and choose the label for unknown."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from enroll.scoring.base import Scorer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def check_options(given: Mapping[str, Any]) -> None:
    """Check the parameters of `OpenSetNeighborsClassifier`.

    Args:
        given: by name, as from `get_params`.

    Raises:
        ValueError: one cannot be used; the message says what was expected.
    """
    neighbors, fpir, threshold, margin = (
        given[name] for name in ("n_neighbors", "fpir", "threshold", "margin")
    )
    if isinstance(neighbors, bool) or not isinstance(neighbors, Integral) or int(neighbors) < 1:
        raise ValueError(f"n_neighbors: expected a whole number from 1, got {neighbors!r}")
    if fpir is not None and threshold is not None:
        raise ValueError("fpir and threshold: expected one of them, since fpir sets the threshold; got both")
    if fpir is not None and not (isinstance(fpir, Real) and 0 < float(fpir) < 1):
        raise ValueError(f"fpir: expected a share of strangers above 0 and below 1, got {fpir!r}")
    if threshold is not None and (not isinstance(threshold, Real) or math.isnan(float(threshold))):
        raise ValueError(f"threshold: expected a number, got {threshold!r}")
    if not isinstance(margin, Real) or not 0 <= float(margin) < math.inf:
        raise ValueError(f"margin: expected a finite number from 0, got {margin!r}")
    if not isinstance(given["scorer"], str | Scorer):
        raise ValueError(f"scorer: expected a name or a scorer of enroll.scoring, got {given['scorer']!r}")


def find_unknown_label(classes: NDArray[Any], asked: Any) -> Any:
    """Return the label for unknown beside some classes.

    Args:
        classes: (classes,) labels.
        asked: a label, or `auto`: "unknown" beside texts, -1 beside numbers.

    Raises:
        ValueError: it is a class itself, or of another kind than the classes.
    """
    kind, label = classes.dtype.kind, asked
    if isinstance(asked, str) and asked == "auto":
        if kind == "b":
            raise ValueError("unknown_label: expected a label beside False and True, got 'auto'")
        label = {"f": -1.0, "i": -1, "u": -1}.get(kind, "unknown")
    first = classes[0]
    if isinstance(label, str) != isinstance(first, str):
        raise ValueError(f"unknown_label: expected a label of the kind of {first!r}, got {label!r}")
    if label in classes.tolist():
        raise ValueError(
            f"unknown_label: {label!r} is also a class of y; name another label, or leave these rows to "
            "`calibrate(strangers=...)` if they are of people who are not enrolled"
        )
    return label
