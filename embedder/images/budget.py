"""Share a memory budget between the threads that read pictures."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class MemoryBudget:
    """Allots memory to threads; those who would exceed the total wait in their order.

    A thread that holds memory never waits, since it could wait for itself. While no memory is held, a thread
    gets any amount.
    """

    def __init__(self, total: int, when_shared: Callable[[], None] = lambda: None) -> None:
        """Make a budget.

        Args:
            total: size of the budget in bytes.
            when_shared: function called once, when a second thread takes memory.
        """
        self.total = total
        self._held: dict[int, int] = {}
        self._line: deque[object] = deque()
        self._changed = threading.Condition()
        self._when_shared: Callable[[], None] | None = when_shared
        self._first: int | None = None

    @contextmanager
    def hold(self, size: int) -> Iterator[Share]:
        """Wait until `size` bytes are free, and hold them for the length of the block."""
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
        """Allot `size` bytes to a thread, which waits for its turn unless it holds memory."""
        with self._changed:
            if thread not in self._held:
                self._queue(size)
            self._held[thread] = self._held.get(thread, 0) + size
            self._first = thread if self._first is None else self._first
            if self._when_shared and thread != self._first:
                self._when_shared()
                self._when_shared = None

    def add(self, thread: int, more: int, owned: int) -> bool:
        """Allot more bytes to a thread that holds memory, unless there are too few.

        Args:
            thread: identifier of the thread.
            more: number of further bytes.
            owned: number of bytes that the caller could free; if the thread holds others besides, it gets the
                bytes in any case.

        Returns:
            Whether the bytes were allotted.
        """
        with self._changed:
            held, all_held = self._held[thread], sum(self._held.values())
            if held == owned and held < all_held and all_held + more > self.total:
                return False
            self._held[thread] += more
            return True

    def give_back(self, thread: int, size: int) -> None:
        """Free bytes of a thread, and notify waiting threads."""
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
    """Holds the bytes of a budget for one picture."""

    def __init__(self, budget: MemoryBudget, thread: int) -> None:
        """Make an empty share of a thread."""
        self._budget, self._thread, self._size = budget, thread, 0

    def wait(self, size: int) -> None:
        """Free all bytes, and wait until `size` bytes are free."""
        self.shrink(0)
        self._budget.wait(self._thread, size)
        self._size = size

    def grow(self, size: int) -> bool:
        """Grow to `size` bytes if they are free; return whether they were, without waiting."""
        if size > self._size:
            if not self._budget.add(self._thread, size - self._size, self._size):
                return False
            self._size = size
        return True

    def shrink(self, size: int) -> None:
        """Free the bytes beyond `size`."""
        if size < self._size:
            self._budget.give_back(self._thread, self._size - size)
            self._size = size
