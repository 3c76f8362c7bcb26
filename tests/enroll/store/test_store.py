from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from embedder import errors
from enroll.store import NewTemplate, check_model, connection
from enroll.store.sqlite import SqliteStore
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


def test_what_was_added_is_read_back(store: SqliteStore, path: Path) -> None:
    photos = [template("Fotos/Zoë 1.png"), template("Fotos/Zoë 2.png")]
    assert store.add("Zoë", photos) == 2
    assert store.add("bob", [template("b.png")]) == 1
    with SqliteStore(path) as again:
        read = again.templates()
        assert list(read.identities) == ["Zoë", "Zoë", "bob"]
        assert read.ids.tolist() == sorted(set(read.ids.tolist()))
        np.testing.assert_array_equal(read.vectors[:2], [photo.vector for photo in photos])
        assert (read.ids.dtype, read.vectors.dtype) == (np.int64, np.float32)
        assert again.identities() == [("Zoë", 2), ("bob", 1)]
        assert again.model() == (MODEL, DIM)
        assert again.owner(photos[0].digest) == "Zoë"
        assert again.owner(template("c.png").digest) is None


def test_new_gallery_is_empty(path: Path) -> None:
    with SqliteStore(path, create=True) as store:
        assert store.model() is None
        assert store.identities() == []
        assert len(store.templates().ids) == 0


def test_same_photo_again_changes_nothing(store: SqliteStore) -> None:
    store.add("ada", [template("a.png")])
    assert store.add("ada", [template("a.png"), template("b.png"), template("b.png")]) == 1
    assert store.identities() == [("ada", 2)]


def test_conflict_leaves_nothing_behind(store: SqliteStore, path: Path) -> None:
    store.add("ada", [template("a.png")])
    before = path.read_bytes()
    with pytest.raises(errors.PhotoConflictError, match=r"a\.png: already enrolled as 'ada'"):
        store.add("bob", [template("b.png"), template("a.png")])
    assert path.read_bytes() == before
    assert store.identities() == [("ada", 1)]
    assert store.add("bob", [template("b.png")]) == 1


def test_failure_after_a_write_leaves_nothing_behind(store: SqliteStore) -> None:
    good = template("a.png")
    with pytest.raises(ValueError, match="digest of 32 bytes"):
        store.add("ada", [good, NewTemplate("b.png", b"no digest", good.vector)])
    assert store.identities() == []


def test_remove_erases_only_that_person(store: SqliteStore, path: Path) -> None:
    for name in ("ada", "secretive-bob", "cleo"):
        store.add(name, [template(f"{name} {number}.png") for number in range(20)])
    assert store.remove("secretive-bob") == 20
    assert store.identities() == [("ada", 20), ("cleo", 20)]
    content = path.read_bytes()
    for number in range(20):
        gone, kept = template(f"secretive-bob {number}.png"), template(f"ada {number}.png")
        assert kept.digest in content
        assert kept.vector.tobytes() in content
        assert gone.digest not in content
        assert gone.vector.tobytes() not in content
    assert b"secretive-bob" not in content


def test_ids_are_never_used_again(store: SqliteStore) -> None:
    store.add("ada", [template("a.png")])
    store.add("bob", [template("b.png")])
    highest = store.templates().ids.max()
    store.remove("bob")
    store.add("cleo", [template("b.png")])
    assert store.templates().ids.tolist()[1:] == [highest + 1]


def test_rename(store: SqliteStore) -> None:
    store.add("ada", [template("a.png")])
    store.add("bob", [template("b.png")])
    store.rename("ada", "Ada Lovelace")
    assert store.identities() == [("Ada Lovelace", 1), ("bob", 1)]
    assert store.owner(template("a.png").digest) == "Ada Lovelace"
    with pytest.raises(errors.UsageError, match="'bob' is already enrolled"):
        store.rename("Ada Lovelace", "bob")
    assert store.identities() == [("Ada Lovelace", 1), ("bob", 1)]


