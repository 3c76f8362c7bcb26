"""The tables of a gallery, as numbered steps that are only ever added to.

A file's `user_version` is the number of steps it has had; opening it applies the rest in one transaction.
"""

from __future__ import annotations

import sqlite3

from embedder.errors import GalleryError

APPLICATION_ID = 0x656D6264  # "embd": tells our files from other SQLite databases

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE model (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            fingerprint TEXT NOT NULL,
            dim INTEGER NOT NULL
        ) STRICT""",
        "CREATE TABLE identity (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
        # AUTOINCREMENT: an id is never used again, so a template keeps its place among equals.
        """CREATE TABLE template (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            identity INTEGER NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
            photo TEXT NOT NULL,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            vector BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX template_identity ON template (identity)",
    ),
    (
        # `people` are the ids of the identities it was made for, 8 bytes each: they say what changed since.
        """CREATE TABLE calibration (
            only INTEGER PRIMARY KEY CHECK (only = 1),
            content TEXT NOT NULL,
            people BLOB NOT NULL
        ) STRICT""",
        # People who are known not to be enrolled: what calibration counts, never an answer.
        """CREATE TABLE stranger (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person TEXT NOT NULL,
            photo TEXT NOT NULL,
            digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
            vector BLOB NOT NULL
        ) STRICT""",
    ),
)


def migrate(connection: sqlite3.Connection, path: object) -> None:
    """Bring a gallery to the newest version, or refuse a file that is none.

    Args:
        connection: in autocommit mode.
        path: for the error.

    Raises:
        GalleryError: another program's database, or a newer toolkit's.
        sqlite3.Error: the file is no database or cannot be written.
    """
    connection.execute("BEGIN")  # what is read belongs together, whoever else makes this gallery just now
    version = _version(connection, path)
    connection.execute("ROLLBACK")
    if version == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[_version(connection, path) :]:  # fewer, if another process was first
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: object) -> int:
    """Give the number of steps the file has had, inside a transaction."""
    version, application, tables = (
        int(connection.execute(query).fetchone()[0])
        for query in ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_schema")
    )
    if application != APPLICATION_ID and (application or version or tables):
        raise GalleryError(f"{path}: expected a gallery, got another program's SQLite database")
    if version > len(STEPS):
        raise GalleryError(
            f"{path}: made by a newer toolkit (format {version}, this one reads {len(STEPS)}); update"
        )
    return version
