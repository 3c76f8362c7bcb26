"""A gallery that cannot be read without its key, nor, about people who were erased, with it."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from embedder.errors import GalleryError, UsageError
from enroll.store import Key, Terms, open_store
from enroll.store.keys import key_from_environment, read_key, write_new_key
from enroll.store.sqlite.encryption import keys_path
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.store.engines import KEY
from tests.enroll.store.traces import traces
from tests.enroll.templates import DIM, MODEL, template

OTHER = Key(bytes(32), "another key")
CONSENT = "file number 4711 in the cellar"
NAME = "Ada Lovelace, Countess"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "Galerie Zoë"
    folder.mkdir()
    return folder / "gallery.db"


def fill(path: Path, key: Key | None) -> None:
    with SqliteStore(path, create=True, key=key) as store:
        store.bind(MODEL, DIM)
        store.add(NAME, [template(f"photos of ada/{number}.png") for number in range(9)], Terms(CONSENT))
        store.add("bob", [template("photos of bob/1.png")], Terms(expires=date(2027, 1, 1)))
        store.add_strangers([("a stranger called eve", template("photos of eve/1.png"))])


@pytest.fixture
def encrypted(path: Path) -> Path:
    fill(path, KEY)
    return path


def about(photo: str) -> list[bytes]:
    one = template(photo)
    return [photo.encode(), one.digest, one.vector.tobytes()]


def test_nothing_about_people_is_readable(encrypted: Path) -> None:
    known = [NAME.encode(), b"a stranger called eve", CONSENT.encode()]
    known += about("photos of ada/3.png") + about("photos of bob/1.png") + about("photos of eve/1.png")
    assert traces(encrypted.parent, known) == []
    plain = encrypted.parent.parent / "plain"
    plain.mkdir()
    fill(plain / "gallery.db", None)
    assert traces(plain, known)  # the scan finds what is there
    assert sorted(entry.name for entry in encrypted.parent.iterdir()) == ["gallery.db", "gallery.db.keys"]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, r"encrypted; give its key: `embed --key FILE`"),
        (OTHER, "encrypted with another key than that of another key"),
    ],
)
def test_wrong_or_missing_key(encrypted: Path, key: Key | None, said: str) -> None:
    for create in (False, True):
        with pytest.raises(GalleryError, match=rf"gallery\.db: {said}"):
            SqliteStore(encrypted, create, key)


def test_lost_keys(encrypted: Path) -> None:
    keys_path(encrypted).unlink()
    for create in (False, True):
        with pytest.raises(GalleryError, match=r"gallery\.db\.keys: lost.*restore a copy"):
            SqliteStore(encrypted, create, KEY)
    assert not keys_path(encrypted).exists()


def test_keys_of_another_gallery(encrypted: Path, tmp_path: Path) -> None:
    fill(tmp_path / "other.db", KEY)
    shutil.copy(keys_path(tmp_path / "other.db"), keys_path(encrypted))
    with pytest.raises(GalleryError, match="got those of another gallery"):
        SqliteStore(encrypted, key=KEY)


@pytest.mark.parametrize("content", [b"", b"no database", bytes(5000)])
def test_broken_keys(encrypted: Path, content: bytes) -> None:
    keys_path(encrypted).write_bytes(content)
    with pytest.raises(GalleryError, match=r"gallery\.db"):
        SqliteStore(encrypted, key=KEY)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TRIGGER evil AFTER INSERT ON person BEGIN DELETE FROM person; END",
        "UPDATE ring SET salt = x'00'",
        "DELETE FROM ring",
    ],
)
def test_tampered_keys(encrypted: Path, change: str) -> None:
    with closing(sqlite3.connect(keys_path(encrypted))) as other, other:
        other.execute(change)
    with pytest.raises(GalleryError, match=r"gallery\.db\.keys: broken"):
        SqliteStore(encrypted, key=KEY)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE person SET wrapped = x'00' WHERE id = 1",
        "UPDATE person SET wrapped = NULL, checksum = NULL WHERE id = 1",
        """UPDATE person SET wrapped = (SELECT wrapped FROM person WHERE id = 2),
        checksum = (SELECT checksum FROM person WHERE id = 2) WHERE id = 1""",
        "DELETE FROM person WHERE id = 1",
    ],
)
def test_person_without_their_key_is_an_error(encrypted: Path, change: str) -> None:
    with closing(sqlite3.connect(keys_path(encrypted))) as other, other:
        other.execute(change)
    with SqliteStore(encrypted, key=KEY) as store:
        for use in (store.templates, store.identities, store.verify, lambda: store.stored(NAME)):
            with pytest.raises(GalleryError, match=r"gallery\.db: broken: .*key of person 1"):
                use()


def test_sealed_row_is_of_use_nowhere_else(encrypted: Path) -> None:
    """Whoever can write to the file can still not give someone's face to another."""
    from enroll.store.sqlite.rows import checksum

    with closing(sqlite3.connect(encrypted)) as other, other:
        rows = other.execute("SELECT id, person, handle, body FROM template WHERE id IN (1, 2)").fetchall()
        for (number, person, handle, _), (*_, body) in zip(rows, rows[::-1], strict=True):
            other.execute(
                "UPDATE template SET body = ?, checksum = ? WHERE id = ?",
                (body, checksum(number, person, handle, body), number),
            )
    with SqliteStore(encrypted, key=KEY) as store, pytest.raises(GalleryError, match="cannot be decrypted"):
        store.templates()


