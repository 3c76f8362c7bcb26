"""Declare options with default, range, choices and help, and check their values."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

from embedder.errors import UsageError


def check_ranges(config: object, **ranges: tuple[float, float]) -> None:
    """Check numeric attributes of an object against their ranges.

    Args:
        config: object that has the attributes.
        ranges: lowest and highest value by the name of the attribute.

    Raises:
        UsageError: a value is out of its range.
    """
    for name, (low, high) in ranges.items():
        check_range(name, getattr(config, name), low, high)


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Check that a number is in its range.

    Args:
        name: name of the option, for the message.
        value: the number; None stands for a default and passes.
        low: lowest value.
        high: highest value.

    Raises:
        UsageError: the number is out of its range or NaN.
    """
    if value is not None and not low <= value <= high:  # also refuses NaN
        raise UsageError(
            f"--{name.replace('_', '-')}: expected a number from {low:g} to {high:g}, got {value!s:.80}"
        )


def check_options(config: Any) -> None:
    """Check the fields of a dataclass against the ranges and choices of `option`.

    Raises:
        UsageError: a value is out of its range or not one of its choices.
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
    help: str,  # noqa: A002 - the name that typer uses
    *,
    within: tuple[float, float] | None = None,
    among: tuple[str, ...] | None = None,
    unset: str = "",
    panel: str = "",
) -> Any:
    """Make a field that the command line and a TOML file can set.

    Args:
        default: default value of the field.
        help: help text of the option.
        within: lowest and highest value; None: any.
        among: words that the value may be; None: any.
        unset: text of the help that says what None stands for.
        panel: title of the group of options in the help.
    """
    facts = {"help": help, "within": within, "among": among, "unset": unset, "panel": panel}
    return field(default=default, metadata=facts)
