"""The `embed` command: its sub-commands, how each ends, and the exit codes.

Errors are one line on standard error. The sub-commands are plain functions of the modules beside this one;
`commands` gives them their names.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from enroll.cli.version import print_version

if TYPE_CHECKING:
    import typer

    app: typer.Typer


def __getattr__(name: str) -> typer.Typer:
    """Return `app`, the whole command line, which is declared when it is first used."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from enroll.cli.commands import command_line

    globals()["app"] = declared = command_line()
    return declared


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        print_version()
        return
    from enroll.cli.commands import command_line
    from enroll.cli.ending import run_command

    # A shell that completes a line gives it in variables such as _EMBED_COMPLETE, not as arguments.
    completes = any(name.endswith("_COMPLETE") for name in os.environ)
    run_command(lambda: command_line(None if completes else sys.argv[1:])())
