"""Check the numbers of a record against ranges that are declared once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields

from embedder.errors import UsageError

Range = tuple[float, float]

COUNT = (0, 2**53)  # range of numbers of people, photos, searches: integers that JSON holds exactly
FPIR = (1e-6, 0.999)  # range of the false positive identification rate for which a threshold can be estimated


def check_numbers(record: object, ranges: Mapping[str, Range], what: str = "") -> None:
    """Check fields of a dataclass against their ranges.

    Args:
        record: dataclass; a field of the type `int` must be an integer.
        ranges: lowest and highest value by the name of the field.
        what: name of the record, for the message.

    Raises:
        ValueError: a field is no number, not finite, or out of its range.
    """
    whole = {entry.name for entry in fields(record) if entry.type == "int"}  # type: ignore[arg-type]
    for name, (low, high) in ranges.items():
        value: object = getattr(record, name)
        about = f"{what}: {name}" if what else name
        if isinstance(value, bool) or not isinstance(value, int if name in whole else int | float):
            kind = "a whole number" if name in whole else "a number"
            raise ValueError(f"{about}: expected {kind}, got {value!r:.80}")
        number: float = value
        if not low <= number <= high or not math.isfinite(number):  # also refuses NaN
            raise ValueError(f"{about}: expected {low:g} to {high:g}, got {value!r:.80}")


def check_fpir(value: float, what: str = "target_fpir") -> None:
    """Check a false positive identification rate, the share of strangers who may be named.

    Args:
        value: rate, 1e-6 to 0.999.
        what: name of the argument, for the message.

    Raises:
        UsageError: the rate is out of its range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not FPIR[0] <= value <= FPIR[1]:
        raise UsageError(f"{what}: expected a share from {FPIR[0]:g} to {FPIR[1]:g}, got {value!r:.80}")
