"""Run functions in threads, suppress output of TensorFlow, and report progress.

Progress is shown only by a sub-class of `Progress`, as the command line has one. Output of TensorFlow is
suppressed by the command line alone, and added to the error when something fails.
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

_MOST = 8  # workers, since each may hold a picture of 50 megapixels with copies, and networks
_AHEAD = 4  # items per worker that are begun at once, so that a slow one does not block the others

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT = 4 * 2**20  # bytes of freed memory that stay with the process

_here = threading.local()

_UNFINISHED: set[ThreadPoolExecutor] = set()
_LOCK = threading.RLock()
_OURS: list[None] = []  # an entry for each running block of `own_streams`
_SILENT: list[None] = []  # an entry for each running block of `no_warnings`
_RESTORE: list[warnings.catch_warnings[None]] = []


class Progress:
    """Base class of progress reports; it shows nothing, since the library never prints.

    Override both methods to show messages and progress bars.

    Example:
        >>> class Lines(Progress):
        ...     def __init__(self):
        ...         self.lines = []
        ...     def say(self, line):
        ...         self.lines.append(line)
        >>> progress = Lines()  # for train(..., progress=progress)
        >>> progress.say("Reading photos")
        >>> progress.lines
        ['Reading photos']
    """

    def say(self, line: str) -> None:
        """Report a message, one line of text."""

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Report progress of `total` steps by a function `advance(steps=1, detail="")`.

        Args:
            label: description of the work.
            total: number of steps.
            unit: noun for the steps, in the plural, for a rate per second.

        Yields:
            The function `advance`, called after one or several steps.
        """
        yield lambda steps=1, detail="": None


def workers() -> int:
    """Return the number of worker threads: one per usable core, up to 8."""
    return min(usable_cores(), _MOST)


def threads_here() -> int:
    """Return the number of threads of a network: one per core, or one in a worker thread."""
    return 1 if getattr(_here, "side_by_side", False) else usable_cores()


def usable_cores() -> int:
    """Count the cores that this process may use, as limited by a container or cluster.

    More threads than cores make networks slower (docs/trunk.md).
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Apply a function to items in threads, and yield the results in the order of the items.

    Items are taken in the caller's thread, a few ahead of the yielded result. If the generator is closed or
    an item fails, no further item is begun.

    Args:
        work: function of an item, called in several threads; it is faster if it releases the interpreter
            lock.
        items: items, any number; an error of the iterable is raised when the item is taken.

    Raises:
        Exception: `work` raised it, in place of its result.
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
        wait = False  # not for workers, which may need seconds for a picture
        raise
    finally:
        closed.set()
        pool.shutdown(wait, cancel_futures=True)
        if wait:
            _UNFINISHED.discard(pool)


def give_memory_back() -> None:
    """Make the C library (glibc) return freed memory, of which each thread would keep 64 MiB.

    The settings are those of the whole process, so they are not made if its environment has such settings.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system, another C library
        set_option = ctypes.CDLL(None).mallopt
        for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            set_option(option, _KEPT)


def is_working() -> bool:
    """Return whether threads of `map_in_order` may run, for which Python waits at its end."""
    return bool(_UNFINISHED)


def _begin(closed: threading.Event) -> None:
    _here.side_by_side, _here.closed = True, closed


def stop_if_closed() -> None:
    """Cancel an item in a thread of `map_in_order` whose generator was closed.

    Raises:
        CancelledError: the generator was closed, as after Ctrl-C.
    """
    if (closed := getattr(_here, "closed", None)) and closed.is_set():
        raise CancelledError


@contextmanager
def own_streams() -> Iterator[None]:
    """Allow `quiet` to redirect the streams of the process; for the command line alone.

    A library must not do this: file descriptors 1 and 2 belong to the program that calls it.
    """
    _OURS.append(None)
    try:
        yield
    finally:
        _OURS.pop()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress standard output and error, also of C++ code, within `own_streams`.

    Elsewhere nothing changes. If the block fails, the end of the output is added to the exception as a note.
    One thread at a time runs such a block: the streams are those of the whole process, and output of other
    threads is lost meanwhile, unless they wait for `unmuted`.
    """
    if not _OURS:
        yield
        return
    with _LOCK, tempfile.TemporaryFile() as log:
        kept = []
        _flush()
        for number in (1, 2):
            with contextlib.suppress(OSError):  # a service may have neither stream
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
    """Keep other threads from `quiet` during a block, for output that must be shown."""
    with _LOCK:
        yield


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore Python's warnings; unlike `warnings.catch_warnings`, in several threads at once.

    The first block to begin changes the filters of the process, and the last to end restores them.
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
    """Import Keras and its back end, KERAS_BACKEND or TensorFlow, without their output."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _interrupts_later(), quiet():
        import keras
        import tensorflow  # Keras reads data with it on every back end

        if keras.backend.backend() != "tensorflow":
            tensorflow.config.set_visible_devices([], "GPU")  # it would allocate memory that JAX needs


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block, since C++ code turns it into other errors."""
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
