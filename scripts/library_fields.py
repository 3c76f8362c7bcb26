"""Hostile values in what a gallery says of a photo library: for `fuzz_fields.py`."""

from __future__ import annotations

import json
import sqlite3  # noqa: TID251 - writes what `enroll` would not
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_files import make_gallery
from hostile_fields import Cases, in_fields

from embedder.errors import EmbedError
from enroll.library.find import sightings, similar, suggestions
from enroll.library.people import Library
from enroll.store import open_store
from enroll.store.sqlite.library_facts import LENGTH
from enroll.store.sqlite.rows import checksum


def read_library(path: Path) -> None:
    """Read a library in all ways, and decide about its faces, as commands do; errors of ours end one."""
    with open_store(path) as store:
        with suppress(EmbedError):
            store.verify()
        library = Library(store)
        actions: tuple[Callable[[], Any], ...] = (
            lambda: library.groups(),
            lambda: [library.describe(step) for step in library.reviewed.open],
            lambda: suggestions(library, 1.0),
            lambda: sightings(library, 1.0),
            lambda: similar(library, np.eye(8, dtype=np.float32)[0], 1.0),
            lambda: library.group(1.2),
            lambda: library.undo(),
            lambda: library.confirm("Eve", list(library.faces)[:2]),
            lambda: library.merge("Zoë", "Ada"),
            lambda: library.rows.erase_all(),
        )
        for action in actions:
            with suppress(EmbedError):
                said = action()
                if isinstance(said, list) and said and isinstance(said[0], str):
                    assert all(line.isprintable() for line in said), f"it says {said!a:.200}"


def library_rows(scratch: Path) -> Cases:
    """Every field of the JSON that stands in rows of photos, faces and decisions."""
    make_gallery(scratch / "gallery", library=True)
    original = (scratch / "gallery" / "gallery.db").read_bytes()

    def read(folder: Path, table: str, row: int, body: bytes) -> None:
        path = folder / "gallery.db"
        path.write_bytes(original)
        with closing(sqlite3.connect(path)) as connection, connection:
            fields = list(connection.execute(f"SELECT * FROM {table} WHERE id = ?", (row,)).fetchone())
            fields[-2] = body
            change = f"UPDATE {table} SET body = ?, checksum = ? WHERE id = ?"
            connection.execute(change, (body, checksum(*fields[:-1]), row))
        read_library(path)

    cases: Cases = []
    with closing(sqlite3.connect(scratch / "gallery" / "gallery.db")) as connection:
        for table, chosen in (("photo", "1, 5"), ("face", "1"), ("step", "1, 3, 4, 5, 6, 8, 10")):
            query = f"SELECT id, body FROM {table} WHERE id IN ({chosen})"
            for row, body in connection.execute(query).fetchall():
                start = LENGTH.size if table == "face" else 0
                end = start + LENGTH.unpack_from(body)[0] if start else len(body)

                def act(
                    folder: Path,
                    forged: Any,
                    table: str = table,
                    row: int = row,
                    rest: bytes = body[end:],
                    start: int = start,
                ) -> None:
                    written = json.dumps(forged).encode()
                    head = LENGTH.pack(len(written)) if start else b""
                    read(folder, table, row, head + written + rest)

                cases += in_fields(f"{table} {row}", json.loads(body[start:end]), act)
            cases += [
                (f"{table} cut to {length}", partial(read, table=table, row=row, body=body[:length]))
                for length in (0, 1, 4, 5, len(body) - 1, len(body) - 4)
            ]
    return cases
