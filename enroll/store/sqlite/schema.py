"""Define the tables of a gallery file, and the numbered migrations that lead to them.

A file's `user_version` is the number of steps it has had; opening it applies the rest in one transaction. A
file whose tables, indices or triggers are not exactly those of its version is not ours and is not read.

All that is about someone is in tables (`template`, `profile`, `photo`, `face`, `step`) to which rows are
only appended. SQLite moves rows when others are deleted or grow, and may leave copies behind in the unused
parts of its pages, `secure_delete` or not; at the end of a table it moves nothing. To erase a row is to set
its columns to NULL in its place, which overwrites it; a sweep removes such blanks later
(`enroll.store.sqlite.maintenance`). What an index finds is a keyed hash (`enroll.store.sqlite.encryption`),
since the rows of an index do move.

Every row has a checksum. `total` has for each table how many rows there are, blanks apart, the sum of their
checksums, the last id, how often rows were changed or erased, and how many blanks there are.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import count
from typing import Any

from embedder.errors import GalleryError
from enroll.store.base import Terms
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.encryption import SALT, Plain
from enroll.store.sqlite.rows import NEVER, Field, checksum, pack_profile, pack_template

_PEOPLE = {
    "model": "fingerprint TEXT NOT NULL, dim INTEGER NOT NULL, checksum INTEGER NOT NULL",
    # `profile` is the row with their name; strangers are not enrolled; `expires` is a day, 1 is 0001-01-01.
    "person": """handle BLOB NOT NULL UNIQUE, profile INTEGER NOT NULL, enrolled INTEGER NOT NULL,
            expires INTEGER NOT NULL, checksum INTEGER NOT NULL""",
    "profile": "body BLOB, checksum INTEGER",
    "template": "person INTEGER REFERENCES person (id), handle BLOB UNIQUE, body BLOB, checksum INTEGER",
    # `people` are the ids of the people it was made for, 8 bytes each: they say what changed since.
    "calibration": "content TEXT NOT NULL, people BLOB NOT NULL, checksum INTEGER NOT NULL",
    # `subject` is the id of a person, 0 if it was about no single one.
    "event": """at TEXT NOT NULL, action TEXT NOT NULL, subject INTEGER NOT NULL, templates INTEGER NOT NULL,
            checksum INTEGER NOT NULL""",
}
# A photo library: `enroll.store.library`. A row of `photo` or `face` is written again at the end when it
# changes, so `number` is what stays. `named` and `grouped` have the face's number as id and hold no more than
# numbers. `expires` counts while a face is not in `named`.
_LIBRARY = {
    "photo": "number INTEGER, handle BLOB UNIQUE, body BLOB, checksum INTEGER",
    "face": "number INTEGER, photo INTEGER, expires INTEGER, body BLOB, checksum INTEGER",
    "named": "person INTEGER NOT NULL, checksum INTEGER NOT NULL",
    "grouped": "part INTEGER NOT NULL, checksum INTEGER NOT NULL",
    # `person` is whose key seals it, 0 for the library's own.
    "step": "person INTEGER, body BLOB, checksum INTEGER",
}
COLUMNS = _PEOPLE | _LIBRARY

_BEFORE = ("model", "identity", "template", "calibration", "stranger")

APPLICATION_ID = 0x656D6264  # "embd": tells our files from other SQLite databases
_ENCODING = "UTF-8"
# SQLite's own, of tables that an earlier format had; a sweep takes it away.
_SEQUENCE_TABLE = ("table", "sqlite_sequence", "sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)")

Step = tuple[str | Callable[[Connection], None], ...]


def _table(name: str, columns: str) -> Iterator[str]:
    """Yield the statements that create a table, and keep its row of `total` in the same transaction."""
    yield f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {columns}) STRICT"
    yield f"INSERT INTO total VALUES ('{name}', 0, 0, 0, 0, 0)"
    yield f"""CREATE TRIGGER {name}_added AFTER INSERT ON {name} BEGIN UPDATE total SET
        count = count + 1, sum = sum + new.checksum, last = max(last, new.id) WHERE part = '{name}'; END"""
    yield f"""CREATE TRIGGER {name}_changed AFTER UPDATE ON {name} BEGIN UPDATE total SET
        count = count + (new.checksum IS NOT NULL) - (old.checksum IS NOT NULL),
        sum = sum + ifnull(new.checksum, 0) - ifnull(old.checksum, 0), changed = changed + 1,
        blanks = blanks + (new.checksum IS NULL) - (old.checksum IS NULL) WHERE part = '{name}'; END"""
    yield f"""CREATE TRIGGER {name}_erased AFTER DELETE ON {name} BEGIN UPDATE total SET
        count = count - (old.checksum IS NOT NULL), sum = sum - ifnull(old.checksum, 0),
        changed = changed + (old.checksum IS NOT NULL),
        blanks = blanks - (old.checksum IS NULL) WHERE part = '{name}'; END"""


LAYOUT = (
    "DROP INDEX template_identity",
    *(f"ALTER TABLE {name} RENAME TO before_{name}" for name in _BEFORE),
    """CREATE TABLE total (part TEXT PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL,
        last INTEGER NOT NULL, changed INTEGER NOT NULL, blanks INTEGER NOT NULL) STRICT""",
    # `born` is where generations start, `keys` the id of the file with the keys if it is encrypted; `sweep`
    # is set while pages may hold copies of what was erased, and is not part of the checksum.
    """CREATE TABLE gallery (only INTEGER PRIMARY KEY CHECK (only = 1), salt BLOB NOT NULL,
        born INTEGER NOT NULL, keys BLOB, checksum INTEGER NOT NULL, sweep INTEGER NOT NULL) STRICT""",
    *(statement for name, columns in _PEOPLE.items() for statement in _table(name, columns)),
    "CREATE INDEX template_person ON template (person)",
    "CREATE INDEX person_expires ON person (expires)",
)


def fill_from_before(connection: Connection) -> None:
    """Move the content of a gallery of format 2 into the tables of format 3, and drop the old ones.

    Raises:
        GalleryError: a template has not the model's length.
    """
    salt, born = secrets.token_bytes(SALT), secrets.randbits(48)
    used = connection.row("SELECT count(*) FROM sqlite_sequence")[0] > 0
    connection.run(
        "INSERT INTO gallery VALUES (1, ?, ?, NULL, ?, ?)", (salt, born, checksum(1, salt, born, None), used)
    )
    sealer = Plain(salt)
    model = connection.row("SELECT fingerprint, dim FROM before_model")
    if model:
        connection.run("INSERT INTO model VALUES (1, ?, ?, ?)", (*model, checksum(1, *model)))
    if calibration := connection.row("SELECT content, people FROM before_calibration"):
        connection.run(
            "INSERT INTO calibration VALUES (1, ?, ?, ?)", (*calibration, checksum(1, *calibration))
        )
    _fill_people(connection, sealer)
    _fill_templates(connection, sealer, model[1] if model else 0)
    for name in ("template", "identity", "model", "calibration", "stranger"):  # template refers to identity
        connection.run(f"DROP TABLE before_{name}")


def _fill_people(connection: Connection, sealer: Plain) -> None:
    everyone = connection.rows("SELECT id, name, 1 FROM before_identity ORDER BY id")
    last = max((entry[0] for entry in everyone), default=0)
    taken = {name for _, name, _ in everyone}
    strangers = connection.rows("SELECT person FROM before_stranger GROUP BY person ORDER BY min(id)")
    everyone += [
        (number, name, 0)
        for number, name in zip(count(last + 1), (n for (n,) in strangers if n not in taken), strict=False)
    ]
    for profile, (person, name, enrolled) in enumerate(everyone, 1):
        handle, body = sealer.handle("name", name.encode()), pack_profile(name, Terms())
        connection.run("INSERT INTO profile VALUES (?, ?, ?)", (profile, body, checksum(profile, body)))
        row = (person, handle, profile, enrolled, NEVER)
        connection.run("INSERT INTO person VALUES (?, ?, ?, ?, ?, ?)", (*row, checksum(*row)))


def _fill_templates(connection: Connection, sealer: Plain, dim: int) -> None:
    def new_rows(rows: list[Any]) -> Iterator[tuple[Any, ...]]:
        for number, person, photo, digest, vector in rows:
            if len(vector) != 4 * dim:
                raise GalleryError(f"{connection.path}: broken: a template is not {dim} numbers long")
            handle, body = sealer.handle("digest", digest), pack_template(photo, digest, vector)
            row = (number, person, handle, body)
            yield *row, checksum(*row)

    insert = "INSERT INTO template VALUES (?, ?, ?, ?, ?)"
    for rows in connection.chunks(
        "SELECT id, identity, photo, digest, vector FROM before_template ORDER BY id"
    ):
        connection.run_many(insert, new_rows(rows))
    # An id is never used again, also that of a template which was erased before.
    connection.run(
        """UPDATE total SET last = max(last, ifnull(
        (SELECT seq FROM sqlite_sequence WHERE name = 'before_template'), 0)) WHERE part = 'template'"""
    )
    (last,) = connection.row("SELECT last FROM total WHERE part = 'template'")
    numbers = count(last + 1)
    strangers = dict(connection.rows("SELECT handle, id FROM person WHERE enrolled = 0"))
    for rows in connection.chunks(
        """SELECT person, photo, digest, vector FROM before_stranger
        WHERE digest NOT IN (SELECT digest FROM before_template) ORDER BY id"""
    ):
        kept = [
            (next(numbers), whose, *rest)
            for name, *rest in rows
            if (whose := strangers.get(sealer.handle("name", name.encode()))) is not None
        ]
        connection.run_many(insert, new_rows(kept))


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
    (
        *(statement for name, columns in _LIBRARY.items() for statement in _table(name, columns)),
        "CREATE INDEX photo_number ON photo (number)",
        "CREATE INDEX face_number ON face (number)",
        "CREATE INDEX face_photo ON face (photo)",
        "CREATE INDEX face_expires ON face (expires)",
        "CREATE INDEX named_person ON named (person)",
    ),
    # Rows of `photo` and `face` may be of films, with times: what read format 4 would drop these.
    (),
)


def insert_rows(connection: Connection, table: str, rows: Iterable[tuple[Field, ...]]) -> None:
    """Append rows to a table, each with its checksum."""
    marks = ", ".join("?" * (COLUMNS[table].count(",") + 2))
    connection.run_many(f"INSERT INTO {table} VALUES ({marks})", ((*row, checksum(*row)) for row in rows))


def migrate(connection: Connection) -> None:
    """Migrate a gallery to the newest version, or refuse a file that is none.

    Raises:
        GalleryError: another program's database, a newer toolkit's, one that was tampered with, or the file
            cannot be written.
    """
    with connection.reading():  # consistent reads, as another process may be creating this gallery
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
    """Return the number of steps the file has had, inside a transaction."""
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
    """Return type, name, table and statement of everything in a file's schema."""
    query = f"SELECT type, name, tbl_name, ifnull(sql, '') FROM {schema}.sqlite_schema"
    return frozenset(tuple(map(str, row)) for row in connection.rows(query)) - {_SEQUENCE_TABLE}


@cache
def schema_made_by(steps: tuple[Step, ...]) -> frozenset[tuple[str, ...]]:
    """Return the schema of a file after some steps."""
    model = Connection(None)
    try:
        _apply(model, steps)
        return schema_of(model)
    finally:
        model.close()
