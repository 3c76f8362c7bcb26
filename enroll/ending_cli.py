"""How every command ends: errors as one line on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from embedder.cli import printable
from embedder.errors import EmbedError, UsageError


def end_well(command: Callable[[], object]) -> None:
    """Run a command; an error of ours or of the system ends it with one line and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shows its number
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except EmbedError as error:
        from enroll.store.hiding import hidden

        print(f"embed: {printable(hidden(str(error)))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that may not be entered, a full disk below standard output
        with suppress(OSError):  # or what is left is written when Python ends, and fails again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            from enroll.store.hiding import hidden

            where = f"{error.filename}: " if error.filename else ""
            print(f"embed: {printable(hidden(f'{where}{error.strerror or error}'))}", file=sys.stderr)
        sys.exit(UsageError.exit_code)
