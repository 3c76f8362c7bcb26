"""Lock a file, so that one process at a time runs a block."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PAUSE = 0.1  # seconds between two tries

if sys.platform == "win32":
    import msvcrt

    def _taken(descriptor: int) -> bool:
        """Take the lock, and return whether no other process has it."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _taken(descriptor: int) -> bool:
        """Take the lock, and return whether no other process has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def one_at_a_time(
    path: Path, patience: float, waiting: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Run the block in one process, or thread, at a time.

    The system frees the lock when a process ends or is killed. The block runs without a lock if the file
    cannot be made, the file system has no locks, or the time is over.

    Args:
        path: path of the lock file, which is made if missing, and stays.
        patience: longest time to wait for the lock, in seconds.
        waiting: function called once before the wait, if there is one.
    """
    descriptor = None
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if descriptor is not None:
            _wait(descriptor, patience, waiting)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _wait(descriptor: int, patience: float, waiting: Callable[[], object]) -> None:
    end = time.monotonic() + patience
    said = False
    with contextlib.suppress(OSError):  # a file system without locks
        while not _taken(descriptor) and time.monotonic() < end:
            if not said:
                waiting()
                said = True
            time.sleep(_PAUSE)
