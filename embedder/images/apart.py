"""Decode a picture of unknown cost in a separate process, with limited memory and time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from embedder.images.header import BrokenError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECONDS = 9.0  # with the start of the process less than ten
# The process is killed when its parent ends: PR_SET_PDEATHSIG, SIGKILL (prctl(2), Linux).
_CHILD = """\
import ctypes, json, sys
try:
    ctypes.CDLL(None).prctl(1, 9)
except (AttributeError, OSError, TypeError):
    pass
sys.path[:] = json.loads(sys.argv[1])
from embedder.images.reading import write_frames
write_frames(json.loads(sys.argv[2]))
"""
_LONGEST_LINE = 2**20


def limit_memory(size: int) -> None:
    """Limit the memory of this process to `size` bytes, if the system supports it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode_apart(
    data: bytes, task: dict[str, Any]
) -> Generator[tuple[NDArray[np.uint8], tuple[str, ...], int, int]]:
    """Decode a picture file in a separate process.

    Args:
        data: content of the file.
        task: argument of `reading.write_frames`.

    Yields:
        (height, width, 3) uint8 RGB, notes, number of the frame, and number of frames.

    Raises:
        BrokenError: the file cannot be decoded within the limits.
    """
    command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), json.dumps(task)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None and process.stdout is not None
    timer = threading.Timer(SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(data)
            process.stdin.close()
        while True:
            head = process.stdout.readline(_LONGEST_LINE)
            if not head:
                raise BrokenError("takes more memory or time to decode than a picture of its size needs")
            facts = json.loads(head)
            if "end" in facts:
                return
            if "error" in facts:
                raise BrokenError(facts["error"])
            height, width = facts["shape"]
            pixels = np.frombuffer(process.stdout.read(height * width * 3), np.uint8)
            if len(pixels) != height * width * 3:
                raise BrokenError("takes more memory or time to decode than a picture of its size needs")
            yield (
                pixels.reshape(height, width, 3),
                tuple(facts["notes"]),
                facts["frame"],
                facts["frames"],
            )
    finally:
        timer.cancel()
        process.kill()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