def test_backup_cannot_be_read_about_someone_erased(encrypted: Path, tmp_path: Path) -> None:
    backup = Path(shutil.copy(encrypted, tmp_path / "backup.db"))
    with SqliteStore(encrypted, key=KEY) as store:
        store.remove(NAME)
        store.add("cleo", [template("c.png")])
    shutil.copy(backup, encrypted)  # the keys are those of now, and the key is the right one
    with SqliteStore(encrypted, key=KEY) as store:
        assert store.owners([template("photos of bob/1.png").digest]) == ["bob"]
        for use in (
            lambda: store.stored(NAME),
            lambda: store.owners([template("photos of ada/3.png").digest]),
        ):
            with pytest.raises(
                GalleryError, match=r"lacks the key of person 1: .*embed gallery drop-unreadable"
            ):
                use()


def test_wrapped_key_of_someone_erased_is_gone(encrypted: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(keys_path(encrypted))) as other:
        wrapped = dict(other.execute("SELECT id, wrapped FROM person").fetchall())
    with SqliteStore(encrypted, key=KEY) as store:
        store.remove(NAME)
    assert traces(encrypted.parent, [wrapped[1]]) == []
    assert traces(encrypted.parent, [wrapped[2]])


def test_backup_can_be_used_again_without_those_erased_since(encrypted: Path, tmp_path: Path) -> None:
    backup = Path(shutil.copy(encrypted, tmp_path / "backup.db"))
    with SqliteStore(encrypted, key=KEY) as store:
        store.remove(NAME)
        store.add("dora", [template("d.png")])  # her key is there, she is not
    shutil.copy(backup, encrypted)
    with SqliteStore(encrypted, key=KEY) as store:
        assert store.forget_keyless() == 1
        assert store.forget_keyless() == 0
        assert store.identities() == [("bob", 1)]
        assert store.events()[-1].action == "forget keyless"
        store.add("cleo", [template("c.png")])
        store.verify()


def test_plain_gallery_with_a_key(path: Path) -> None:
    fill(path, None)
    for create in (False, True):
        with pytest.raises(GalleryError, match=r"expected an encrypted gallery.*embed gallery encrypt"):
            SqliteStore(path, create, KEY)
    assert not keys_path(path).exists()


