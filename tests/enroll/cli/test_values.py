"""Options and arguments get the values that Typer itself would give them, mostly without its Pydantic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import requires
from typing import Any

import pytest
import typer

from enroll import cli
from enroll.cli.values import avoid_pydantic
from tests.enroll.cli.test_help import COMMANDS, LEAVES

TEXTS = ["", "a", " a/ ", "./a//b", "-", "~", "é", "a\udcff", "0", "1.5", "True", "\x1b[2J", "2026-11-29"]
ROOT: Any = typer.main.get_command(cli.app)
USAGE_ERROR: Any = typer.BadParameter.__base__


def parameters() -> Iterator[Any]:
    for path in LEAVES:
        for entry in COMMANDS[path].params:
            if hasattr(entry, "type_descriptor") and entry.callback is None:
                yield entry


def values(parameter: Any) -> list[object]:
    """What the command line could hold for a parameter, and what stands for nothing."""
    if parameter.nargs == -1 or getattr(parameter, "multiple", False):
        return [parameter.default, None, (), [], ["a", "./b"], ("a", "b"), *([text] for text in TEXTS)]
    if getattr(parameter, "is_flag", False):
        return [parameter.default, True, False]
    return [parameter.default, None, *TEXTS] if parameter.nargs == 1 else [("a", "b"), None]


def outcome(process: Callable[[Any, object], object], value: object) -> object:
    """A value with its type, or the words of the refusal."""
    try:
        made = process(typer.Context(ROOT), value)
    except USAGE_ERROR as error:
        return f"{type(error).__name__}: {error}"
    return type(made), made


@pytest.mark.skipif(
    not any(entry.startswith("pydantic") for entry in requires("typer") or ()),
    reason="this version of Typer converts without Pydantic",
)
def test_every_value_is_what_typer_makes_of_it() -> None:
    tried = 0
    for parameter in parameters():
        theirs = type(parameter).process_value.__get__(parameter)
        avoid_pydantic([parameter])
        for value in values(parameter):
            assert outcome(parameter.process_value, value) == outcome(theirs, value), (parameter.name, value)
            tried += 1
    assert tried > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gallery", "merge-people", "Ada"], "Missing argument"),
        (["identify", "--threshold", "near", "a.png"], "Invalid value"),
    ],
)
def test_typer_says_what_is_missing_or_wrong(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        ROOT(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
