"""Work on many items side by side, in order and with bounded memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 8  # workers: each may hold a picture of 50 megapixels, copies of it, and networks of its own
_AHEAD = 4  # items a worker has at most: a long one does not hold up those after it

_here = threading.local()


def workers() -> int:
    """How many items are worked on side by side: one a core that may be used, up to 8."""
    return min(usable_cores(), _MOST)


def threads_here() -> int:
    """How many threads a network made here should use: one a core, or one where work is side by side."""
    return 1 if getattr(_here, "side_by_side", False) else usable_cores()


def usable_cores() -> int:
    """Count the cores that this process may use: a container's or a cluster's share of the machine.

    More threads than that wait for each other (docs/trunk.md).
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Work on items in threads of their own and give the results in the order of the items.

    Items are taken in the caller's thread, a few ahead of the result that is given. Closed early, or when an
    item fails, nothing more is begun.

    Args:
        work: runs in several threads; what holds no lock of the interpreter gains by it.
        items: any number; a failure while taking one is raised when it is taken.

    Raises:
        Exception: what `work` raised, in place of the result.
    """
    count = workers()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(count, initializer=_begin)
    try:
        for item in items:
            if len(waiting) == _AHEAD * count:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    _here.side_by_side = True
