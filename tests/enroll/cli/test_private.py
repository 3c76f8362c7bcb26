"""Only the owner reads what holds vectors or names, whatever the umask; keys are not shown."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedder._internal.files import write_atomic
from embedder.errors import UsageError
from enroll.cli.transfer import export_gallery, import_gallery
from enroll.search.approximate import Graph, index_path, save_index
from enroll.store import Key, NewPerson, Terms, open_store
from enroll.store.keys import key_from_environment, read_key, write_new_key
from enroll.store.redaction import hidden
from enroll.templates import NewTemplate

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such modes on Windows")
SECRET = Key(bytes(range(32)), "a test")


@pytest.fixture(params=[0o000, 0o022], autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("key", [None, SECRET])
def test_a_gallery_and_all_beside_it(tmp_path: Path, key: Key | None):
    with open_store(tmp_path / "g.db", create=True, key=key) as store:
        vector = np.eye(1, 4, dtype=np.float32)[0]
        with store.together():
            store.bind("f" * 64, 4)
            store.add_many([NewPerson("Ada", [NewTemplate("1.jpg", bytes(32), vector)], Terms())])
            during = {path.name: mode(path) for path in tmp_path.iterdir()}
    assert "g.db-journal" in during
    assert set(during.values()) == {0o600}
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_one_that_is_there_keeps_its_mode(tmp_path: Path):
    open_store(tmp_path / "g.db", create=True).close()
    (tmp_path / "g.db").chmod(0o640)
    open_store(tmp_path / "g.db").close()
    assert mode(tmp_path / "g.db") == 0o640


def test_an_export_also_one_that_replaces_a_readable_file(tmp_path: Path):
    open_store(tmp_path / "g.db", create=True).close()
    (tmp_path / "e.jsonl").write_text("old")
    export_gallery(str(tmp_path / "e.jsonl"), str(tmp_path / "g.db"), force=True)
    import_gallery(str(tmp_path / "e.jsonl"), str(tmp_path / "n.db"))
    assert mode(tmp_path / "e.jsonl") == mode(tmp_path / "n.db") == 0o600


def test_an_index(tmp_path: Path):
    from enroll.templates import Templates

    path = index_path(tmp_path / "g.db")
    templates = Templates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 4), np.float32))
    empty = np.empty(0, np.int32)
    save_index(path, Graph(empty, empty, 0, 0), [templates])
    assert mode(path) == 0o600


def test_a_file_is_private_before_anything_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr("os.fsync", lambda _: seen.extend(mode(path) for path in tmp_path.iterdir()))
    write_atomic(tmp_path / "file", b"x", private=True)
    assert set(seen) == {0o600}


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "key"
    write_new_key(path)
    read_key(path)
    assert not caplog.records
    path.chmod(0o640)
    for _ in range(2):
        read_key(path)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: others can read this key")


@pytest.mark.parametrize(
    "key",
    [
        base64.b64encode(bytes(range(32))).decode(),
        "/" + base64.b64encode(bytes(range(40, 72))).decode()[1:],
        base64.urlsafe_b64encode(b"\xfb" * 32).decode(),
        bytes(range(32)).hex(),
    ],
)
def test_a_key_in_place_of_its_file_is_not_repeated(key: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMBED_GALLERY_KEY_FILE", key)
    with pytest.raises(UsageError, match="may be the key itself") as caught:
        key_from_environment()
    assert key.strip("/=") not in str(caught.value)
    assert str(Path(key)).strip("/=") not in str(caught.value)
    monkeypatch.setenv("EMBED_GALLERY_KEY", "x")
    with pytest.raises(UsageError, match="may be the key itself"):
        key_from_environment()


def test_the_file_of_a_key_is_named(tmp_path: Path):
    for path in (tmp_path / "none", Path("backup/gallery.key"), Path("a key of " + "many words " * 5)):
        with pytest.raises(UsageError) as caught:
            read_key(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://bob:s3cret@h/g: no folder here", "http://h/g: no folder here"),
        ("got Milvus:/bob:s3cret@h/g", "got Milvus:/h/g"),
        (f"/tmp/k/{base64.b64encode(bytes(32)).decode()}: no key", "(a key): no key"),
        ("/photos/of/2026/and/all/the/others/in/a/folder/day=1/x.png: gone",) * 2,
        (f"{base64.b64encode(bytes(32)).decode()}: no one is called so", "(a key): no one is called so"),
        (
            "expected milvus://HOST:PORT/NAME, got me@home.db",
            "expected milvus://HOST:PORT/NAME, got me@home.db",
        ),
    ],
)
def test_what_is_typed_in_the_wrong_place_is_hidden(text: str, shown: str):
    assert hidden(text) == shown
