"""Log notes on pictures that were read with limitations, by Python's logging."""

from __future__ import annotations

import logging
import os

LOGGER = logging.getLogger("embedder.images")
LOGGER.addHandler(logging.NullHandler())  # else Python writes warnings to standard error by default


def tell(path: str | os.PathLike[str], notes: tuple[str, ...]) -> None:
    """Log each note on a picture as a warning, with the attributes `photo` and `note`.

    The command line lists the notes when a command ends, each once.
    """
    photo = os.fspath(path)
    for note in notes:
        LOGGER.warning("%s: %s", photo, note, extra={"photo": photo, "note": note})