@pytest.mark.parametrize("change", [SqliteStore.remove, partial(SqliteStore.rename, new="cleo")])
def test_unknown_name_gets_a_hint(store: SqliteStore, change: Callable[[SqliteStore, str], object]) -> None:
    store.add("Ada", [template("a.png")])
    with pytest.raises(errors.UnknownIdentityError, match=r"no one is called 'ada'.*did you mean 'Ada'"):
        change(store, "ada")
    with pytest.raises(errors.UnknownIdentityError, match="embed gallery list"):
        change(store, "bob")


@pytest.mark.parametrize(("fingerprint", "dim"), [("e" * 64, DIM), (MODEL, DIM + 1)])
def test_other_model_is_refused(store: SqliteStore, fingerprint: str, dim: int) -> None:
    store.bind(MODEL, DIM)
    with pytest.raises(errors.ForeignModelError, match="another model"):
        store.bind(fingerprint, dim)
    assert store.model() == (MODEL, DIM)


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
        opened.owner(template("a.png").digest)
        opened.changes()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, 10**18)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "arguments"),
    [("add", ("bob", [template("b.png")])), ("remove", ("ada",)), ("rename", ("ada", "bob"))],
)
def test_two_stores_see_each_others_changes(
    store: SqliteStore, path: Path, change: str, arguments: tuple[object, ...]
) -> None:
    store.add("ada", [template("a.png")])
    with SqliteStore(path) as other:
        before = store.changes(), other.changes()
        assert (store.changes(), other.changes()) == before
        getattr(other, change)(*arguments)
        assert store.changes() != before[0]
        assert other.changes() != before[1]
        assert store.identities() == other.identities() != [("ada", 1)]


@pytest.mark.parametrize("name", ["with space.db", "Zoë 名.db", "100%20?#.db", "file:x.db", ":memory:"])
def test_any_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store(Path(name)) as store:
        store.add("ada", [template("a.png")])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with SqliteStore(name) as store:
        assert store.identities() == [("ada", 1)]


def enroll_many(path: Path, worker: int) -> int:
    with SqliteStore(path) as store:
        own = sum(store.add(f"p{worker}{step}", [template(f"{worker} {step}")]) for step in range(5))
        return own + sum(store.add("shared", [template(f"{worker} {step} s")]) for step in range(5))


SPAWNED = partial(ProcessPoolExecutor, mp_context=get_context("spawn"))


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, SPAWNED], ids=["threads", "processes"])
def test_many_writers_lose_nothing(store: SqliteStore, path: Path, pool: Callable[[int], Executor]) -> None:
    with pool(3) as executor:
        assert list(executor.map(partial(enroll_many, path), range(3))) == [10, 10, 10]
    own = [(f"p{worker}{step}", 1) for worker in range(3) for step in range(5)]
    assert store.identities() == [*own, ("shared", 15)]
    assert len(store.templates().ids) == 30


def test_writer_gives_up_after_waiting_and_readers_do_not_wait(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "_NOTICE", 0.05)
    monkeypatch.setattr(connection, "_PATIENCE", 0.2)
    with SqliteStore(path) as waiting, store._writing():
        assert waiting.identities() == []
        assert not caplog.messages
        with pytest.raises(errors.GalleryError, match="another process has been writing to it for"):
            waiting.add("ada", [template("a.png")])
    assert caplog.messages == [f"waiting for another process that is writing to {path}"]
    assert store.identities() == []


def test_strangers_are_apart_from_templates(store: SqliteStore, path: Path) -> None:
    store.add("ada", [template("a1"), template("a2")])
    people = [
        ("eve", template("e1")),
        ("eve", template("e2")),
        ("ada", template("a3")),
        ("bob", template("a1")),
    ]
    assert store.add_strangers(people) == 2  # ada is enrolled, and so is the photo a1
    assert store.add_strangers(people) == 0
    assert store.identities() == [("ada", 2)]
    assert len(store.templates().ids) == 2
    with open_store(path) as again:
        kept = again.strangers()
        assert kept.identities.tolist() == ["eve", "eve"]
        np.testing.assert_array_equal(kept.vectors[0], template("e1").vector)
    store.add("eve", [template("e1")])
    assert len(store.strangers().ids) == 0
    store.add_strangers([("mallory", template("m"))])
    assert store.remove_strangers() == 1
    assert store.remove_strangers() == 0
