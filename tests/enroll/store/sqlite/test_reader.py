"""Whatever happens to the bytes of a gallery, it holds the same, or an error says that it is broken."""

from __future__ import annotations

import random
import re
import secrets
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from embedder.errors import GalleryError
from enroll.store import Key, Terms
from enroll.store.sqlite.rows import checksum, person_checksums, profile_checksums, template_checksums
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.store.engines import KEY
from tests.enroll.templates import DIM, MODEL, template

SAMPLE = 100  # bytes that the fast tests change


def fill(path: Path, key: Key | None) -> None:
    with SqliteStore(path, create=True, key=key) as store:
        store.bind(MODEL, DIM)
        for name in ("ada", "bob", "cleo"):
            photos = [template(f"{name} {number}.png") for number in range(3)]
            store.add(name, photos, Terms("Nr. 7", date(2026, 1, 1), date(2030, 1, 1)))
        store.add_strangers([("eve", template("e"))])
        store.set_calibration("found", 3, 9)
        store.remove("bob")


def content(path: Path, key: Key | None) -> tuple[object, ...]:
    """All that a gallery holds, as its users see it."""
    with SqliteStore(path, key=key) as store:
        read, strangers = store.templates(), store.strangers()
        photos = [template(f"{name} {number}.png") for name in ("ada", "bob") for number in range(3)]
        return (
            store.model(),
            store.people(),
            (read.ids.tobytes(), read.identities.tolist(), read.vectors.tobytes()),
            (strangers.ids.tobytes(), strangers.identities.tolist(), strangers.vectors.tobytes()),
            store.photos(read.ids),
            store.owners([photo.digest for photo in photos]),
            [entry.digest for entry in store.stored("ada")],
            store.expired(date(2031, 1, 1)),
            store.calibration(),
            store.events(),
            store.templates(after=3).vectors.tobytes(),
        )


