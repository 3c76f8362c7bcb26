from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from embedder.errors import GalleryError
from enroll.store.sqlite import connection as connection_module
from enroll.store.sqlite import schema
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.schema import APPLICATION_ID, STEPS, migrate, schema_of

LIBRARY = {"photo", "face", "named", "grouped", "step"}
TABLES = {"model", "person", "profile", "template", "calibration", "event", "total", "gallery", *LIBRARY}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    with closing(Connection(path)) as opened:
        yield opened


def pragma(connection: Connection, name: str) -> int:
    value: int = connection.row(f"PRAGMA {name}")[0]
    return value


def tables(connection: Connection) -> set[str]:
    made = {name for kind, name, *_ in schema_of(connection) if kind == "table"}
    return {name for name in made if not name.startswith("sqlite_")}


def is_idle(connection: Connection) -> bool:
    return not connection._raw.in_transaction


def test_new_file_becomes_a_gallery(connection: Connection, path: Path) -> None:
    migrate(connection)
    assert tables(connection) == TABLES
    assert pragma(connection, "user_version") == len(STEPS)
    assert pragma(connection, "application_id") == int.from_bytes(b"embd", "big") == APPLICATION_ID
    assert is_idle(connection)


def test_current_gallery_is_not_written_to(connection: Connection, path: Path) -> None:
    migrate(connection)
    before = path.read_bytes()
    migrate(connection)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE notes (text)"],
        ["PRAGMA user_version = 1"],
        ["PRAGMA application_id = 77"],
        ["CREATE TABLE notes (text)", "PRAGMA application_id = 77", f"PRAGMA user_version = {len(STEPS)}"],
        ["CREATE TABLE identity (id, name)", f"PRAGMA user_version = {len(STEPS)}"],
    ],
)
def test_foreign_database_is_refused_untouched(
    connection: Connection, path: Path, statements: list[str]
) -> None:
    for statement in statements:
        connection.run(statement)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"gallery\.db.*another program"):
        migrate(connection)
    assert path.read_bytes() == before


def test_newer_version_is_refused_untouched(connection: Connection, path: Path) -> None:
    migrate(connection)
    connection.run(f"PRAGMA user_version = {len(STEPS) + 1}")
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=f"newer toolkit.*format {len(STEPS) + 1}"):
        migrate(connection)
    assert path.read_bytes() == before


def test_later_step_is_applied_once_and_keeps_what_is_there(
    connection: Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection)
    connection.run("INSERT INTO event VALUES (1, 'now', 'enroll', 1, 2, 3)")
    later = ("ALTER TABLE event ADD COLUMN note TEXT", "UPDATE event SET note = 'kept'")
    monkeypatch.setattr(schema, "STEPS", (*STEPS, later))
    for _ in range(2):
        migrate(connection)
    assert connection.rows("SELECT action, note FROM event") == [("enroll", "kept")]
    assert pragma(connection, "user_version") == len(STEPS) + 1


def test_failing_step_leaves_nothing_behind(
    connection: Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection)
    broken = ("CREATE TABLE half (done)", "INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr(schema, "STEPS", (*STEPS, broken))
    with pytest.raises(GalleryError, match="nowhere"):
        migrate(connection)
    assert "half" not in tables(connection)
    assert pragma(connection, "user_version") == len(STEPS)
    assert is_idle(connection)


class Interrupted(Connection):
    """A connection that lets another process work just before one of its statements."""

    before = "nothing"
    other: Callable[[], object]

    def _interrupt(self, statement: str) -> None:
        if statement.startswith(self.before):
            self.before = "nothing more"
            self.other()

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        self._interrupt(statement)
        return super().run(statement, values)

    def row(self, query: str, values: Sequence[Any] = ()) -> Any:
        self._interrupt(query)
        return super().row(query, values)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        self._interrupt(query)
        return super().rows(query, values)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no one wait for another."""
    monkeypatch.setattr(connection_module, "_NOTICE", 0.0)
    monkeypatch.setattr(connection_module, "_PATIENCE", -1.0)


def migrate_elsewhere(path: Path, version: int = len(STEPS)) -> None:
    with suppress(GalleryError), closing(Connection(path)) as other:  # it may have to wait
        migrate(other)
        other.run(f"PRAGMA user_version = {version}")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "before", ["PRAGMA user_version", "PRAGMA application_id", "SELECT type", "BEGIN IMMEDIATE"]
)
def test_another_process_makes_the_gallery_at_the_same_moment(path: Path, before: str) -> None:
    with closing(Interrupted(path)) as connection:
        connection.before, connection.other = before, lambda: migrate_elsewhere(path)
        migrate(connection)
        assert connection.before == "nothing more"
        assert pragma(connection, "user_version") == len(STEPS)


@pytest.mark.usefixtures("hasty")
def test_version_of_a_newer_toolkit_at_the_same_moment_stays(path: Path) -> None:
    newer = len(STEPS) + 1
    with closing(Interrupted(path)) as connection:
        connection.before, connection.other = "BEGIN IMMEDIATE", lambda: migrate_elsewhere(path, newer)
        with pytest.raises(GalleryError, match="newer toolkit"):
            migrate(connection)
        assert pragma(connection, "user_version") == newer


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON person BEGIN DELETE FROM template; END",
        "CREATE VIEW evil AS SELECT * FROM template",
        "CREATE TABLE evil (body BLOB, twice BLOB GENERATED ALWAYS AS (body || body))",
        """PRAGMA writable_schema = ON; INSERT INTO sqlite_schema
        VALUES ('table', 'evil', 'evil', 0, 'CREATE VIRTUAL TABLE evil USING fts5(body)')""",
        "CREATE INDEX evil ON template (length(body))",
        "ALTER TABLE person ADD COLUMN evil TEXT",
        "DROP TRIGGER template_changed",
        "DROP INDEX template_person",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 2",
    ],
)
def test_gallery_with_other_tables_is_refused_untouched(
    connection: Connection, path: Path, statement: str
) -> None:
    migrate(connection)
    with closing(sqlite3.connect(path)) as other:
        other.executescript(statement)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"gallery\.db: tampered with or broken: .* differs"):
        migrate(connection)
    assert path.read_bytes() == before
