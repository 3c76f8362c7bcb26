"""What a gallery's file does beyond the contract."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedder import errors
from enroll.store import check_model
from enroll.store.sqlite import store as store_module
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.enroll.templates import DIM, MODEL, open_store, template


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("synchronous", 3),  # EXTRA: FULL does not sync the folder after the journal is unlinked
        ("secure_delete", 1),
        ("trusted_schema", 0),
        ("foreign_keys", 1),
        ("cell_size_check", 1),
        ("journal_mode", "delete"),  # a log beside the file would keep what was erased
        ("temp_store", 2),  # in memory: nothing of a gallery in a folder for everyone
    ],
)
def test_pragmas_are_in_force(store: SqliteStore, pragma: str, value: object) -> None:
    assert store._connection.row(f"PRAGMA {pragma}") == (value,)


def test_what_changes_nothing_writes_nothing(store: SqliteStore, path: Path) -> None:
    store.add("ada", [template("a.png")])
    before = path.read_bytes()
    with pytest.raises(errors.PhotoConflictError):
        store.add("bob", [template("b.png"), template("a.png")])
    store.add("ada", [template("a.png")])
    store.drop([77])
    store.add_strangers([("eve", template("a.png"))])
    assert store.remove_strangers() == 0
    assert path.read_bytes() == before


def test_failure_after_a_write_leaves_nothing_behind(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "check_people", lambda _: None)  # else nothing is written at all
    monkeypatch.setattr(store_module, "check_templates", lambda _: None)
    good = template("a.png")
    with pytest.raises(ValueError, match="digest of 32 bytes"):
        store.add("ada", [good, NewTemplate("b.png", b"no digest", good.vector)])
    assert store.identities() == []


def test_reading_never_writes(store: SqliteStore, path: Path) -> None:
    store.add("ada", [template("a.png")])
    store.close()
    os.utime(path, ns=(10**18, 10**18))
    before = path.read_bytes()
    with SqliteStore(path) as opened:
        opened.bind(MODEL, DIM)
        check_model(opened, MODEL, DIM)
        opened.templates()
        opened.identities()
        opened.owners([template("a.png").digest])
        opened.changes()
        opened.verify()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, 10**18)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["with space.db", "Zoë 名.db", "100%20?#.db", "file:x.db", ":memory:"])
def test_any_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store(Path(name)) as store:
        store.add("ada", [template("a.png")])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with SqliteStore(name) as store:
        assert store.identities() == [("ada", 1)]


def test_generations_of_two_galleries_differ(tmp_path: Path) -> None:
    """So that what was remembered of a gallery is not taken for another one's in its place."""
    with open_store(tmp_path / "1.db") as one, open_store(tmp_path / "2.db") as other:
        assert one.changes()[0] != other.changes()[0]
