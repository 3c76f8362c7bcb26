"""Erased means gone: no bytes of it in any file of the gallery, whatever the sizes, and also after a kill."""

from __future__ import annotations

import os
import random
import secrets
import signal
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from enroll.store import Store, Terms
from enroll.store.limits import CONSENT
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate
from tests.enroll.store.engines import KEY
from tests.enroll.store.traces import traces
from tests.enroll.templates import MODEL

DIM = 128
OVER = date(2020, 1, 1)


def text(size: int) -> str:
    return secrets.token_urlsafe(size)[:size]  # 8 letters are 48 bits: no piece is there twice by chance


def picture(path_size: int) -> NewTemplate:
    # Not of bytes: of 256 values, two neighbours are the same in some other vector by chance.
    vector = np.random.default_rng(secrets.randbits(128)).normal(size=DIM)
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    return NewTemplate(text(path_size), secrets.token_bytes(32), unit)


def bytes_of(*things: str | NewTemplate | Terms) -> Iterator[bytes]:
    for thing in things:
        if isinstance(thing, NewTemplate):
            yield from (thing.photo.encode(), thing.digest, thing.vector.tobytes())
        elif isinstance(thing, Terms):
            yield (thing.consent or "").encode()
        else:
            yield thing.encode()


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "gallery.db", create=True, key=request.param) as opened:
        opened.bind(MODEL, DIM)
        yield opened


class Life:
    """People who come, change and go at random; remembers what is to be gone and what is to be there."""

    def __init__(self, store: Store, seed: int, longest: int) -> None:
        self.store, self.random, self.longest = store, random.Random(seed), longest
        self.there: dict[str, tuple[Terms, list[NewTemplate]]] = {}
        self.gone: list[bytes] = []

    def step(self) -> None:
        steps = [self.come, self.come, self.come, self.more, self.rename, self.terms, self.drop, self.go]
        (self.random.choice(steps) if self.there else self.come)()

    def _name(self) -> str:
        return self.random.choice(list(self.there))

    def _size(self) -> int:
        return self.random.choice([8, 40, 200, self.random.randint(8, self.longest)])

    def _new_name(self) -> str:
        return text(min(self._size(), 200))  # the longest that is kept

    def _consent(self) -> str:
        return text(min(self._size(), CONSENT))

    def _pictures(self) -> list[NewTemplate]:
        return [picture(self._size()) for _ in range(self.random.randint(1, 5))]

    def come(self) -> None:
        name, terms, pictures = self._new_name(), Terms(self._consent()), self._pictures()
        self.store.add(name, pictures, terms)
        self.there[name] = (terms, pictures)

    def more(self) -> None:
        name, pictures = self._name(), self._pictures()
        self.store.add(name, pictures)
        self.there[name][1].extend(pictures)

    def rename(self) -> None:
        old, new = self._name(), self._new_name()
        self.store.rename(old, new)
        self.there[new] = self.there.pop(old)
        self.gone += bytes_of(old)

    def terms(self) -> None:
        name, terms = self._name(), Terms(self._consent(), expires=self.random.choice([None, OVER]))
        self.store.set_terms(name, terms)
        self.gone += bytes_of(self.there[name][0])
        self.there[name] = (terms, self.there[name][1])

    def drop(self) -> None:
        name = self._name()
        terms, pictures = self.there[name]
        lost = self.random.choice(pictures)
        self.store.drop([entry.id for entry in self.store.stored(name) if entry.digest == lost.digest])
        self.gone += bytes_of(lost)
        self.there[name] = (terms, [one for one in pictures if one is not lost])
        if not self.there[name][1]:
            self._forget(name)

    def go(self) -> None:
        name = self._name()
        self.store.remove(name)
        self._forget(name)

    def purge(self) -> None:
        for name in self.store.purge(date(2026, 1, 1)):
            self._forget(name)

    def _forget(self, name: str) -> None:
        terms, pictures = self.there.pop(name)
        self.gone += bytes_of(name, terms, *pictures)

    def check(self, folder: Path) -> None:
        assert traces(folder, self.gone) == []
        assert self.store.people() == [
            type(self.store.people()[0])(name, len(pictures), terms)
            for name, (terms, pictures) in sorted(self.there.items())
        ]


@pytest.mark.parametrize(("longest", "steps"), [(60, 60), (6000, 40)], ids=["short", "overflow pages"])
def test_nothing_erased_is_left(store: SqliteStore, tmp_path: Path, longest: int, steps: int) -> None:
    life = Life(store, longest, longest)
    for _ in range(steps):
        life.step()
    life.check(tmp_path)
    life.purge()
    life.check(tmp_path)
    store.verify()
    if not store.encrypted:  # the scan finds what is there
        assert traces(tmp_path, bytes_of(*(name for name in life.there)))
        assert traces(tmp_path, bytes_of(*(pictures[0] for _, pictures in life.there.values())))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("longest", [30, 300, 2000, 20000])
