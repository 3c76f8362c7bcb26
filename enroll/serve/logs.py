"""Log as lines of JSON, with the id of the request, but no names, pictures or keys."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class Lines(logging.Formatter):
    """Formats a record as one line of JSON, pure ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        facts = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts |= getattr(record, "facts", {})
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(facts)


def log_to_stderr() -> None:
    """Write the log of a server to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("enroll", "embedder", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "enroll" else logging.WARNING)
    logging.getLogger("embedder.images").setLevel(logging.ERROR)  # its remarks on pictures are in the answers
