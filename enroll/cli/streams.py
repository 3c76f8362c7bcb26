"""Standard streams that end no command with a traceback, closed, full or unread as they may be.

Who reads standard output may leave early, as `head` does: what is written then is lost, the command goes on
and ends as it would have, since it may have more to do than to say. A full disk below standard output is an
error; what cannot be said on standard error is not said.
"""

from __future__ import annotations

import io
import os
import sys
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_LETTERS = "backslashreplace"  # a terminal that lacks a letter shows its number


class _Output(io.FileIO):
    """A stream whose failures of some kinds are none."""

    def __init__(self, number: int, forgiven: type[OSError]) -> None:
        super().__init__(number, "w", closefd=False)
        self._forgiven, self.lost = forgiven, False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or lose what no one can read."""
        try:
            return super().write(data)
        except self._forgiven:
            self.lost = True
            return memoryview(data).nbytes


def guard_streams() -> None:
    """Replace the standard streams of the process; those that a program or a test has put there stay."""
    _open_what_is_closed()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (kept open), PTH123 (a number)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(sys.stdout, 1, BrokenPipeError)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(sys.stderr, 2, OSError)


def _open_what_is_closed() -> None:
    """Open nothing in the place of closed standard streams.

    Else the next file that is opened has their number, such as a photo or a gallery, and what C++ code says
    on standard error is written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def is_closed() -> bool:
    """Say whether standard output was closed before the command began."""
    return sys.__stdout__ is None


def no_one_reads() -> bool:
    """Say whether who read standard output has left."""
    return bool(getattr(_raw(sys.stdout), "lost", False))


def let_go() -> None:
    """Send what is left to write nowhere, or Python fails again when it ends."""
    for number in (1, 2):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        except OSError:
            return


def _guarded(stream: IO[str] | None, number: int, forgiven: type[OSError]) -> io.TextIOWrapper:
    encoding = getattr(stream, "encoding", None)
    raw = _Output(number, forgiven)
    lines = number == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors=_LETTERS, line_buffering=lines, write_through=number == 2
    )


def _raw(stream: Any) -> Any:
    return getattr(getattr(stream, "buffer", None), "raw", None)
