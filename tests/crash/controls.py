"""Take out, one by one, what keeps galleries and models whole, and say what the crash harness notices.

Prints one JSON object: control -> first problem found, or null. A program of its own, since it forks.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

import crash_gallery
import crash_operations
from crash_gallery import Expected
from crash_operations import Operation

from embedder._internal import files


@contextmanager
def statements(change: Callable[[str], str]) -> Iterator[None]:
    """Let SQLite see other statements than the store's."""
    connect = sqlite3.connect

    def connected(*given: Any, **named: Any) -> sqlite3.Connection:
        class Changed(named.pop("factory", sqlite3.Connection)):  # type: ignore[misc]
            def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
                return super().execute(change(statement), *parameters)

        return connect(*given, **named, factory=Changed)

    with patch("sqlite3.connect", connected):
        yield


def no_transaction(statement: str) -> str:
    return "SELECT 1" if statement.split()[0] in ("BEGIN", "COMMIT", "ROLLBACK") else statement


def synchronous(mode: str) -> Callable[[str], str]:
    return lambda statement: f"PRAGMA synchronous = {mode}" if "synchronous" in statement else statement


@contextmanager
def printed_too_early() -> Iterator[None]:
    """Acknowledge before the work."""
    embed = crash_operations.embed

    def hasty(*words: object) -> None:
        print("done", flush=True)  # noqa: T201
        with redirect_stdout(StringIO()):
            embed(*words)

    with patch.object(crash_operations, "embed", hasty):
        yield


CONTROLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "no transaction": ("enroll", lambda: statements(no_transaction)),
    "no sync of the gallery": ("rename", lambda: statements(synchronous("OFF"))),
    "no sync of the gallery's folder": ("remove", lambda: statements(synchronous("FULL"))),
    "printed before the commit": ("rename", printed_too_early),
    "no sync of the model's files": ("save a model", lambda: patch.object(os, "fsync", lambda number: None)),
    "no sync of the model's folder": (
        "save the first model",
        lambda: patch.object(files, "sync_folder", lambda folder: None),
    ),
}


def first_problem(operation: Operation, expected: Expected, place: Path) -> str | None:
    """Kill before each call, the last ones first, until something is wrong."""
    for at in (None, *range(expected.calls, 0, -1)):
        trouble = crash_gallery.Trouble(at=at)
        problems, _ = crash_gallery.check(operation, expected, trouble, place, random.Random(0))
        if problems:
            return problems[0]
    return None


def main() -> None:
    crash_operations.use_thumbnails()
    with crash_gallery.scratch_folder() as scratch:
        place = Path(scratch).resolve()
        operations = {operation.name: operation for operation in crash_operations.operations(place)}
        found = {}
        for name, (operation, control) in CONTROLS.items():
            expected = crash_gallery.expect(operations[operation], place)
            with control():
                found[name] = first_problem(operations[operation], expected, place)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
