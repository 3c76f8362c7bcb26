"""Print what a command did: as a line, as a JSON object with `--json`, or not at all with `--quiet`.

Answers, warnings and errors do not use this module: they are printed in any case.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import typer


@dataclass
class Output:
    """Holds how the running command prints."""

    quiet: bool = False
    as_json: bool = False


HOW = Output()


def reset_output() -> None:
    """Reset how to print, for several commands in one process."""
    HOW.quiet = HOW.as_json = False


def tell(line: str, done: str, **facts: object) -> None:
    """Print what was done: a line, nothing, or a JSON object.

    Args:
        line: for people; already escaped.
        done: what was done, in a word, for `--json`.
        **facts: other members of the object.
    """
    if HOW.as_json:
        print(json.dumps({"done": done, **facts}, allow_nan=False), flush=True)
    elif not HOW.quiet:
        print(line, flush=True)


def note(line: str) -> None:
    """Print a remark on standard error, unless `--quiet` was given; already escaped."""
    if not HOW.quiet:
        print(line, file=sys.stderr, flush=True)


def answer(facts: dict[str, Any], *lines: str) -> None:
    """Print an answer: lines, or one JSON object with `--json`."""
    for line in [json.dumps(facts, allow_nan=False)] if HOW.as_json else lines:
        print(line)


def _set_quiet(quiet: bool) -> None:
    HOW.quiet = quiet


def _set_json(as_json: bool) -> None:
    HOW.as_json = as_json


@cache
def shared_options() -> dict[str, Any]:
    """Return the options that every command has: `quiet` and `as_json`."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def every(
        quiet: Annotated[
            bool,
            typer.Option(
                "--quiet",
                "-q",
                callback=_set_quiet,
                expose_value=False,
                help="Say only answers, warnings and errors.",
            ),
        ] = False,
        as_json: Annotated[
            bool,
            typer.Option("--json", callback=_set_json, expose_value=False, help="JSON: an object per line."),
        ] = False,
    ) -> None:
        pass

    return {entry.name or "": entry for entry in typer.main.get_command(app).params}