def test_plain_gallery_becomes_an_encrypted_one(path: Path) -> None:
    fill(path, None)
    with SqliteStore(path) as store:
        before = store.people(), store.templates(), store.strangers(), store.events(), store.changes()[1]
        store.encrypt(KEY)
    known = [NAME.encode(), CONSENT.encode(), *about("photos of ada/3.png"), *about("photos of eve/1.png")]
    assert traces(path.parent, known) == []
    with SqliteStore(path, key=KEY) as store:
        now = store.people(), store.templates(), store.strangers(), store.events(), store.changes()[1]
        assert (now[0], now[3], now[4]) == (before[0], before[3], before[4])
        for then, since in zip(before[1:3], now[1:3], strict=True):
            assert then.vectors.tobytes() == since.vectors.tobytes()
            assert (then.ids.tolist(), then.identities.tolist()) == (
                since.ids.tolist(),
                since.identities.tolist(),
            )
        assert store.stored(NAME)[3].photo == "photos of ada/3.png"
        store.verify()
        with pytest.raises(GalleryError, match="expected a plain gallery"):
            store.encrypt(KEY)


def test_gallery_that_is_encrypted_while_it_is_open(path: Path) -> None:
    fill(path, None)
    with SqliteStore(path) as store, SqliteStore(path) as other:
        store.encrypt(KEY)
        for use in (other.templates, lambda: other.add("cleo", [template("c.png")])):
            with pytest.raises(GalleryError, match="was encrypted meanwhile"):
                use()
    with SqliteStore(path, key=KEY) as store:
        store.verify()


def test_keys_in_the_way_are_not_overwritten(path: Path) -> None:
    fill(path, None)
    fill(path.with_name("other.db"), KEY)
    shutil.copy(keys_path(path.with_name("other.db")), keys_path(path))
    before = path.read_bytes(), keys_path(path).read_bytes()
    with SqliteStore(path) as store, pytest.raises(GalleryError, match="expected no such file"):
        store.encrypt(KEY)
    assert (path.read_bytes(), keys_path(path).read_bytes()) == before


def test_new_key_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "my key"
    write_new_key(file)
    key = read_key(file)
    assert len(key.secret) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key.secret.hex() not in repr(key)
    with pytest.raises(UsageError, match="is the key of a gallery; one that is replaced is lost"):
        write_new_key(file)
    assert read_key(file) == key


def test_key_that_cannot_be_written_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, pytest.raises(UsageError, match="cannot be written: No space"):
        patched.setattr(os, "fsync", full)
        write_new_key(tmp_path / "key")
    write_new_key(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "abc", base64.b64encode(bytes(31)).decode(), "ä" * 44, "A" * 2000])
def test_file_that_is_no_key(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(UsageError, match="expected a key of 32 bytes"):
        read_key(file)


@pytest.mark.parametrize("place", ["missing", "."])
def test_key_that_is_not_there(tmp_path: Path, place: str) -> None:
    with pytest.raises(UsageError, match=r"no key here|expected a file, got a folder"):
        read_key(tmp_path / place)


def test_key_from_the_environment(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_from_environment() is None
    file = tmp_path / "key"
    write_new_key(file)
    monkeypatch.setenv("EMBED_GALLERY_KEY", file.read_text())
    with open_store(path, create=True) as store:
        store.bind(MODEL, DIM)
        store.add("ada", [template("a.png")])
    monkeypatch.setenv("EMBED_GALLERY_KEY_FILE", str(file))
    with pytest.raises(UsageError, match="expected one key, got both"):
        open_store(path)
    monkeypatch.delenv("EMBED_GALLERY_KEY")
    with open_store(path) as store:
        assert store.identities() == [("ada", 1)]
    with pytest.raises(UsageError, match="Milvus does not encrypt"):
        open_store("milvus://127.0.0.1:1/people")
    monkeypatch.delenv("EMBED_GALLERY_KEY_FILE")
    with pytest.raises(GalleryError, match="encrypted; give its key"):
        open_store(path)
    assert not os.environ.get("EMBED_GALLERY_KEY")
