"""How new a read of Milvus has to be, and how many waits an answer has."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from embedder import load_image
from enroll.gallery.gallery import Gallery
from enroll.search.base import nearest_people
from enroll.store.milvus.clock import Clock
from enroll.store.milvus.connection import MilvusConnection
from enroll.store.milvus.store import MilvusStore
from tests.conftest import ToyExtractor, save_people
from tests.enroll.store.milvus_places import location, opened
from tests.enroll.store.milvus_server import shared_server
from tests.enroll.templates import DIM, MODEL, template

__all__ = ["location"]  # a fixture

SECOND = 1000 << 18  # as Milvus counts


class Ticking:
    """The time of a server, set by the test; how often it was asked for."""

    def __init__(self) -> None:
        self.at, self.asked = 100 * SECOND, 0

    def __call__(self) -> int:
        self.asked += 1
        return self.at


def test_now_is_the_servers_time() -> None:
    server = Ticking()
    clock = Clock(server)
    server.at += 5
    assert clock.now() == 100 * SECOND + 5


def test_block_has_one_moment_and_asks_once() -> None:
    server = Ticking()
    clock = Clock(server)
    with clock.one_moment():
        server.at += SECOND
        assert {clock.now() for _ in range(3)} == {100 * SECOND}
    assert server.asked == 2  # at the start, and for the block
    assert clock.now() == 101 * SECOND


def test_block_of_another_thread_has_its_own_moment() -> None:
    server = Ticking()
    clock = Clock(server)
    with clock.one_moment(), ThreadPoolExecutor(1) as pool:
        server.at += SECOND
        assert pool.submit(clock.now).result() == 101 * SECOND


def test_block_that_fails_ends() -> None:
    server = Ticking()
    clock = Clock(server)
    with pytest.raises(KeyError), clock.one_moment():
        raise KeyError
    server.at += SECOND
    assert clock.now() == 101 * SECOND


def test_recent_is_so_many_seconds_ago_but_after_the_start_and_own_writes() -> None:
    server = Ticking()
    clock = Clock(server)
    server.at = 101 * SECOND
    assert clock.recent(0.5) == 100.5 * SECOND
    assert clock.recent(3) == 100 * SECOND  # all that was there when it was opened
    server.at = 110 * SECOND
    clock.note_write()
    assert clock.recent(3) == 110 * SECOND  # nothing since the write has passed
    server.at = 111 * SECOND
    assert (clock.recent(3), clock.recent(0.25)) == (110 * SECOND, 110.75 * SECOND)
    with clock.one_moment(3):
        assert clock.now() == 110 * SECOND


def test_noting_a_write_asks_the_server_for_nothing() -> None:
    """Else that could fail after the write, which would be told as one that failed."""
    server = Ticking()
    clock = Clock(server)
    clock.note_write()
    assert server.asked == 1


def test_write_while_another_thread_asks_is_not_forgotten() -> None:
    """The thread that asked before the write may be the last to keep its moment."""
    server, asked, written = Ticking(), threading.Event(), threading.Event()
    clock = Clock(server)
    clock.note_write()

    def slow() -> int:
        at = server.at
        asked.set()
        assert written.wait(10)
        return at

    clock._current = slow
    reader = threading.Thread(target=clock.recent, args=[60])
    reader.start()
    assert asked.wait(10)
    clock._current = server
    server.at = 120 * SECOND
    clock.note_write()
    assert clock.recent(60) == 120 * SECOND
    written.set()
    reader.join()
    assert clock.recent(60) >= 120 * SECOND


def test_all_reads_of_an_answer_share_a_moment(
    location: str, tmp_path: Path, toy: ToyExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MilvusConnection, "_current", never_twice())
    moments = seen_moments(monkeypatch)
    folder = save_people(tmp_path / "people", 2, 2)
    photos = {person.name: sorted(person.iterdir()) for person in sorted(folder.iterdir())}
    with Gallery.open(location, toy) as opened_gallery:
        for name, own in photos.items():
            opened_gallery.enroll(name, own)
        query = toy.embed([toy.crops(load_image(photos["p01"][0]))[0].pixels])
        moments.clear()
        assert opened_gallery.nearest_people(query, 1)[0][0].identity == "p01"
        assert (len(moments), len(set(moments))) == (4, 1)
        moments.clear()
        assert opened_gallery.nearest_photos(query, 1)[0][0].path == str(photos["p01"][0])
        assert (len(moments), len(set(moments))) == (6, 1)


@pytest.mark.slow
def test_own_changes_are_seen_whatever_the_staleness_and_those_of_others_after_it(server: str) -> None:
    with opened(server) as other, opened(f"{server}?staleness=1") as store:
        for number in range(3):
            store.add(f"p{number}", [template(f"p{number}")])
            assert found(store, f"p{number}") == f"p{number}"
            store.remove(f"p{number}")
            assert found(store, f"p{number}") is None
        other.add("ada", [template("ada")])
        time.sleep(1.1)
        assert found(store, "ada") == "ada"
        other.remove("ada")
        time.sleep(1.1)
        assert found(store, "ada") is None


@pytest.mark.slow
def test_what_was_there_when_it_was_opened_is_seen_whatever_the_staleness(server: str) -> None:
    with opened(server) as other:
        for number in range(3):
            other.add(f"p{number}", [template(f"p{number}")])
            with opened(f"{server}?staleness=3600") as store:
                assert found(store, f"p{number}") == f"p{number}"


@pytest.mark.slow
def test_stale_search_asks_for_a_moment_that_has_passed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(f"{server}?staleness=1") as store:
        time.sleep(2)
        moments = seen_moments(monkeypatch)
        assert found(store, "ada") is None
        assert 0.9 * SECOND < store._connection.now() - moments[0] < 1.9 * SECOND


@pytest.fixture
def server() -> str:
    """The address of an empty gallery on a server."""
    address = shared_server().address(f"test_{uuid4().hex}")
    with opened(address, create=True) as store:
        store.bind(MODEL, DIM)
    return address


def found(store: MilvusStore, name: str) -> str | None:
    """Who is nearest to the photo of that name, as an answer asks."""
    with store.one_moment():
        (candidates,) = nearest_people(store.search_index(), template(name).vector[None], 1)
    return candidates[0].identity if candidates else None


def seen_moments(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The moments of all reads from now on."""
    moments: list[int] = []
    ask = MilvusConnection._asked

    def asking(self: MilvusConnection, *arguments: Any, **options: Any) -> Any:
        if "guarantee_timestamp" in options:
            moments.append(options["guarantee_timestamp"])
        return ask(self, *arguments, **options)

    monkeypatch.setattr(MilvusConnection, "_asked", asking)
    return moments


def never_twice() -> Any:
    """A server's time that is another one each time, as that of Milvus Lite is not."""
    current, times = MilvusConnection._current, itertools.count()
    return lambda self: current(self) + next(times)
