"""The engines that the contract is tested on: each opens one gallery, as often as it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from enroll.store import Key, Store
from enroll.store.sqlite import SqliteStore

Engine = Callable[[], Store]

KEY = Key(bytes(range(32)), "a test's key")


def sqlite_engine(folder: Path) -> Engine:
    return lambda: SqliteStore(folder / "gallery.db", create=True)


def encrypted_engine(folder: Path) -> Engine:
    return lambda: SqliteStore(folder / "gallery.db", create=True, key=KEY)


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": sqlite_engine, "encrypted": encrypted_engine}
