"""Start the command `embed`: handle Ctrl-C before the rest of it is imported.

Importing takes a fraction of a second, in which Ctrl-C has to end the command as at any other time.
"""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


def main() -> None:
    """Run the command line from its first moment to its last."""
    ends = signal.getsignal(signal.SIGINT) == signal.default_int_handler  # else a shell has it ignored
    if ends:
        signal.signal(signal.SIGINT, _leave)
    from enroll.cli import main as run

    try:
        try:
            if ends:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            run()
        finally:
            if ends:
                signal.signal(signal.SIGINT, _leave)  # nothing is left to be undone
    except KeyboardInterrupt:  # just before or after the command, which ends by itself
        _leave()


def _leave(*_: object) -> None:
    os._exit(_INTERRUPTED)  # an exception may end up inside an import that takes it for something else
