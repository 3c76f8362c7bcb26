"""End a command with its exit code, and one line on standard error instead of a traceback."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from embedder._internal.runtime import is_working, own_streams
from embedder.errors import EmbedError, ForeignModelError, UsageError
from enroll.cli.options import INTERRUPTED
from enroll.cli.streams import discard_output, guard_streams
from enroll.cli.terminal import printable, safe, show_remarks

_LEAST_MEMORY = 256 * 2**20  # bytes; `embed gallery list` takes 160
_LITTLE_MEMORY = "there is too little memory for this; allow the command more (`ulimit -v`), or give it less"
# Messages of the loader, Python's threads and LiteRT without memory; they have no error class for it.
_MEMORY_WORDS = (
    "failed to map segment",
    "cannot allocate memory",
    "can't start new thread",
    "can't allocate lock",
)


def run_command(command: Callable[[], object]) -> None:
    """Run a command.

    An error of ours or of the system ends it with one line and its exit code.
    """
    guard_streams()
    try:
        try:
            with own_streams():
                command()
        finally:
            sys.stdout.flush()
            show_remarks()
    except (KeyboardInterrupt, SystemExit) as ended:
        code = getattr(ended, "code", INTERRUPTED)
        if code == INTERRUPTED and is_working():
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(INTERRUPTED)  # else Python waits for the pictures that are being read
        sys.exit(code)
    except Exception as error:
        if (known := _describe(error)) is None:
            raise
        line, code = known
        # `safe` loads numpy, which may be the package that could not be loaded.
        shown = line if line == _LITTLE_MEMORY or isinstance(error, ImportError) else safe(line)
        print(f"embed: {printable(shown)}", file=sys.stderr)
        if isinstance(error, OSError):
            discard_output()
        sys.exit(code)


def _describe(error: Exception) -> tuple[str, int] | None:
    """Return the line and the exit code of an expected error, or None."""
    if isinstance(error, EmbedError):
        return f"{error}{_model_of(error)}", error.exit_code
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(words in said.lower() for words in _MEMORY_WORDS):
        return _LITTLE_MEMORY, UsageError.exit_code
    if isinstance(error, OSError):  # a folder that may not be entered, a full disk below standard output
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", UsageError.exit_code
    if isinstance(error, ImportError):
        advice = "allow the command more memory (`ulimit -v`), or " if _memory_limit() < math.inf else ""
        return f"a package cannot be loaded: {said[-300:]}; {advice}install embed again", UsageError.exit_code
    return None


def check_memory() -> None:
    """Refuse to run a command within a limit of memory in which numpy cannot be loaded.

    Its OpenBLAS would end the process itself, with words and an exit code of its own.

    Raises:
        MemoryError: the address space is limited to less.
    """
    if _memory_limit() < _LEAST_MEMORY:
        raise MemoryError


def _memory_limit() -> float:
    """Return the limit of the address space in bytes, or infinity."""
    try:
        import resource
    except ImportError:
        return math.inf  # Windows has no such limit
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def _model_of(error: EmbedError) -> str:
    """Return the name of the model that a gallery was made with, if it is the built-in one."""
    from embedder.built_in import built_in_fingerprint
    from embedder.config import BUILT_IN

    if isinstance(error, ForeignModelError) and error.fingerprint == built_in_fingerprint():
        return f". It was made with the built-in network: --model {BUILT_IN}"
    return ""
