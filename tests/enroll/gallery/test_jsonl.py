from __future__ import annotations

import base64
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from embedder.errors import GalleryError
from enroll.gallery.jsonl import from_lines, importable_lines, read_lines, to_lines
from enroll.gallery.transfer import GallerySnapshot, PersonRecord, put_content, read_content
from enroll.store import Terms
from enroll.templates import NewTemplate
from tests.enroll.gallery.contents import contents, fresh, same, small_content
from tests.enroll.templates import DIM, MODEL, template

SMALL = b"".join(to_lines(small_content()))


@settings(max_examples=50)
@given(contents())
def test_a_file_holds_everything(content: GallerySnapshot):
    assert same(from_lines(to_lines(content), "file"), content)


@settings(max_examples=12)
@given(contents())
def test_into_a_gallery_and_out_of_it_is_the_identity(
    tmp_path_factory: pytest.TempPathFactory, content: GallerySnapshot
):
    with fresh(tmp_path_factory.mktemp("gallery") / "g.db") as store:
        put_content(store, from_lines(to_lines(content), "file"))
        read, changed = read_content(store)
    assert changed is None
    assert same(read, content)


def test_the_file_is_as_documented():
    lines = [json.loads(line) for line in SMALL.splitlines()]
    assert lines[0] == {"embed-gallery": 1, "model": {"fingerprint": MODEL, "dim": DIM}}
    assert lines[1] == {
        "person": "Ada",
        "consent": "file 7",
        "consent_date": "2026-01-02",
        "expires": "2030-12-31",
    }
    assert set(lines[2]) == {"photo", "digest", "vector"}
    assert lines[2]["digest"] == hashlib.sha256(b"a 1.png").hexdigest()
    assert lines[-2]["stranger"] == "Bob"
    assert lines[-1]["end"] == {"people": 2, "templates": 3, "strangers": 1}
    assert lines[-1]["sha256"] == hashlib.sha256(b"".join(SMALL.splitlines(True)[:-1])).hexdigest()
    assert "Zoë".encode() in SMALL


def test_a_gallery_without_anyone(tmp_path: Path):
    with fresh(tmp_path / "g.db") as store:
        content, _ = read_content(store)
    assert same(from_lines(to_lines(content), "file"), GallerySnapshot(None, ()))


