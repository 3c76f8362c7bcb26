"""Decode a picture in a process of its own, with limits of memory and time: where its cost cannot be told."""

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

SECONDS = 9.0  # with the start of a process below ten
# The process ends with the one that began it, however that ends: PR_SET_PDEATHSIG, SIGKILL (prctl(2), Linux).
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
    """Let this process take so many bytes, where the system can limit it."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode_apart(
    data: bytes, task: dict[str, Any]
) -> Generator[tuple[NDArray[np.uint8], tuple[str, ...], int, int]]:
    """Decode a file elsewhere.

    Args:
        data: the file.
        task: what `reading.write_frames` takes.

    Yields:
        (height, width, 3) uint8 RGB, notes, number and count of the frame.

    Raises:
        BrokenError: it cannot be decoded within the limits.
    """
    command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), json.dumps(task)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None and process.stdout is not None
    late = threading.Timer(SECONDS, process.kill)
    late.daemon = True
    late.start()
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
        late.cancel()
        process.kill()
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
