"""Files that are no gallery, or a broken one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from embedder import errors
from enroll.store.sqlite.connection import check_journal
from enroll.store.sqlite.rows import checksum, pack_template
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.templates import DIM, template
from tests.vanishing import delete_once_seen


@pytest.mark.parametrize(
    "content",
    [
        np.ones(DIM - 1) / np.sqrt(DIM - 1),
        np.ones(DIM + 1) / np.sqrt(DIM + 1),
        [],
        np.zeros(DIM),
        2 * np.eye(DIM)[0],
        1e30 * np.eye(DIM)[0],
        np.full(DIM, np.nan),
        np.full(DIM, np.inf),
    ],
)
def test_unusable_vector_in_the_file_is_refused(store: SqliteStore, path: Path, content: list[float]) -> None:
    store.add("ada", [template("a.png"), template("b.png")])
    with closing(sqlite3.connect(path)) as other, other:
        (number, *row) = other.execute("SELECT id, person, handle FROM template WHERE id = 2").fetchone()
        body = pack_template("b.png", template("b.png").digest, np.array(content, "<f4").tobytes())
        other.execute(
            "UPDATE template SET body = ?, checksum = ? WHERE id = ?",
            (body, checksum(number, *row, body), number),
        )
    with pytest.raises(errors.GalleryError, match=r"gallery\.db: broken: a template is not"):
        store.templates()


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("content", [b"x", b"# Notes\n" * 2000, bytes(range(256)) * 64])
def test_file_that_is_no_database_is_refused_untouched(path: Path, content: bytes, create: bool) -> None:
    path.write_bytes(content)
    with pytest.raises(errors.GalleryError, match=r"gallery\.db"):
        SqliteStore(path, create)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kept", [60, 3000, 4096, 12288, -4096, -2000])
def test_truncated_gallery_is_refused(store: SqliteStore, path: Path, kept: int) -> None:
    store.add("ada", [template(f"{number}.png") for number in range(100)])
    store.close()
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(errors.GalleryError, match=r"gallery\.db"), SqliteStore(path) as broken:
        broken.templates()


def test_zero_length_gallery_is_not_an_empty_one(path: Path) -> None:
    path.touch()
    with pytest.raises(errors.GalleryError, match=r"gallery\.db"):
        SqliteStore(path)
    assert path.read_bytes() == b""


def test_missing_gallery_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(errors.GalleryError, match="embed enroll"):
        SqliteStore(path)
    assert not path.exists()


@pytest.mark.parametrize("place", [".", "missing/gallery.db"])
def test_place_that_cannot_hold_a_gallery(tmp_path: Path, place: str) -> None:
    with pytest.raises(errors.GalleryError, match=r"cannot be opened|does not exist"):
        SqliteStore(tmp_path / place, create=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("create", [False, True])
def test_pipe_is_no_gallery_and_is_not_waited_for(path: Path, create: bool) -> None:
    os.mkfifo(path)
    with pytest.raises(errors.GalleryError, match="it is no file"):
        SqliteStore(path, create)


def test_a_journal_that_ends_while_it_is_looked_at_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _: True)  # another process committed after this look
    check_journal(tmp_path / "gallery.db")


@pytest.mark.parametrize("side", ["-journal", "-wal", "-shm"])
def test_a_side_file_that_is_deleted_while_it_is_looked_at_is_no_pipe(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """Another process commits, and so ends its journal."""
    store.close()
    beside = path.with_name(f"{path.name}{side}")
    beside.touch()
    delete_once_seen(monkeypatch, beside)
    SqliteStore(path).close()
    assert not beside.exists()
