from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from embedder.errors import GalleryError
from enroll.store import migrations
from enroll.store.migrations import APPLICATION_ID, STEPS, migrate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        yield opened


def pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {name for (name,) in rows if not name.startswith("sqlite_")}


def test_new_file_becomes_a_gallery(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    assert tables(connection) == {"model", "identity", "template", "calibration", "stranger"}
    assert pragma(connection, "user_version") == len(STEPS)
    assert pragma(connection, "application_id") == int.from_bytes(b"embd", "big") == APPLICATION_ID
    assert not connection.in_transaction


def test_current_gallery_is_not_written_to(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    before = path.read_bytes()
    migrate(connection, path)
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
    connection: sqlite3.Connection, path: Path, statements: list[str]
) -> None:
    for statement in statements:
        connection.execute(statement)
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=r"gallery\.db.*another program"):
        migrate(connection, path)
    assert path.read_bytes() == before


def test_newer_version_is_refused_untouched(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path)
    connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    before = path.read_bytes()
    with pytest.raises(GalleryError, match=f"newer toolkit.*format {len(STEPS) + 1}"):
        migrate(connection, path)
    assert path.read_bytes() == before


def test_later_step_is_applied_once_and_keeps_what_is_there(
    connection: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection, path)
    connection.execute("INSERT INTO identity (name) VALUES ('ada')")
    later = ("ALTER TABLE identity ADD COLUMN note TEXT", "UPDATE identity SET note = 'kept'")
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, later))
    for _ in range(2):
        migrate(connection, path)
    assert connection.execute("SELECT name, note FROM identity").fetchall() == [("ada", "kept")]
    assert pragma(connection, "user_version") == len(STEPS) + 1


def test_failing_step_leaves_nothing_behind(
    connection: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection, path)
    broken = ("CREATE TABLE half (done)", "INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr(migrations, "STEPS", (*STEPS, broken))
    with pytest.raises(sqlite3.Error, match="nowhere"):
        migrate(connection, path)
    assert "half" not in tables(connection)
    assert pragma(connection, "user_version") == len(STEPS)
    assert not connection.in_transaction


class Interrupted(sqlite3.Connection):
    """A connection that lets another process work just before one of its statements."""

    before: str
    other: Callable[[], object]

    def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        if statement.startswith(self.before):
            self.before = "nothing more"
            self.other()
        return super().execute(statement, *parameters)


def migrate_elsewhere(path: Path, version: int = len(STEPS)) -> None:
    with (
        suppress(sqlite3.OperationalError),  # it has to wait
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
    ):
        migrate(other, path)
        other.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize(
    "before", ["PRAGMA user_version", "PRAGMA application_id", "SELECT count(*)", "BEGIN IMMEDIATE"]
)
def test_another_process_makes_the_gallery_at_the_same_moment(path: Path, before: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, factory=Interrupted)) as connection:
        connection.before, connection.other = before, lambda: migrate_elsewhere(path)
        migrate(connection, path)
        assert pragma(connection, "user_version") == len(STEPS)


def test_version_of_a_newer_toolkit_at_the_same_moment_stays(path: Path) -> None:
    newer = len(STEPS) + 1
    with closing(sqlite3.connect(path, isolation_level=None, factory=Interrupted)) as connection:
        connection.before, connection.other = "BEGIN IMMEDIATE", lambda: migrate_elsewhere(path, newer)
        with pytest.raises(GalleryError, match="newer toolkit"):
            migrate(connection, path)
        assert pragma(connection, "user_version") == newer
