"""The tables of a gallery, as numbered steps that are only ever added to.

A file's `user_version` is the number of steps it has had; opening it applies the rest in one transaction. A
file whose tables, indices or triggers are not exactly those of its version is not ours and is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from embedder.errors import GalleryError
from enroll.store.connection import Connection
from enroll.store.layout import LAYOUT, fill_from_before

APPLICATION_ID = 0x656D6264  # "embd": tells our files from other SQLite databases
_ENCODING = "UTF-8"
# SQLite's own, of tables that an earlier format had; a sweep takes it away.
_COMES_AND_GOES = ("table", "sqlite_sequence", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)")

Step = tuple[str | Callable[[Connection], None], ...]

STEPS: tuple[Step, ...] = (
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
    (*LAYOUT, fill_from_before),
)


def migrate(connection: Connection) -> None:
    """Bring a gallery to the newest version, or refuse a file that is none.

    Raises:
        GalleryError: another program's database, a newer toolkit's, one that was tampered with, or the file
            cannot be written.
    """
    with connection.reading():  # what is read belongs together, whoever else makes this gallery just now
        if _version(connection) == len(STEPS):
            return
    with connection.writing():
        _apply(connection, STEPS[_version(connection) :])  # fewer, if another process was first
        connection.run(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.run(f"PRAGMA user_version = {len(STEPS)}")


def _apply(connection: Connection, steps: Iterable[Step]) -> None:
    for step in steps:
        for action in step:
            if callable(action):
                action(connection)
            else:
                connection.run(action)


def _version(connection: Connection) -> int:
    """Give the number of steps the file has had, inside a transaction."""
    version, application = (
        int(connection.row(f"PRAGMA {name}")[0]) for name in ("user_version", "application_id")
    )
    schema = schema_of(connection)
    if application != APPLICATION_ID and (application or version or schema):
        raise GalleryError(f"{connection.path}: expected a gallery, got another program's SQLite database")
    if version > len(STEPS):
        raise GalleryError(
            f"{connection.path}: made by a newer toolkit (format {version}, this one reads {len(STEPS)}); "
            "update"
        )
    expected = schema_made_by(STEPS[:version])
    if foreign := sorted(schema ^ expected):
        raise GalleryError(
            f"{connection.path}: tampered with or broken: expected exactly the tables, indices and triggers "
            f"of a gallery of format {version}, {foreign[0][0]} {foreign[0][1]!r} differs; restore a copy"
        )
    if schema and (encoding := connection.row("PRAGMA encoding")[0]) != _ENCODING:
        raise GalleryError(f"{connection.path}: broken: expected text in {_ENCODING}, got {encoding}")
    return version


def schema_of(connection: Connection, schema: str = "main") -> frozenset[tuple[str, ...]]:
    """Give type, name, table and statement of everything that a file's schema has."""
    query = f"SELECT type, name, tbl_name, ifnull(sql, '') FROM {schema}.sqlite_schema"
    return frozenset(tuple(map(str, row)) for row in connection.rows(query)) - {_COMES_AND_GOES}


@cache
def schema_made_by(steps: tuple[Step, ...]) -> frozenset[tuple[str, ...]]:
    """Give the schema of a file that has had some steps."""
    model = Connection(None)
    try:
        _apply(model, steps)
        return schema_of(model)
    finally:
        model.close()