def test_no_changed_byte_is_taken():
    rng = np.random.default_rng(0)
    for place in range(len(SMALL)):
        changed = bytearray(SMALL)
        changed[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(GalleryError):
            from_lines(bytes(changed).splitlines(True), "file")


def test_no_part_of_a_file_is_taken():
    for end in range(len(SMALL)):
        with pytest.raises(GalleryError, match=r"file, line [0-9]+: not a gallery"):
            from_lines(SMALL[:end].splitlines(True), "file")


def forged(change: Callable[[list[dict[str, Any]]], None]) -> list[bytes]:
    """A file in which someone changed what they wanted, and made the sum and the counts right."""
    records = [json.loads(line) for line in SMALL.splitlines()]
    change(records)
    counts = {
        "people": sum("person" in record for record in records),
        "templates": sum("photo" in record and "stranger" not in record for record in records),
        "strangers": sum("stranger" in record for record in records),
    }
    lines = [json.dumps(record).encode() + b"\n" for record in records[:-1]]
    end = {"end": counts, "sha256": hashlib.sha256(b"".join(lines)).hexdigest()}
    return [*lines, json.dumps(end).encode() + b"\n"]


def test_a_forgery_without_a_change_is_the_file():
    assert same(from_lines(forged(lambda records: None), "file"), small_content())


def setting(number: int, key: str, value: object) -> Callable[[list[dict[str, Any]]], None]:
    return lambda records: records[number].__setitem__(key, value)


def numbers(*first: float) -> str:
    return base64.b64encode(np.array([*first, *[0] * (DIM - len(first))], "<f4").tobytes()).decode()


CHANGES = {
    "version": (setting(0, "embed-gallery", 2), "expected format 1, got 2"),
    "version of another kind": (setting(0, "embed-gallery", True), "expected format 1, got True"),
    "no model": (setting(0, "model", None), "the header names no model"),
    "model": (setting(0, "model", {"fingerprint": MODEL}), "expected null, or fingerprint and dim"),
    "fingerprint": (
        setting(0, "model", {"fingerprint": 7, "dim": DIM}),
        "fingerprint: expected text",
    ),
    "dim": (setting(0, "model", {"fingerprint": MODEL, "dim": 1 << 40}), "dim: expected a number"),
    "dim of another kind": (setting(0, "model", {"fingerprint": MODEL, "dim": 16.0}), "dim: expected"),
    "other dim": (setting(0, "model", {"fingerprint": MODEL, "dim": 8}), "vector: expected 8 numbers"),
    "terminal": (setting(1, "person", "Ada\x1b[31m"), "which cannot be shown"),
    "empty name": (setting(1, "person", " "), "an empty name"),
    "name of another form": (setting(1, "person", "Zoe\u0308"), "not in Unicode form NFC"),
    "long name": (setting(1, "person", "a" * 201), "a name of 201 characters"),
    "no name": (setting(1, "person", 7), "name: expected text"),
    "same name": (setting(1, "person", "Zoë"), "'Zoë' twice"),
    "half a letter": (setting(2, "photo", "\ud83d"), "surrogates not allowed"),
    "date": (setting(1, "expires", "20301231"), "expires: expected YYYY-MM-DD"),
    "no date": (setting(1, "expires", "31.12.2030"), "Invalid isoformat"),
    "consent": (setting(1, "consent", "x" * 1001), "consent: expected text of at most 1000"),
    "digest": (setting(2, "digest", "ab"), "digest: expected 64 hexadecimal digits"),
    "digest in capitals": (setting(2, "digest", "AB" * 32), "digest: expected 64"),
    "same photo": (setting(4, "digest", hashlib.sha256(b"z2.png").hexdigest()), "'z2.png' twice"),
    "a stranger's photo": (setting(6, "digest", hashlib.sha256(b"z2.png").hexdigest()), "'b.png' twice"),
    "vector": (setting(2, "vector", "AAAA"), "expected 16 numbers of 4 bytes, got 3 bytes"),
    "no vector": (setting(2, "vector", "?"), "base64|padding"),
    "zero vector": (setting(2, "vector", numbers(0)), "of unit length"),
    "long vector": (setting(2, "vector", numbers(1, 1)), "of unit length"),
    "NaN": (setting(2, "vector", numbers(np.nan)), "of unit length"),
    "infinity": (setting(2, "vector", numbers(np.inf)), "of unit length"),
    "known stranger": (setting(6, "stranger", "Ada"), "'Ada' is both enrolled and a stranger"),
    "no photos": (lambda records: records.pop(2), "'Ada' has no photos"),
    "no one's photo": (lambda records: records.pop(1), "a photo that is no one's"),
    "more": (setting(1, "admin", True), "unknown: "),
    "something else": (lambda records: records.insert(2, {"hello": 1}), r"unknown: \['hello'\]"),
    "calibration": (
        lambda records: records.insert(7, {"calibration": "{}"}),
        "its calibration: broken: its calibration cannot be read",
    ),
    "second header": (lambda records: records.insert(1, records[0]), "unknown: "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_someone_forged_is_refused(name: str):
    change, message = CHANGES[name]
    with pytest.raises(GalleryError, match=message):
        from_lines(forged(change), "file")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"7\n",
        b"[" * 100_000 + b"\n",
        b"{" * 100_000 + b"\n",
        b'{"embed-gallery": ' + b"9" * 5000 + b', "model": null}\n',
        b'{"embed-gallery": NaN, "model": null}\n',
        b'{"embed-gallery": 1, "embed-gallery": 1, "model": null}\n',
        b"SQLite format 3\0\n",
        b"\xff\xfe\n",
        SMALL.splitlines(True)[0] * 2,
    ],
)
def test_what_is_no_export_is_refused(line: bytes):
    with pytest.raises(GalleryError, match="file, line 1: not a gallery"):
        from_lines([line], "file")


def test_something_after_the_end_is_refused():
    with pytest.raises(GalleryError, match=r"line 9: .* something after the last line"):
        from_lines([*SMALL.splitlines(True), b"\n"], "file")


def test_a_line_without_an_end_is_read_in_parts_only(tmp_path: Path):
    path = tmp_path / "bomb"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with path.open("rb") as file, pytest.raises(GalleryError, match="longer than 1048576 bytes"):
        from_lines(read_lines(file), path)


def test_an_export_is_checked_line_by_line_in_little_memory():
    vector = np.zeros(4096, np.float32)
    vector[0] = 1
    templates = tuple(NewTemplate(f"{i}.jpg", i.to_bytes(32), vector) for i in range(500))
    content = GallerySnapshot(("f" * 64, 4096), (PersonRecord("Ada", Terms(), templates),))
    tracemalloc.start()
    try:
        size = sum(map(len, importable_lines(content, "g")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 500 * 4096 * 5
    assert peak < size / 10


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"calibration": "x"}, "its calibration cannot be read"),
        ({"strangers": (("Ada", template("s.jpg")),)}, "'Ada' is both enrolled and a stranger"),
    ],
)
def test_the_last_line_comes_when_all_is_right(change: dict[str, Any], problem: str):
    content = replace(small_content(), **change)
    lines: list[bytes] = []
    with pytest.raises(GalleryError, match=f"not exported, .*{problem}"):
        lines.extend(importable_lines(content, "g"))
    assert lines == list(to_lines(content))[:-1]
    with pytest.raises(GalleryError, match="cut off"):
        from_lines(lines, "file")
