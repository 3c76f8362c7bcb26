"""Takes away the places of erased rows, and writes the file anew.

It costs as much as the gallery is large, so it is done when more than an eighth of the rows are blank. It
takes several steps; `gallery.sweep` is above 0 while they are not all done, and whoever opens the gallery
next does them.
"""

from __future__ import annotations

import logging

from embedder.errors import GalleryError
from enroll.store.connection import Connection
from enroll.store.keyring import sweep_keys, vacuum_keys

_BLANK_SHARE = 1 / 8
_TABLES = ("template", "profile")

_log = logging.getLogger(__name__)


def sweep_if_due(connection: Connection, encrypted: bool) -> None:
    """Sweep if enough was erased or a sweep was cut short. What was erased is overwritten either way."""
    try:
        if _is_due(connection):
            with connection.writing():
                connection.run("UPDATE gallery SET sweep = sweep + 1")
                for table in _TABLES:
                    connection.run(f"DELETE FROM {table} WHERE checksum IS NULL")
                if encrypted:
                    sweep_keys(connection)
        finish_sweep(connection, encrypted)
    except GalleryError as error:  # what was asked for is done
        _log.warning("%s; the space of erased people is given back later", error)


def finish_sweep(connection: Connection, encrypted: bool) -> None:
    """Write the file anew if pages may hold copies of rows that are gone or were rewritten."""
    (sweep,) = connection.row("SELECT sweep FROM gallery")
    if sweep:
        connection.run("VACUUM")
        if encrypted:
            vacuum_keys(connection)
        # Not if another process began another sweep meanwhile: that one is not done.
        connection.run("UPDATE gallery SET sweep = 0 WHERE sweep = ?", (sweep,))


def _is_due(connection: Connection) -> bool:
    query = "SELECT sum(blanks), sum(count) FROM total WHERE part IN (?, ?)"
    blanks, rest = connection.row(query, _TABLES)
    return bool(blanks > _BLANK_SHARE * (blanks + rest))
