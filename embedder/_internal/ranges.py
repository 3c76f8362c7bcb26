"""Check the numbers of a record, whose ranges are declared once, wherever it is made or read from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields

from embedder.errors import UsageError

Range = tuple[float, float]

COUNT = (0, 2**53)  # of people, photos, searches: what JSON holds exactly
FPIR = (1e-6, 0.999)  # share of strangers that may be named: beyond, neither counts nor models say anything


def check_numbers(record: object, ranges: Mapping[str, Range], what: str = "") -> None:
    """Check fields of a dataclass, each against its lowest and highest value.

    Args:
        record: a dataclass; a field of the type `int` must be a whole number.
        ranges: of each of its fields that is a number.
        what: the record is, for the message.

    Raises:
        ValueError: a field is no number, not finite, or outside.
    """
    whole = {entry.name for entry in fields(record) if entry.type == "int"}  # type: ignore[arg-type]
    for name, (low, high) in ranges.items():
        value: object = getattr(record, name)
        about = f"{what}: {name}" if what else name
        if isinstance(value, bool) or not isinstance(value, int if name in whole else int | float):
            kind = "a whole number" if name in whole else "a number"
            raise ValueError(f"{about}: expected {kind}, got {value!r:.80}")
        number: float = value
        if not low <= number <= high or not math.isfinite(number):  # nor is a NaN within
            raise ValueError(f"{about}: expected {low:g} to {high:g}, got {value!r:.80}")


def check_fpir(value: float, what: str = "target_fpir") -> None:
    """Refuse a share of strangers that no threshold can be found for.

    Raises:
        UsageError: it is out of its range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not FPIR[0] <= value <= FPIR[1]:
        raise UsageError(f"{what}: expected a share from {FPIR[0]:g} to {FPIR[1]:g}, got {value!r:.80}")