def check_changes(path: Path, changed: Path, key: Key | None, every: bool) -> None:
    """Change bytes of one file, one at a time, and read the gallery."""
    before, expected = changed.read_bytes(), content(path, key)
    others = {entry: entry.read_bytes() for entry in path.parent.iterdir() if entry != changed}
    generator = random.Random(7)
    used = [at for at, byte in enumerate(before) if byte]
    free = generator.sample([at for at, byte in enumerate(before) if not byte], SAMPLE // 2)
    places = (used if every else generator.sample(used, SAMPLE)) + free
    wrong = []
    for at in places:
        for value in {before[at] ^ 1 << generator.randrange(8), generator.randrange(256)} - {before[at]}:
            changed.write_bytes(before[:at] + bytes([value]) + before[at + 1 :])
            try:
                if content(path, key) != expected:
                    wrong.append((at, value))
            except GalleryError:
                pass
            except Exception as error:
                wrong.append((at, value, repr(error)))
        for entry in path.parent.iterdir():
            if entry not in others and entry != changed:
                entry.unlink()
        for entry, kept in others.items():
            if entry.read_bytes() != kept:
                entry.write_bytes(kept)
    changed.write_bytes(before)
    assert wrong == []
    assert content(path, key) == expected


@pytest.mark.parametrize(
    ("key", "file", "every"),
    [
        (None, "gallery.db", False),
        (KEY, "gallery.db.keys", False),
        pytest.param(None, "gallery.db", True, marks=pytest.mark.slow),
        pytest.param(KEY, "gallery.db", True, marks=pytest.mark.slow),
        pytest.param(KEY, "gallery.db.keys", True, marks=pytest.mark.slow),
    ],
)
def test_a_changed_byte_is_found_or_changes_nothing(
    tmp_path: Path, key: Key | None, file: str, every: bool
) -> None:
    path = tmp_path / "gallery.db"
    fill(path, key)
    check_changes(path, tmp_path / file, key, every)


@pytest.mark.parametrize(
    ("key", "file"), [(None, "gallery.db"), (KEY, "gallery.db"), (KEY, "gallery.db.keys")]
)
def test_kind_that_is_changed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Key | None, file: str
) -> None:
    """SQLite keeps before each row of what kind its fields are; bytes that are letters become a text."""
    monkeypatch.setattr(secrets, "token_bytes", lambda count: b"a" * count)
    path = tmp_path / "gallery.db"
    fill(path, key)
    before, expected = (tmp_path / file).read_bytes(), content(path, key)
    letters = [found.start() for found in re.finditer(b"a{12,}", before)]
    refused = 0
    for at in {at for start in letters for at in range(start - 12, start)}:
        (tmp_path / file).write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        try:
            assert content(path, key) == expected
        except GalleryError:
            refused += 1
    assert refused > 3


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM template WHERE id = 2",
        "INSERT INTO template SELECT 99, person, x'00', body, checksum FROM template WHERE id = 2",
        "UPDATE template SET person = 3 WHERE id = 2",
        "UPDATE template SET body = NULL, handle = NULL, person = NULL, checksum = NULL WHERE id = 2",
        "DELETE FROM template WHERE person = 3; DELETE FROM person WHERE id = 3",
        "UPDATE person SET enrolled = 0 WHERE id = 1",
        "UPDATE person SET expires = 1 WHERE id = 1",
        "UPDATE person SET profile = 3 WHERE id = 1",
        "DELETE FROM profile WHERE id = 1",
        "UPDATE model SET dim = dim + 1",
        "DELETE FROM model",
        "DELETE FROM calibration",
        "UPDATE calibration SET content = 'forged'",
        "DELETE FROM event WHERE id = 2",
        "UPDATE event SET action = 'nothing'",
        "UPDATE gallery SET salt = x'00'",
        "DELETE FROM gallery",
        "UPDATE total SET count = count + 1 WHERE part = 'person'",
        "UPDATE total SET last = 1 WHERE part = 'template'",
        "DELETE FROM total WHERE part = 'template'",
    ],
)
def test_row_that_is_changed_lost_or_doubled_is_found(tmp_path: Path, change: str) -> None:
    """Without our triggers, as a broken disk would do it."""
    path = tmp_path / "gallery.db"
    fill(path, None)
    with closing(sqlite3.connect(path)) as other:
        triggers = other.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            other.execute(f"DROP TRIGGER {name}")
        other.executescript(change)
        for _, statement in triggers:
            other.execute(statement)
    with pytest.raises(GalleryError, match=r"gallery\.db: broken: .*restore a copy"):
        content(path, None)
    with pytest.raises(GalleryError, match="broken"), SqliteStore(path) as store:
        store.verify()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE total SET count = count + 1 WHERE part = 'template'",
        "UPDATE person SET enrolled = 0 WHERE id = 1",
    ],
)
def test_what_changed_since_the_calibration_is_counted_in_sound_rows(tmp_path: Path, change: str) -> None:
    fill(tmp_path / "gallery.db", None)
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as other, other:
        other.execute(change)
    with SqliteStore(tmp_path / "gallery.db") as store, pytest.raises(GalleryError, match="broken"):
        store.calibration()


def test_checksum_of_templates_is_that_of_any_row() -> None:
    row = (2**40, 7, bytes(range(16)), bytes(range(100)))
    assert template_checksums(*([field] for field in row)) == [checksum(*row)]
    assert checksum(1, "Zoë", None) != checksum(1, "Zoe", None)
    person = (2**40, bytes(range(16)), 7, 1, 3_652_060)
    assert person_checksums(*([field] for field in person)) == [checksum(*person)]
    assert profile_checksums([7], [b"[]"]) == [checksum(7, b"[]")]


def test_verify_finds_what_no_checksum_can(tmp_path: Path) -> None:
    """Rows that are sound by themselves, but do not belong together."""
    path = tmp_path / "gallery.db"
    fill(path, None)
    with closing(sqlite3.connect(path)) as other, other:
        number, person, body = other.execute("SELECT id, person, body FROM template WHERE id = 2").fetchone()
        handle = bytes(16)
        other.execute(
            "UPDATE template SET handle = ?, checksum = ? WHERE id = ?",
            (handle, checksum(number, person, handle, body), number),
        )
    with SqliteStore(path) as store, pytest.raises(GalleryError, match="not be found by its picture"):
        store.verify()
