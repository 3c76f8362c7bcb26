"""Choose the moment of a read: it sees everything that was acknowledged to any client before that.

Milvus lets a read of the present wait for its next time tick. Reads that share a moment share that wait
(`one_moment`), and those of a moment some time ago (`recent`) wait for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_FRACTION = 18  # bits of a moment below its milliseconds


class Clock:
    """Gives the moments of one connection; threads may share it."""

    def __init__(self, current: Callable[[], int]) -> None:
        """Ask for the time, so that nothing that is there already is missed.

        Args:
            current: gives a moment after everything that was acknowledged until now.
        """
        self._current = current
        self._held = threading.local()
        self._last_write = object()
        self._floor = (self._last_write, current())  # a write, and a moment after it

    def now(self) -> int:
        """Return a moment after everything that was acknowledged until now, or that of the block."""
        return getattr(self._held, "moment", None) or self._current()

    def recent(self, seconds: float) -> int:
        """Return a moment so many seconds ago, but after all that was written by this connection."""
        last, at = self._last_write, self._current()
        floor = self._floor  # read and set as one, since threads share it
        if floor[0] is not last:
            self._floor = floor = last, at
        return max(floor[1], at - (round(1000 * seconds) << _FRACTION))

    @contextmanager
    def one_moment(self, staleness: float = 0) -> Iterator[None]:
        """Give this thread one moment inside the block.

        Args:
            staleness: seconds that it may be ago.
        """
        self._held.moment = self.recent(staleness)
        try:
            yield
        finally:
            self._held.moment = None

    def note_write(self) -> None:
        """Let every later moment be after what was just written; asks the server for nothing."""
        self._last_write = object()
