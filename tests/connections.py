"""Databases that tests leave open: each is reported with the line that opened it.

Python 3.13 warns of one when it is collected, in whichever test runs then; earlier ones say nothing.
"""

from __future__ import annotations

import sqlite3
import sys
import warnings
from functools import partial
from types import FrameType
from typing import Any

_CALLERS = 12  # of what opened it; a command line has about ten above the gallery


class WatchedConnection(sqlite3.Connection):
    """A connection that warns if it is collected before it is closed, as Python 3.13 does, and says whose."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self._closed = True  # until it is open
        super().__init__(*given, **named)
        self._opened_by = _callers(sys._getframe(1))
        self._closed = False

    def close(self) -> None:
        super().close()
        self._closed = True

    def __del__(self) -> None:
        if not self._closed:
            self.close()
            warnings.warn(f"a database was left open by {self._opened_by}", ResourceWarning, stacklevel=1)


def watch_connections() -> None:
    """Let every `sqlite3.connect` of this process, from now on, give a connection that is watched."""
    sqlite3.connect = partial(sqlite3.connect, factory=WatchedConnection)


def _callers(frame: FrameType | None) -> str:
    """Name what called, the innermost first."""
    lines: list[str] = []
    while frame is not None and len(lines) < _CALLERS:
        lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return ", by ".join(lines)
