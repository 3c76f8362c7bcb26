"""Tell what a person should know of a picture that was read all the same, through Python's logging."""

from __future__ import annotations

import logging
import os

LOGGER = logging.getLogger("embedder.images")
LOGGER.addHandler(logging.NullHandler())  # else Python writes to the terminal where nothing is set up


def tell(path: str | os.PathLike[str], notes: tuple[str, ...]) -> None:
    """Log each note on a picture as a warning; its record has the attributes `photo` and `note`.

    The command line lists them when a command ends, each once.
    """
    photo = os.fspath(path)
    for note in notes:
        LOGGER.warning("%s: %s", photo, note, extra={"photo": photo, "note": note})
