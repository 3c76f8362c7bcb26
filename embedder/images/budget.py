"""Share memory between pictures that are read side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Lets threads take bytes, and lets those wait who would take more than there are.

    A thread that holds some already never waits: it could wait for itself. So does nobody while nothing is
    held, however much they ask for.
    """

    def __init__(self, total: int) -> None:
        """Give out `total` bytes."""
        self.total = total
        self._held: dict[int, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[Share]:
        """Wait until `size` bytes are free, and keep them for the length of the block."""
        thread = threading.get_ident()
        with self._changed:
            while thread not in self._held and self._held and sum(self._held.values()) + size > self.total:
                self._changed.wait()
            self._held[thread] = self._held.get(thread, 0) + size
        share = Share(self, thread, size)
        try:
            yield share
        finally:
            share.shrink(0)

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        with self._changed:
            return sum(self._held.values())

    def give_back(self, thread: int, size: int) -> None:
        """Free bytes of a thread, and wake who waits."""
        with self._changed:
            self._held[thread] = self._held.get(thread, 0) - size
            if self._held[thread] <= 0:
                del self._held[thread]
            self._changed.notify_all()


class Share:
    """Bytes of a budget that one picture holds."""

    def __init__(self, budget: MemoryBudget, thread: int, size: int) -> None:
        """Note who holds how much."""
        self._budget, self._thread, self._size = budget, thread, size

    def shrink(self, size: int) -> None:
        """Give back what is beyond `size` bytes."""
        if size < self._size:
            self._budget.give_back(self._thread, self._size - size)
            self._size = size
