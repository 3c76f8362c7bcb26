"""Run work on items in order, keep TensorFlow silent, report progress of long work.

Progress is silent unless someone listens, as the command line does. What TensorFlow writes by itself is
held back by the command line, which owns the process, and shown only when something fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Advance = Callable[..., None]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST = 8  # workers: each may hold a picture of 50 megapixels, copies of it, and networks of its own
_AHEAD = 4  # items a worker has at most: a long one does not hold up those after it

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 4 * 2**20  # bytes

_here = threading.local()

_UNFINISHED: set[ThreadPoolExecutor] = set()
_LOCK = threading.RLock()
_OURS: list[None] = []  # one entry for each command that owns the process's streams now
_SILENT: list[None] = []  # one entry for each block that wants silence now
_RESTORE: list[warnings.catch_warnings[None]] = []


class Progress:
    """Hears of long work; this base class says nothing.

    Override both methods to show it: the library itself never prints.
    """

    def say(self, line: str) -> None:
        """Take a line of text that stands by itself."""

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Follow `total` steps; what is yielded is called as `advance(steps=1, detail="")`.

        Args:
            label: what is done.
            total: number of steps.
            unit: what a step is, in the plural, to say how many are done a second.
        """
        yield lambda steps=1, detail="": None


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


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
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
    wait = True
    closed = threading.Event()
    pool = ThreadPoolExecutor(count, initializer=_begin, initargs=(closed,))
    _UNFINISHED.add(pool)
    try:
        for item in items:
            if len(waiting) == _AHEAD * count:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    except KeyboardInterrupt:
        wait = False  # for a picture that takes seconds
        raise
    finally:
        closed.set()
        pool.shutdown(wait, cancel_futures=True)
        if wait:
            _UNFINISHED.discard(pool)


def give_memory_back() -> None:
    """Let the C library return what threads have freed: each would keep up to 64 MiB for itself (glibc).

    Settings of the whole process, so nothing is changed where its environment has made some.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, another C library
        set_option = ctypes.CDLL(None).mallopt
        for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            set_option(option, _KEPT)


def is_working() -> bool:
    """Say whether threads of `in_order` may still be at work: Python would wait for them when it ends."""
    return bool(_UNFINISHED)


def _begin(closed: threading.Event) -> None:
    _here.side_by_side, _here.closed = True, closed


def stop_if_closed() -> None:
    """End an item of `in_order` whose result nobody waits for any more: after Ctrl-C, it holds up the end.

    Raises:
        CancelledError: it is one.
    """
    if (closed := getattr(_here, "closed", None)) and closed.is_set():
        raise CancelledError


@contextmanager
def own_streams() -> Iterator[None]:
    """Let `quiet` hold back the streams of the process while the block runs: for the command line alone.

    A library redirects nothing: file descriptors 1 and 2 belong to the program that calls it.
    """
    _OURS.append(None)
    try:
        yield
    finally:
        _OURS.pop()


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to standard output and error, also by C++ code, within `own_streams`.

    Elsewhere it changes nothing. If the block fails, the last of it is added to the exception as a note. One
    thread at a time: the two streams belong to the whole process, and what another thread writes meanwhile
    is lost, unless it waits for `unmuted`.
    """
    if not _OURS:
        yield
        return
    with _LOCK, tempfile.TemporaryFile() as log:
        kept = []
        _flush()
        for number in (1, 2):
            with contextlib.suppress(OSError):  # a service may have neither
                kept.append((number, os.dup(number)))
        try:
            for number, _ in kept:
                os.dup2(log.fileno(), number)
            yield
        except Exception as error:
            log.seek(0)
            error.add_note(log.read().decode(errors="replace")[-2000:])
            raise
        finally:
            _flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


@contextmanager
def unmuted() -> Iterator[None]:
    """Wait until no thread is `quiet`, and keep them from it: for what must be seen while others work."""
    with _LOCK:
        yield


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore Python's warnings; unlike `warnings.catch_warnings`, in several threads at once.

    The first to enter changes the filters of the process and the last to leave restores them.
    """
    with _LOCK:
        if not _SILENT:
            filters = warnings.catch_warnings()
            filters.__enter__()
            warnings.simplefilter("ignore")
            _RESTORE.append(filters)
        _SILENT.append(None)
    try:
        yield
    finally:
        with _LOCK:
            _SILENT.pop()
            if not _SILENT:
                _RESTORE.pop().__exit__(None, None, None)


def import_keras() -> None:
    """Load Keras and its back end, TensorFlow unless KERAS_BACKEND names another, without a word."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _interrupts_later(), quiet():
        import keras
        import tensorflow  # Keras reads data with it on every back end

        if keras.backend.backend() != "tensorflow":
            tensorflow.config.set_visible_devices([], "GPU")  # their memory is for the one that computes


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Put Ctrl-C off to the end of the block: C++ code turns it into errors of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pending:
        raise KeyboardInterrupt


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
