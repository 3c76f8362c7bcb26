"""Guard the standard streams, so that a closed, full or unread one ends no command with a traceback.

The program that reads standard output may end early, as `head` does. What is written then is lost, and the
command goes on and ends as it would have, because printing may be only a part of its work. A full disk behind
standard output is an error; a failure of standard error is ignored.
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
    """Writes to a file descriptor, and ignores write errors of one kind.

    Attributes:
        lost: whether something could not be written.
    """

    def __init__(self, number: int, ignored: type[OSError]) -> None:
        super().__init__(number, "w", closefd=False)
        self._ignored, self.lost = ignored, False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or drop the data if the error is ignored."""
        try:
            return super().write(data)
        except self._ignored:
            self.lost = True
            return memoryview(data).nbytes


def guard_streams() -> None:
    """Replace the standard streams of the process, except those that a program or a test has set."""
    _reopen_closed_streams()
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (kept open), PTH123 (a number)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(sys.stdout, 1, BrokenPipeError)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(sys.stderr, 2, OSError)


def _reopen_closed_streams() -> None:
    """Open the null device in the place of closed standard streams.

    Otherwise the next file that is opened, such as a photo or a gallery, gets their number, and what C++ code
    writes to standard error goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def is_closed() -> bool:
    """Return whether standard output was closed before the command began."""
    return sys.__stdout__ is None


def output_was_lost() -> bool:
    """Return whether output was lost because its reader has ended."""
    return bool(getattr(_raw(sys.stdout), "lost", False))


def discard_output() -> None:
    """Redirect the standard streams to the null device, since Python flushes them once more at exit."""
    for number in (1, 2):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        except OSError:
            return


def _guarded(stream: IO[str] | None, number: int, ignored: type[OSError]) -> io.TextIOWrapper:
    encoding = getattr(stream, "encoding", None)
    raw = _Output(number, ignored)
    lines = number == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors=_LETTERS, line_buffering=lines, write_through=number == 2
    )


def _raw(stream: Any) -> Any:
    return getattr(getattr(stream, "buffer", None), "raw", None)
