"""Convert the values of a command line, by Typer where there is something to convert.

Typer converts by Pydantic, which takes a tenth of a second to load, and time for each option of the command.
Texts, flags, paths and values left at their defaults need no more than their type.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

_AS_THEY_ARE = (str, bool, int, float)
_LISTS = (list[str], list[Path])
_TYPER = object()  # stands for a value that Typer has to convert


def avoid_pydantic(parameters: Iterable[Any]) -> None:
    """Let options and arguments do without Typer's conversion, where it would give the same."""
    for parameter in parameters:
        if hasattr(parameter, "type_descriptor"):
            parameter.process_value = partial(_process, parameter)


def _process(parameter: Any, context: Any, value: Any) -> Any:
    converted = _converted(parameter.type_descriptor.annotation, value)
    missing = parameter.required and parameter.value_is_missing(value)
    if converted is _TYPER or missing:  # Typer says what is wrong
        return type(parameter).process_value(parameter, context, value)
    return converted if parameter.callback is None else parameter.callback(context, parameter, converted)


def _converted(annotation: Any, value: Any) -> Any:
    if annotation in _LISTS:
        if isinstance(value, list | tuple) and all(type(one) is str for one in value):
            return [annotation.__args__[0](one) for one in value]
        return () if value is None else _TYPER
    if value is None or (annotation in _AS_THEY_ARE and type(value) is annotation):
        return value
    return Path(value) if annotation is Path and type(value) is str else _TYPER
