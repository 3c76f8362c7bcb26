"""Keeps TensorFlow's own chatter out of the terminal, and shows it when something fails."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what is written to standard output and error, also by C++ code.

    If the block fails, the last of it is added to the exception as a note. One thread at a time: the two
    streams belong to the whole process.
    """
    with _LOCK:
        yield from _redirected()


def _redirected() -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        kept = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for number, _ in kept:
                os.dup2(log.fileno(), number)
            yield
        except Exception as error:
            log.seek(0)
            error.add_note(log.read().decode(errors="replace")[-2000:])
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


def import_keras() -> None:
    """Load Keras and TensorFlow without a word."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with quiet():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
