"""One Identifier, gallery or store from several threads, as a server has them: the answers of one thread."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from embedder.errors import GalleryError
from enroll.gallery.following import LiveIndex
from enroll.gallery.gallery import Gallery
from enroll.identify import Identifier
from enroll.store import Key
from enroll.store.sqlite import connection as connection_module
from enroll.store.sqlite import sessions as sessions_module
from enroll.store.sqlite.connection import Connection, _has_log
from enroll.store.sqlite.store import SqliteStore
from tests.conftest import ToyExtractor, save_people
from tests.enroll.store.engines import KEY
from tests.enroll.templates import DIM, MODEL, open_store, template

THREADS = 4


@pytest.mark.parametrize("index", ["exact", "approximate"])
def test_threads_get_the_answers_of_one(tmp_path: Path, toy: ToyExtractor, index: str) -> None:
    """Also while other threads enroll and remove others."""
    photos = save_people(tmp_path / "people", 12, 2, side=16)
    with Gallery.open(tmp_path / "gallery.db", toy, index=index) as gallery:
        for person in range(6):
            gallery.enroll(f"p{person:02d}", [photos / f"p{person:02d}" / "0.png"])
        identifier = Identifier(toy, gallery)

        def ask(person: int) -> str | None:
            return identifier.identify(photos / f"p{person:02d}" / "1.png").faces[0].decision.identity

        alone = [ask(person) for person in range(6)]
        done = Event()

        def change(first: int) -> int:
            changes = 0
            while not done.is_set() or not changes:
                for person in range(first, 12, 2):
                    gallery.enroll(f"p{person:02d}", [photos / f"p{person:02d}" / "0.png"])
                gallery._store.remove(f"p{first:02d}")
                changes += 1
            return changes

        with ThreadPoolExecutor(THREADS + 2) as pool:
            changing = [pool.submit(change, first) for first in (6, 7)]
            try:
                found = list(pool.map(ask, [*range(6)] * 8))
            finally:
                done.set()
            assert all(changes.result() for changes in changing)
        assert alone == ["p00", "p01", "p02", "p03", "p04", "p05"]
        assert found == alone * 8
        gallery._store.verify()


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_store_is_written_and_read_by_threads(tmp_path: Path, key: Key | None) -> None:
    with SqliteStore(tmp_path / "gallery.db", create=True, key=key) as store:
        store.bind(MODEL, DIM)

        def work(worker: int) -> None:
            for step in range(6):
                name = f"p{worker}{step}"
                with store.together():  # of this thread alone
                    store.add(name, [template(f"{name} a")])
                    store.add(name, [template(f"{name} b")])
                assert dict(store.identities())[name] == 2
                assert len(store.templates().ids) % 2 == 0  # no one's half

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(THREADS)))
        assert len(store.identities()) == 6 * THREADS
        store.verify()


def test_threads_read_side_by_side_and_while_one_writes(tmp_path: Path) -> None:
    with open_store(tmp_path / "gallery.db") as store:
        store.add("ada", [template("a")])
        all_here = Barrier(THREADS, timeout=20)

        def read(_: int) -> list[tuple[str, int]]:
            with store._reading():
                all_here.wait()  # each inside a transaction of its own
                return store.identities()

        with ThreadPoolExecutor(THREADS) as pool, store.together():
            store.add("eva", [template("e")])
            assert list(pool.map(read, range(THREADS))) == [[("ada", 1)]] * THREADS
            assert len(store.identities()) == 2
        assert len(store.identities()) == 2


def test_the_key_of_someone_who_was_not_enrolled_after_all_is_forgotten(tmp_path: Path) -> None:
    """Whoever comes next, by another connection, gets the same number and another key."""
    with SqliteStore(tmp_path / "gallery.db", create=True, key=KEY) as store:
        store.bind(MODEL, DIM)
        with pytest.raises(KeyboardInterrupt), store.together():
            store.add("ada", [template("a")])
            raise KeyboardInterrupt
        with SqliteStore(store.path, key=KEY) as other:
            other.add("eva", [template("e")])
        assert [photo.photo for photo in store.stored("eva")] == ["e"]


def test_what_is_searched_stays_as_it_is_until_the_search_ends(tmp_path: Path) -> None:
    with open_store(tmp_path / "gallery.db") as store, ThreadPoolExecutor(1) as pool:
        following = LiveIndex(store, (MODEL, DIM))

        def templates() -> int:
            with following.searching() as search_index:
                return search_index.templates

        store.add("ada", [template("a")])
        with following.searching() as search_index:
            store.add("eva", [template("e")])
            later = pool.submit(templates)
            with pytest.raises(TimeoutError):
                later.result(0.2)
            assert search_index.templates == 1
        assert later.result(20) == 2


def test_threads_that_write_wait_for_each_other_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_module, "_NOTICE", 0.01)
    with open_store(tmp_path / "gallery.db") as store, ThreadPoolExecutor(1) as pool:
        with store._reading():  # so that each thread opens a connection of its own
            pool.submit(store.identities).result()
        with store.together():
            later = pool.submit(store.add, "eva", [template("e")])
            with pytest.raises(TimeoutError):
                later.result(0.2)
            store.add("ada", [template("a")])
        assert later.result(20) == 1
    assert caplog.messages == []


def test_connections_are_used_again_and_those_of_many_threads_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "_KEPT", 2)
    with open_store(tmp_path / "gallery.db") as store:
        for _ in range(5):
            thread = Thread(target=store.identities)
            thread.start()
            thread.join()
        assert len(store._sessions._idle) == 1
        together = Barrier(THREADS, timeout=20)

        def read(_: int) -> None:
            with store._reading():
                together.wait()

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(read, range(THREADS)))
        assert len(store._sessions._idle) == 2


def test_closing_waits_for_no_thread_and_lets_none_begin(tmp_path: Path) -> None:
    store = open_store(tmp_path / "gallery.db")
    reading, closed = Event(), Event()

    def read() -> list[tuple[str, int]]:
        with store._reading():
            reading.set()
            closed.wait(20)
            return store.identities()

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(read)
        reading.wait(20)
        store.close()
        closed.set()
        assert result.result() == []
    assert store._sessions._idle == []
    with pytest.raises(GalleryError, match="it was closed"):
        store.identities()


def test_a_thread_is_not_given_another_gallery_of_the_same_name(tmp_path: Path) -> None:
    path, other = tmp_path / "gallery.db", tmp_path / "other.db"
    open_store(other).close()
    with open_store(path) as store, store._reading(), ThreadPoolExecutor(1) as pool:
        shutil.move(other, path)
        with pytest.raises(GalleryError, match=r"another gallery took its place meanwhile; open it again"):
            pool.submit(store.identities).result()


def test_looking_for_a_log_keeps_the_locks_of_other_threads(tmp_path: Path) -> None:
    """Closing a file takes away all locks that a process has on it (POSIX)."""
    path = tmp_path / "gallery.db"
    open_store(path).close()
    other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0.01).execute('BEGIN IMMEDIATE')"
    with closing(Connection(path)) as connection, connection.writing():
        assert not _has_log(path)
        tried = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True)
        assert "database is locked" in tried.stderr
