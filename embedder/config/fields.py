"""State default, range, choices and help of an option, and check its value."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

from embedder.errors import UsageError


def check_ranges(config: object, **ranges: tuple[float, float]) -> None:
    """Check attributes that are numbers, each against its lowest and highest value.

    Raises:
        UsageError: one is outside.
    """
    for name, (low, high) in ranges.items():
        check_range(name, getattr(config, name), low, high)


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Check one number; None stands for a default.

    Raises:
        UsageError: it is outside, or not a number.
    """
    if value is not None and not low <= value <= high:  # also refuses NaN
        raise UsageError(
            f"--{name.replace('_', '-')}: expected a number from {low:g} to {high:g}, got {value!s:.80}"
        )


def check_options(config: Any) -> None:
    """Check a dataclass whose fields say in their metadata what they may be: `within` or `among`.

    Raises:
        UsageError: a value is out of its range or none of the words it may be.
    """
    for entry in fields(config):
        value, facts = getattr(config, entry.name), entry.metadata
        if facts["within"]:
            check_range(entry.name, value, *facts["within"])
        if facts["among"] and value is not None and value not in facts["among"]:
            expected = f"expected one of {', '.join(facts['among'])}"
            raise UsageError(f"--{entry.name.replace('_', '-')}: {expected}, got {value!r:.200}")


def option(
    default: Any,
    help: str,  # noqa: A002 - what typer calls it
    *,
    within: tuple[float, float] | None = None,
    among: tuple[str, ...] | None = None,
    unset: str = "",
    panel: str = "",
) -> Any:
    """Make a field that the command line and a TOML file can set.

    Args:
        default: of the field.
        help: one line on what it does.
        within: lowest and highest number.
        among: the words it may be.
        unset: what None stands for.
        panel: of the help it stands in.
    """
    facts = {"help": help, "within": within, "among": among, "unset": unset, "panel": panel}
    return field(default=default, metadata=facts)
