"""A server that is killed, that hangs, and that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedder import errors
from enroll.search.base import nearest_people
from enroll.store.milvus import connection as connection_module
from enroll.store.milvus.store import MilvusStore
from tests.enroll.store.milvus_places import opened
from tests.enroll.store.milvus_server import MilvusServer
from tests.enroll.templates import DIM, MODEL, template

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """One of its own: it is killed again and again."""
    server = MilvusServer(tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server
    server.kill()


def made(server: MilvusServer, name: str) -> MilvusStore:
    store = opened(server.address(name), create=True)
    store.bind(MODEL, DIM)
    return store


def test_killed_server_loses_nothing_that_was_acknowledged(server: MilvusServer) -> None:
    """Killed while two clients enroll and remove; a client that was there before goes on afterwards."""
    acknowledged: list[str] = []
    removed: list[str] = []

    def enroll(worker: int) -> None:
        with opened(server.address("killed")) as store:
            for step in range(1000):
                name = f"p{worker} {step}"
                try:
                    store.add(name, [template(f"{name} {photo}") for photo in range(3)])
                    acknowledged.append(name)
                    if step % 3 == 2:
                        store.remove(name)
                        removed.append(name)
                except errors.GalleryError:
                    return

    with made(server, "killed") as before:
        workers = [threading.Thread(target=enroll, args=[worker]) for worker in range(2)]
        for worker in workers:
            worker.start()
        while len(removed) < 2:
            time.sleep(0.05)
        server.kill()
        for worker in workers:
            worker.join()
        server.start()
        with opened(server.address("killed")) as store:
            people = dict(store.identities())
            assert {*acknowledged} - {*removed} - people.keys() <= {
                name for name in acknowledged if name.endswith(" 2") or int(name.split()[1]) % 3 == 2
            }
            assert {name for name in acknowledged if int(name.split()[1]) % 3 != 2} <= people.keys()
            assert not {*removed} & people.keys()
            assert set(people.values()) == {3}
            store.verify()
            assert store.add("later", [template("later")]) == 1
        ((found, *_),) = nearest_people(before.search_index(), template("later").vector[None], 1)
        assert found.identity == "later"
        assert before.remove("later") == 1


def test_server_that_is_away_in_the_middle_is_told_soon(server: MilvusServer) -> None:
    with made(server, "away") as store:
        store.add("ada", [template("a")])
        server.kill()
        for use in (
            lambda: store.add("bob", [template("b")]),
            lambda: store.remove("ada"),
            store.identities,
            store.search_index,
            lambda: opened(server.address("away")),
        ):
            started = time.monotonic()
            with pytest.raises(
                errors.GalleryError, match=r"milvus://127\.0\.0\.1:\d+/away: the server does not"
            ):
                use()
            assert time.monotonic() - started < 10
        server.start()
        assert store.identities() == [("ada", 1)]
        store.verify()


def test_server_that_hangs_is_told_after_a_while(
    server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made(server, "hangs") as store:
        store.add("ada", [template("a")])
        monkeypatch.setattr(connection_module, "_ANSWER", 2.0)
        server.pause()
        try:
            started = time.monotonic()
            with pytest.raises(errors.GalleryError, match="the server does not answer"):
                store.add("bob", [template("b")])
            assert time.monotonic() - started < 12
        finally:
            server.resume()
        time.sleep(3)
        monkeypatch.undo()
        assert store.add("bob", [template("b")]) == 1
        assert store.identities() == [("ada", 1), ("bob", 1)]


def test_pages_and_searches_go_over_all_segments(
    server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milvus keeps rows in segments, sealed ones and one that grows."""
    with made(server, "segments") as store:
        client, collection = store._connection._client, store._templates.collection
        for group in range(3):
            store.add(f"p{group}", [template(f"{group} {photo}") for photo in range(40)])
            if group < 2:
                client.flush(collection, timeout=60)
        store.drop(store.templates().ids[::7].tolist())
        monkeypatch.setattr(connection_module, "_PAGE", 11)
        templates = store.templates()
        assert len(templates.ids) == 120 - len(range(0, 120, 7))
        assert sorted(templates.ids) == templates.ids.tolist()
        for row in range(0, len(templates.ids), 13):
            ((found, *_),) = nearest_people(store.search_index(), templates.vectors[row][None], 1)
            assert (found.identity, found.distance) == (templates.identities[row], 0.0)
        store.verify()


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[MilvusServer]:
    closed = MilvusServer(tmp_path / "closed", closed=True)
    closed.start()
    yield closed
    closed.kill()


def test_server_that_asks_for_a_password(closed: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    address = closed.address("people")
    for wrong in (address, address.replace("//", "//root:secret@")):
        with pytest.raises(
            errors.GalleryError, match="the server refuses us; expected milvus://USER:PASSWORD"
        ):
            opened(wrong, create=True)
    opened(address.replace("//", "//root:Milvus@"), create=True).close()
    monkeypatch.setenv("EMBED_MILVUS_TOKEN", "root:Milvus")
    with opened(address) as store:
        assert store.identities() == []
        assert "Milvus" not in store.location
