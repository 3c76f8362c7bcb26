"""Shows what the packages have to say while a command runs, on standard error."""

from __future__ import annotations

import logging
import sys

from embedder.cli import printable


class _Notices(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"embed: {printable(record.getMessage())}", file=sys.stderr, flush=True)


def show_notices() -> None:
    """Print warnings of ours, such as that another process is being waited for."""
    for package in ("embedder", "enroll"):
        logger = logging.getLogger(package)
        logger.handlers = [_Notices(logging.WARNING)]
