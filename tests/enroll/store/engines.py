"""The engines that the contract is tested on: each opens one gallery, as often as it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from enroll.store import Key, Store, open_store
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.store.milvus_server import shared_server

Engine = Callable[[], Store]

KEY = Key(bytes(range(32)), "a test's key")


def sqlite_engine(folder: Path) -> Engine:
    return lambda: SqliteStore(folder / "gallery.db", create=True)


def encrypted_engine(folder: Path) -> Engine:
    return lambda: SqliteStore(folder / "gallery.db", create=True, key=KEY)


def lite_engine(folder: Path) -> Engine:
    return lambda: open_store(f"milvus:{folder}/Galerie Zoë.db", create=True)


def server_engine(folder: Path) -> Engine:
    address = shared_server().address(f"people_{uuid4().hex}")
    return lambda: open_store(address, create=True)


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "sqlite": sqlite_engine,
    "encrypted": encrypted_engine,
    "milvus lite": lite_engine,
    "milvus server": server_engine,
}
SLOW = {"milvus server"}
