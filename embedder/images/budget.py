"""Share memory between pictures that are read side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Lets threads take bytes, and lets those wait, in their order, who would take more than there are.

    A thread that holds some already never waits: it could wait for itself. So does nobody while nothing is
    held, however much they ask for.
    """

    def __init__(self, total: int, when_shared: Callable[[], None] = lambda: None) -> None:
        """Give out memory.

        Args:
            total: bytes.
            when_shared: called once, when a second thread takes some.
        """
        self.total = total
        self._held: dict[int, int] = {}
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._when_shared: Callable[[], None] | None = when_shared
        self._first: int | None = None

    @contextmanager
    def hold(self, size: int) -> Iterator[Share]:
        """Wait until `size` bytes are free, and keep them for the length of the block."""
        share = Share(self, threading.get_ident())
        share.wait(size)
        try:
            yield share
        finally:
            share.shrink(0)

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        with self._changed:
            return sum(self._held.values())

    def wait(self, thread: int, size: int) -> None:
        """Give bytes to a thread, which waits for its turn unless it holds some."""
        with self._changed:
            if thread not in self._held:
                self._queue(size)
            self._held[thread] = self._held.get(thread, 0) + size
            self._first = thread if self._first is None else self._first
            if self._when_shared and thread != self._first:
                self._when_shared()
                self._when_shared = None

    def add(self, thread: int, more: int, owned: int) -> bool:
        """Give more bytes to a thread that holds some, unless there are not enough.

        Args:
            thread: that holds some.
            more: bytes.
            owned: bytes that it could give back; if it holds others besides, it gets what it asks for.
        """
        with self._changed:
            held, all_held = self._held[thread], sum(self._held.values())
            if held == owned and held < all_held and all_held + more > self.total:
                return False
            self._held[thread] += more
            return True

    def give_back(self, thread: int, size: int) -> None:
        """Free bytes of a thread, and wake who waits."""
        with self._changed:
            self._held[thread] = self._held.get(thread, 0) - size
            if self._held[thread] <= 0:
                del self._held[thread]
            self._changed.notify_all()

    def _queue(self, size: int) -> None:
        place = object()
        self._line.append(place)
        try:
            while self._line[0] is not place or (self._held and sum(self._held.values()) + size > self.total):
                self._changed.wait()
        finally:
            self._line.remove(place)
            self._changed.notify_all()


class Share:
    """Bytes of a budget that one picture holds."""

    def __init__(self, budget: MemoryBudget, thread: int) -> None:
        """Note who holds; nothing yet."""
        self._budget, self._thread, self._size = budget, thread, 0

    def wait(self, size: int) -> None:
        """Give all back, and wait until `size` bytes are free."""
        self.shrink(0)
        self._budget.wait(self._thread, size)
        self._size = size

    def grow(self, size: int) -> bool:
        """Take up to `size` bytes, if so many are free now; nobody waits for more while holding some."""
        if size > self._size:
            if not self._budget.add(self._thread, size - self._size, self._size):
                return False
            self._size = size
        return True

    def shrink(self, size: int) -> None:
        """Give back what is beyond `size` bytes."""
        if size < self._size:
            self._budget.give_back(self._thread, self._size - size)
            self._size = size
