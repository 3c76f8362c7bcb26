"""Say which version this is, without importing the rest of the command line."""

from __future__ import annotations

import sys

from embedder.errors import UsageError
from enroll.cli.streams import discard_output, guard_streams


def version_line() -> str:
    """Return the name of the command and its version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"embed {version('embedder-enroll')}"
    except PackageNotFoundError:  # run from a copy of the source
        return "embed, not installed as a package"


def print_version() -> None:
    """Run `embed --version`.

    Raises:
        SystemExit: it cannot be printed.
    """
    guard_streams()
    try:
        print(version_line(), flush=True)
    except OSError as error:  # a full disk
        print(f"embed: {error.strerror}", file=sys.stderr)
        discard_output()
        sys.exit(UsageError.exit_code)
