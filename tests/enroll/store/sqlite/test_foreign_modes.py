"""Galleries that another program left in a mode that ours never use, and paths that are not UTF-8."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from embedder.errors import GalleryError, MissingPackageError
from enroll.store import Key, open_store
from enroll.store.sqlite import encryption
from tests.enroll.templates import DIM, MODEL, template

KEY = Key(bytes(32), "a test")


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    path = tmp_path / "gallery.db"
    with open_store(path, create=True) as store:
        store.bind(MODEL, DIM)
        store.add("ada", [template("a.png")])
    return path


@pytest.mark.parametrize("reads", [False, True])
def test_a_gallery_that_is_open_elsewhere_with_a_log_is_said_at_once(gallery: Path, reads: bool) -> None:
    with closing(sqlite3.connect(gallery, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("SELECT count(*) FROM person").fetchall()
        if reads:
            other.execute("BEGIN")
            other.execute("SELECT * FROM person").fetchall()
        begun = time.monotonic()
        with pytest.raises(GalleryError, match="WAL mode"):
            open_store(gallery)
        assert time.monotonic() - begun < 30  # writers wait for minutes
    with open_store(gallery) as store:  # closed there: the log is gone
        assert store.identities() == [("ada", 1)]
    assert [path.name for path in gallery.parent.iterdir()] == ["gallery.db"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_an_encrypted_gallery_at_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9.db")
    with open_store(path, create=True, key=KEY) as store:
        store.bind(MODEL, DIM)
        store.add("ada", [template("a.png")])
    assert b"ada" not in path.read_bytes()
    with open_store(path, key=KEY) as store:
        assert store.identities() == [("ada", 1)]
    with pytest.raises(GalleryError, match="encrypted"):
        open_store(path)


def test_no_plain_gallery_is_left_where_an_encrypted_one_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingPackageError("no cryptography")

    monkeypatch.setattr(encryption, "_check_package", missing)
    with pytest.raises(MissingPackageError):
        open_store(tmp_path / "gallery.db", create=True, key=KEY)
    assert list(tmp_path.iterdir()) == []
