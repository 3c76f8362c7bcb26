"""Reads and checks all of a gallery: its pages, every row, and that rows belong together."""

from __future__ import annotations

from enroll.store.connection import Connection
from enroll.store.layout import COLUMNS
from enroll.store.reading import Reader


def verify(connection: Connection, reader: Reader) -> None:
    """Check everything, inside one `Connection.reading`.

    Raises:
        GalleryError: what is broken.
    """
    for check in ("integrity_check(1)", "foreign_key_check"):
        found = connection.row(f"PRAGMA {check}")
        if found not in (None, ("ok",)):
            raise reader.broken(", ".join(map(str, found)))
    for table in COLUMNS:
        for _ in reader.table(table):
            pass
    reader.check_handles()
    for enrolled in (True, False):
        reader.templates(enrolled)
