"""Galleries from elsewhere: other programs' files, tampered tables, forged rows, planted journals."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from fuzz_files import DIM, PAGE, load_gallery, make_gallery

from embedder.errors import EmbedError
from enroll.gallery.threshold import CalibrationRecord
from enroll.store import check_model, open_store
from enroll.store.sqlite.rows import checksum, pack_template
from enroll.store.sqlite.schema import APPLICATION_ID, STEPS
from tests.attacks.outcomes import HARMLESS, REFUSED, Attack, Payload, outcome

_NAME = "gallery.db"


def tampered(tamper: Callable[[Path], object], folder: Path) -> str:
    """Load a tampered gallery in all ways: each gives what it should, or is refused."""
    place = folder / "gallery"
    make_gallery(place)
    expected = load_gallery(place)
    assert None not in expected
    tamper(place / _NAME)
    found = load_gallery(place)
    for got, original in zip(found, expected, strict=True):
        assert got is None or got == original, f"other content: {got!r:.200}"
    assert not (folder / "mark").exists(), "code was run"
    return REFUSED if None in found else HARMLESS


def sql(*statements: str) -> Callable[[Path], None]:
    """Change the file with another program."""

    def run(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


def schema_entry(statement: str) -> Callable[[Path], None]:
    """Write into the schema what SQLite itself might not make."""
    return sql(
        "PRAGMA writable_schema = ON",
        f"INSERT INTO sqlite_schema VALUES ('table', 'evil', 'evil', 0, '{statement}')",
    )


def replaced(content: Callable[[Path], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content(path)) and None


def forged_row(table: str, **columns: object) -> Callable[[Path], None]:
    """Change a row and make its checksum fit, as someone who knows the format could."""

    def run(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            changes = ", ".join(f"{name} = ?" for name in columns)
            (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()
            connection.execute(f"UPDATE {table} SET {changes} WHERE id = {last}", tuple(columns.values()))
            row = connection.execute(f"SELECT * FROM {table} WHERE id = {last}").fetchone()
            total = checksum(*row[:-1])
            connection.execute(f"UPDATE {table} SET checksum = ? WHERE id = {last}", (total,))

    return run


def vector(*numbers: float) -> Callable[[Path], None]:
    values = np.array(numbers, "<f4").tobytes()
    return forged_row("template", body=pack_template("Ada 0.jpg", bytes(32), values))


def not_utf8(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (body,) = connection.execute("SELECT body FROM template ORDER BY id DESC").fetchone()
    forged_row("template", body=body[: 4 * DIM + 32] + b"\xff\xfe")(path)


def pickled(path: Path) -> bytes:
    return pickle.dumps(Payload(path.parent.parent / "mark"))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_NAME, bytes(2**24))


def another_program(path: Path) -> None:
    path.unlink()
    sql(
        "CREATE TABLE template (id INTEGER PRIMARY KEY, person, handle, body, checksum)",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {len(STEPS)}",
    )(path)


def other_text(path: Path) -> None:
    path.unlink()
    sql(
        "PRAGMA encoding = 'UTF-16le'",
        "CREATE TABLE gallery (only INTEGER)",
        f"PRAGMA application_id = {APPLICATION_ID}",
        f"PRAGMA user_version = {len(STEPS)}",
    )(path)


def header(at: int, value: bytes) -> Callable[[Path], None]:
    return replaced(lambda path: (data := path.read_bytes())[:at] + value + data[at + len(value) :])


def journal(path: Path, pages: int, super_journal: bytes = b"") -> bytes:
    """A hot journal that puts back the first pages, and names a file (SQLite's file format, section 3)."""
    data = path.read_bytes()
    start = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", pages, 0, len(data) // PAGE, PAGE, PAGE)
    entries = b""
    for number in range(pages):
        page = data[number * PAGE : (number + 1) * PAGE]
        total = sum(page[place] for place in range(PAGE - 200, 0, -200))
        entries += struct.pack(">I", number + 1) + page + struct.pack(">I", total)
    end = struct.pack(">I", 2**30 // PAGE + 1) + super_journal
    end += struct.pack(">II", len(super_journal), sum(super_journal)) + start[:8]
    return start.ljust(PAGE, b"\0") + entries + (end if super_journal else b"")


def beside(suffix: str, content: Callable[[Path], bytes]) -> Callable[[Path], None]:
    return lambda path: path.with_name(path.name + suffix).write_bytes(content(path)) and None


def another_gallerys_journal(path: Path) -> None:
    other = path.parent.parent / "other"
    make_gallery(other)
    with open_store(other / _NAME) as store:
        store.rename("Ada", "Mallory")
        store.remove("Zoë")
    with closing(sqlite3.connect(other / _NAME)) as connection:
        connection.execute("VACUUM")
    path.with_name(f"{_NAME}-journal").write_bytes(journal(other / _NAME, 5))
    shutil.rmtree(other)


def deleting_journal(folder: Path, name: str = "important.txt", encrypted: str = "") -> str:
    """A journal that names a file of the user's, which SQLite would delete."""
    target = folder / name
    target.write_text("important\n")

    def plant(path: Path) -> None:
        named = path.with_name(path.name + encrypted + "-journal")
        named.write_bytes(journal(path, 1, os.fsencode(target)))

    ended = tampered(plant, folder)
    assert target.read_text() == "important\n"
    return ended


def log_of_another(path: Path) -> None:
    """A write-ahead log beside a gallery that has none."""
    other = path.parent.parent / "other.db"
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE evil (x)")
        shutil.copy(f"{other}-wal", f"{path}-wal")


def foreign_model(folder: Path) -> str:
    make_gallery(folder / "gallery")
    with open_store(folder / "gallery" / _NAME) as store:
        return outcome(lambda: check_model(store, "e" * 64, DIM))


def calibration(content: str, folder: Path) -> str:
    return outcome(lambda: CalibrationRecord.from_text(content, folder))


def odd_path(folder: Path) -> str:
    """A gallery called like a statement."""
    place = folder / "x' AS y; DROP TABLE person; --?mode=memory#%00.db"
    make_gallery(folder / "gallery")
    (folder / "gallery" / _NAME).rename(place)
    try:
        with open_store(place) as store:
            store.verify()
    except EmbedError as error:
        raise AssertionError(error) from error
    assert sorted(path.name for path in folder.iterdir()) == ["gallery", place.name]
    return HARMLESS


_TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pickle": (replaced(pickled), REFUSED),
    "a zip bomb": (zipped, REFUSED),
    "another program's database with our marks": (another_program, REFUSED),
    "text in UTF-16": (other_text, REFUSED),
    "a trigger that deletes": (
        sql("CREATE TRIGGER evil AFTER INSERT ON event BEGIN DELETE FROM template; END"),
        REFUSED,
    ),
    "a trigger of ours without effect": (sql("DROP TRIGGER template_erased"), REFUSED),
    "a view in place of a table": (
        sql("ALTER TABLE person RENAME TO hidden", "CREATE VIEW person AS SELECT * FROM hidden"),
        REFUSED,
    ),
    "one more view": (sql("CREATE VIEW evil AS SELECT load_extension('evil.so')"), REFUSED),
    "one more table": (sql("CREATE TABLE evil (x)"), REFUSED),
    "a virtual table": (schema_entry("CREATE VIRTUAL TABLE evil USING rtree(a, b, c)"), REFUSED),
    "a virtual table that reads files": (
        schema_entry('CREATE VIRTUAL TABLE evil USING csv(filename="/etc/passwd")'),
        REFUSED,
    ),
    "a generated column": (
        sql("ALTER TABLE event ADD COLUMN evil BLOB AS (zeroblob(1000000000))"),
        REFUSED,
    ),
    "an index on an expression": (sql("CREATE INDEX evil ON event (lower(action))"), REFUSED),
    "a partial index": (sql("CREATE INDEX evil ON event (action) WHERE subject = 0"), REFUSED),
    "an index less": (sql("DROP INDEX template_person"), REFUSED),
    "one more column": (sql("ALTER TABLE event ADD COLUMN evil TEXT DEFAULT 'x'"), REFUSED),
    "no mark of ours": (sql("PRAGMA application_id = 0"), REFUSED),
    "the mark of a newer format": (sql(f"PRAGMA user_version = {len(STEPS) + 1}"), REFUSED),
    "the mark of an older format": (sql("PRAGMA user_version = 1"), REFUSED),
    "a header with 2^32 - 2 pages": (header(28, b"\xff\xff\xff\xfe"), REFUSED),
    "a header with a page size of 1": (header(16, b"\0\0"), REFUSED),
    "free pages in a circle": (header(32, struct.pack(">II", 3, 2)), REFUSED),
    "a vector of NaN": (vector(*[float("nan")] * DIM), REFUSED),
    "an infinite vector": (vector(float("inf"), *[0.0] * (DIM - 1)), REFUSED),
    "a vector of zeros": (vector(*[0.0] * DIM), REFUSED),
    "a denormal vector": (vector(*[1e-45] * DIM), REFUSED),
    "a vector twice too long": (vector(2.0, *[0.0] * (DIM - 1)), REFUSED),
    "a template of nothing": (sql("UPDATE template SET body = NULL, checksum = 7 WHERE id = 1"), REFUSED),
    "a vector of fewer numbers": (forged_row("template", body=bytes(40)), REFUSED),
    "a photo's place that is not UTF-8": (not_utf8, REFUSED),
    "a name that is no JSON": (forged_row("profile", body=b"[" * 100_000), REFUSED),
    "a name that is a number": (forged_row("profile", body=b"[1,null,null]"), REFUSED),
    "a name with half a letter": (forged_row("profile", body=b'["\\ud800",null,null]'), REFUSED),
    "a calibration made for three bytes of people": (forged_row("calibration", people=b"abc"), REFUSED),
    "a consent on a day that is none": (forged_row("profile", body=b'["Ada",null,"yesterday"]'), REFUSED),
    "a last day after all days": (forged_row("person", expires=2**60), REFUSED),
    "a model of 2^31 numbers": (forged_row("model", dim=2**31), REFUSED),
    "a model of -1 numbers": (forged_row("model", dim=-1), REFUSED),
    "a person's row that is changed": (sql("UPDATE person SET enrolled = 0"), REFUSED),
    "a journal of zeros": (beside("-journal", lambda path: bytes(4096)), HARMLESS),
    "a journal of noise": (beside("-journal", lambda path: bytes(range(256)) * 40), HARMLESS),
    "a journal of 2^32 pages": (
        beside("-journal", lambda path: journal(path, 1)[:8] + b"\xff" * 20 + journal(path, 1)[28:]),
        HARMLESS,
    ),
    "a journal of another gallery": (another_gallerys_journal, REFUSED),
    "a write-ahead log of another database": (log_of_another, REFUSED),
    "a write-ahead log of noise": (beside("-wal", lambda path: bytes(range(256)) * 40), HARMLESS),
}
ATTACKS: dict[str, tuple[Attack, str]] = {
    **{name: (partial(tampered, tamper), ends) for name, (tamper, ends) in _TAMPERED.items()},
    "a journal that deletes a file": (deleting_journal, REFUSED),
    "a journal that deletes a file called like SQLite's own": (
        partial(deleting_journal, name="gallery.db-mj0123456789"),
        REFUSED,
    ),
    "a gallery of another model": (foreign_model, REFUSED),
    "a gallery called like a statement": (odd_path, HARMLESS),
    "a calibration that is not a number": (partial(calibration, '{"promise": NaN}'), REFUSED),
    "a calibration without an end": (partial(calibration, "[" * 100_000), REFUSED),
    "a calibration that is a list": (partial(calibration, "[]"), REFUSED),
}