def test_nothing_erased_is_left_after_long(
    store: SqliteStore, tmp_path: Path, longest: int, seed: int
) -> None:
    life = Life(store, seed, longest)
    for number in range(600):
        life.step()
        if number % 100 == 0:
            life.check(tmp_path)
    life.purge()
    life.check(tmp_path)
    store.verify()


@pytest.mark.slow
def test_nothing_is_left_of_many(store: SqliteStore, tmp_path: Path) -> None:
    life = Life(store, 1, 80)
    for _ in range(2000):
        life.come()
    for number in range(1990):
        life.random.choice([life.rename, life.terms, life.go, life.go])()
        if number % 400 == 0:
            life.check(tmp_path)
        if not life.there:
            break
    life.check(tmp_path)


def test_nothing_is_left_of_strangers(store: SqliteStore, tmp_path: Path) -> None:
    people = [(text(20), picture(30)) for _ in range(20)]
    store.add_strangers(people)
    store.add(people[0][0], [picture(30)])
    store.add(text(20), [people[1][1]])
    assert store.remove_strangers() == 18
    assert traces(tmp_path, bytes_of(people[0][1], *(thing for pair in people[2:] for thing in pair))) == []


def killed(action: Callable[[], object], at: int) -> bool:
    """Do something in a child that is killed at its n-th statement; gives whether it came so far."""
    child = os.fork()
    if child == 0:
        done = 0
        run = Connection.run

        def counted(self: Connection, statement: str, values: Any = ()) -> int:
            nonlocal done
            done += 1
            if done == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return run(self, statement, values)

        Connection.run = counted  # type: ignore[method-assign]
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("key", "every"),
    [
        (None, 5),
        pytest.param(None, 1, marks=pytest.mark.slow),
        pytest.param(KEY, 1, marks=pytest.mark.slow),
    ],
    ids=["some", "plain", "encrypted"],
)
def test_killed_while_erasing(tmp_path: Path, key: Any, every: int) -> None:
    path = tmp_path / "gallery.db"
    pictures = [picture(60) for _ in range(60)]

    def remove() -> None:
        with SqliteStore(path, key=key) as opened:
            opened._connection.run("PRAGMA cache_size = 4")  # so that half of it is in the file by then
            opened.remove("someone who goes")

    with SqliteStore(path, create=True, key=key) as opened:
        opened.bind(MODEL, DIM)
    at, came = 0, True
    outcomes = set()
    while came:
        at += every
        with SqliteStore(path, key=key) as opened:
            if not opened.identities():
                opened.add("stays", [pictures[0]])
            opened.add("someone who goes", pictures[1:])
        came = killed(remove, at)
        with SqliteStore(path, key=key) as opened:
            opened.verify()
            people = opened.identities()
            outcomes.add(len(people))
            assert people in ([("stays", 1)], [("someone who goes", 59), ("stays", 1)])
            if len(people) == 2:
                opened.remove("someone who goes")
        assert traces(tmp_path, bytes_of("someone who goes", *pictures[1:])) == []
    assert at > 10
    assert outcomes == {1, 2}


def test_removing_a_few_of_many_does_not_write_the_whole_file(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "gallery.db", create=True) as store:
        store.bind(MODEL, DIM)
        store.add("many", [picture(20) for _ in range(400)])
        store.add("few", [picture(20) for _ in range(3)])
        ran: list[str] = []
        run = store._connection.run
        store._connection.run = lambda *a: ran.append(a[0]) or run(*a)  # type: ignore[method-assign]
        store.remove("few")
        assert "VACUUM" not in ran
        store.remove("many")
        assert "VACUUM" in ran
        assert store._connection.size() < 200_000


def test_the_file_is_written_anew_when_more_than_an_eighth_of_the_rows_are_blank(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "gallery.db", create=True) as store:
        store.bind(MODEL, DIM)
        store.add("many", [picture(20) for _ in range(107)])  # 108 rows, one for the person's data
        for number in range(10):
            store.add(f"p{number}", [picture(20)])  # 2 rows each: 128 in all
        ran: list[str] = []
        run = store._connection.run
        store._connection.run = lambda *a: ran.append(a[0]) or run(*a)  # type: ignore[method-assign]
        swept = []
        for number in range(10):
            store.remove(f"p{number}")
            swept.append("VACUUM" in ran)
            ran.clear()
        # Of 128 rows 16 are an eighth: the eighth removal makes it 16, the ninth 18.
        assert swept == [False] * 8 + [True, False]
