"""Several processes at once: none fails, none loses anything, and who waits says so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread

import pytest

from embedder.errors import GalleryError
from enroll.store import Key
from enroll.store.sqlite import connection as connection_module
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.store.engines import KEY
from tests.enroll.templates import DIM, MODEL, template

SPAWNED = partial(ProcessPoolExecutor, mp_context=get_context("spawn"))


def enroll_many(path: Path, key: Key | None, people: int, worker: int) -> int:
    """Open a gallery, or make it, and enroll; everyone makes the shared person, too."""
    with SqliteStore(path, create=True, key=key) as store:
        store.bind(MODEL, DIM)
        for step in range(people):
            store.add(f"p{worker:02d}{step:04d}", [template(f"{worker} {step}")])
            seen = store.identities()
            assert [name for name, _ in seen] == sorted({name for name, _ in seen})
            assert len(store.templates().ids) >= len(seen) > step
        return store.add("shared", [template(f"{worker} shared")])


def check_many(
    path: Path, key: Key | None, pool: Callable[[int], Executor], workers: int, people: int
) -> None:
    with pool(workers) as executor:
        assert list(executor.map(partial(enroll_many, path, key, people), range(workers))) == [1] * workers
    with SqliteStore(path, key=key) as store:
        own = [(f"p{worker:02d}{step:04d}", 1) for worker in range(workers) for step in range(people)]
        assert store.identities() == [*own, ("shared", workers)]
        assert len(store.events()) == workers * (people + 1)
        store.verify()


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_a_gallery_is_made_and_filled_by_several_at_once(tmp_path: Path, key: Key | None) -> None:
    check_many(tmp_path / "gallery.db", key, ThreadPoolExecutor, 4, 6)


@pytest.mark.slow
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_eight_processes_enroll_a_thousand(tmp_path: Path, key: Key | None) -> None:
    check_many(tmp_path / "gallery.db", key, SPAWNED, 8, 125)


def test_an_old_gallery_is_opened_by_several_at_once(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    path.write_bytes((Path(__file__).parent / "old" / "format-2.db").read_bytes())

    def people() -> int:
        with SqliteStore(path) as store:
            store.verify()
            return len(store.identities())

    with ThreadPoolExecutor(6) as executor:
        assert {future.result() for future in [executor.submit(people) for _ in range(6)]} == {3}


def test_whoever_waits_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_module, "_NOTICE", 0.05)
    path = tmp_path / "gallery.db"
    with SqliteStore(path, create=True) as store:
        store.bind(MODEL, DIM)
        writing, done = Event(), Event()

        def write() -> None:
            with closing(Connection(path)) as other, other.writing():
                writing.set()
                done.wait(10)

        writer = Thread(target=write)
        writer.start()
        writing.wait(10)
        with caplog.at_level(logging.WARNING):
            assert store.identities() == []  # readers need not wait
            assert caplog.messages == []

            def let_go() -> None:
                end = time.monotonic() + 8
                while not caplog.messages and time.monotonic() < end:
                    time.sleep(0.01)
                done.set()

            noticing = Thread(target=let_go)
            noticing.start()
            with SqliteStore(path) as impatient:
                impatient.add("ada", [template("a")])
        noticing.join()
        writer.join()
        assert caplog.messages == [f"waiting for another process that is writing to {path}"]
        assert store.identities() == [("ada", 1)]


def test_no_one_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_NOTICE", 0.02)
    monkeypatch.setattr(connection_module, "_PATIENCE", 0.1)
    path = tmp_path / "gallery.db"
    with SqliteStore(path, create=True) as store, SqliteStore(path) as waiting:
        store.bind(MODEL, DIM)
        with (
            store._writing(),
            pytest.raises(GalleryError, match="another process has been writing to it for"),
        ):
            waiting.add("ada", [template("a")])
        assert waiting.add("ada", [template("a")]) == 1
