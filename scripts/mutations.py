"""Damaged copies of files, and trying many of them in processes that have little memory and little time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

import numpy as np

from embedder._internal.runtime import own_streams

MEMORY = 512 * 2**20  # bytes of data in one process, its libraries' included
SECONDS = 10.0  # of computing for one file; a hundredth is usual
PATIENCE = 60.0  # seconds in all, for one that waits for ever: how busy the machine is proves nothing
_HANGS = (-signal.SIGALRM, -signal.SIGPROF)
_FORK = multiprocessing.get_context("fork")

Check = Callable[[int], str]  # number of a case -> what became of it; raises AssertionError if that is wrong


def mutate(data: bytes, draw: np.random.Generator) -> bytes:
    """Change, remove, insert, blank, copy or exchange a few pieces; at least one byte is another."""
    mutated = bytearray(data)
    while bytes(mutated) == data:
        for _ in range(draw.integers(1, 8)):
            _change(mutated, draw)
    return bytes(mutated)


def _change(data: bytearray, draw: np.random.Generator) -> None:
    # Heads of files decide most: small places are drawn more often.
    place = int(draw.integers(0, max(1, min(len(data), 10 ** int(draw.integers(1, 7))))))
    length = int(draw.integers(1, 20))
    other = int(draw.integers(0, max(1, len(data))))
    kind = draw.integers(0, 8)
    if kind == 0:
        del data[place : place + length]
    elif kind == 1:
        data[place:place] = draw.bytes(length)
    elif kind == 2:
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif kind == 3:
        piece = data[other : other + length * 25]
        data[place : place + len(piece)] = piece
    elif kind == 4 and data:
        data[place] ^= 1 << int(draw.integers(0, 8))
    else:
        data[place : place + 1] = draw.bytes(1)


def try_all(check: Check, count: int, processes: int = 2) -> tuple[Counter[str], list[str]]:
    """Check cases 0 to count - 1 in forked processes.

    Returns:
        How often what became of them, and a sentence for each that was wrong: another error, a warning or a
        word on the terminal that escaped, a crash, a hang, or more than `MEMORY`.
    """
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    workers: dict[Connection, tuple[ForkProcess, int]] = {}

    def start(first: int) -> None:
        receive, send = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_work, args=(check, first, count, processes, send))
        process.start()
        send.close()
        workers[receive] = process, first

    for first in range(min(processes, count)):
        start(first)
    while workers:
        for ready in wait(list(workers)):
            assert isinstance(ready, Connection)
            process, case = workers[ready]
            try:
                outcome, problem = ready.recv()
            except EOFError:  # it has ended
                process.join()
                del workers[ready]
                if case < count:
                    what = "hangs" if process.exitcode in _HANGS else f"ends with {process.exitcode}"
                    problems.append(f"case {case}: {what}")
                    if case + processes < count:
                        start(case + processes)
                continue
            workers[ready] = process, case + processes
            if outcome is not None:
                outcomes[outcome] += 1
            if problem is not None:
                problems.append(f"case {case}: {problem}")
    return outcomes, problems


def _work(check: Check, first: int, count: int, step: int, send: Any) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "rawpy is being used")  # of our forks; commands make none
    with tempfile.TemporaryFile() as terminal:
        for number in (1, 2):
            os.dup2(terminal.fileno(), number)
        said = 0
        for case in range(first, count, step):
            outcome = problem = None
            # The signals are not caught: they end a hang in C code, too.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
            try:
                with own_streams():  # as on the command line, which holds back what LiteRT and libtiff write
                    outcome = check(case)
            except BaseException as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{error!r} at {where.filename}:{where.lineno}"
            for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                signal.setitimer(timer, 0)
            if (size := os.fstat(terminal.fileno()).st_size) != said:
                problem = f"writes {size - said} bytes to the terminal"
                said = size
            send.send((outcome, problem))
