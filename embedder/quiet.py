"""Keeps TensorFlow's own chatter out of the terminal, and shows it when something fails."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()
_SILENT: list[None] = []  # one entry for each block that wants silence now
_RESTORE: list[warnings.catch_warnings[None]] = []


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to standard output and error, also by C++ code.

    If the block fails, the last of it is added to the exception as a note. One thread at a time: the two
    streams belong to the whole process, and what another thread writes meanwhile is lost, unless it waits
    for `aloud`.
    """
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
def aloud() -> Iterator[None]:
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
