"""What a gallery says of a photo library is checked when it is read: what was written, or why it is not."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pytest

from enroll.store.library import PhotoFile
from enroll.store.sqlite import library_facts
from enroll.store.sqlite.rows import NEVER
from tests.enroll.library.made import GOOD

DIGEST = "ab" * 32
PHOTO: dict[str, Any] = {
    "digest": DIGEST,
    "files": [["roll/1.jpg", 1000, -5, 1], ["copy.jpg", 0, 10**18, 0]],
    "size": [640, 480],
    "taken": "2020-01-02T03:04:05",
    "problem": None,
    "model": "f" * 64,
}
FACE: dict[str, Any] = {"box": [-3, 2, 40, 50], "quality": vars(GOOD), "model": "f" * 64, "key": DIGEST}
MERGE: dict[str, Any] = {
    "do": "merge",
    "kept": 4,
    "other": 5,
    "name": "Eve",
    "terms": [None, "2020-01-01", None],
    "digests": [DIGEST],
}
UNIT = np.eye(8, dtype="<f4")[3]


def face(facts: Any = FACE, vector: np.ndarray = UNIT, expires: object = NEVER) -> Any:
    head = json.dumps(facts).encode()
    return library_facts.face_of(
        7, 3, expires, library_facts.LENGTH.pack(len(head)) + head + vector.tobytes()
    )


def test_what_was_written_is_read() -> None:
    photo = library_facts.photo_of(3, PHOTO)
    assert photo.files == (PhotoFile("roll/1.jpg", 1000, -5), PhotoFile("copy.jpg", 0, 10**18, False))
    assert (photo.width, photo.height, photo.taken, photo.number) == (640, 480, "2020-01-02T03:04:05", 3)
    found = face(expires=date(2020, 1, 2).toordinal())
    assert (found.photo, found.number, found.box) == (3, 7, (-3, 2, 40, 50))
    assert (found.expires, found.key, found.quality) == (date(2020, 1, 2), bytes.fromhex(DIGEST), vars(GOOD))
    assert found.vector.tolist() == UNIT.tolist()
    assert face().expires is None
    assert library_facts.step_of(9, 4, MERGE).content == MERGE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": [640]}, "size: expected a list of 2"),
        ({"size": [640, -1]}, "height: expected 0 to 2147483648, got -1"),
        ({"size": [True, 1]}, "width: expected"),
        ({"files": []}, "files: expected a list of 1"),
        ({"files": [["a.jpg", 1, 1]]}, "file: expected a list of 4"),
        ({"files": [["a.jpg", 10**400, 1, 1]]}, "size: expected"),
        ({"files": [["a.jpg", 1, 2**63, 1]]}, "modified: expected"),
        ({"files": [["\udcff", 1, 1, 1]]}, "photo: expected text in UTF-8"),
        ({"taken": "yesterday"}, "Invalid isoformat"),
        ({"taken": "2020-01-02T03:04:05+00:00"}, "no time zone"),
        ({"problem": 5}, "problem: expected text, got int"),
        ({"model": "x" * 2000}, "at most 1000 characters"),
        ({"digest": "ab"}, "expected 32 bytes, got 1"),
        ({"digest": None}, "expected text, got NoneType"),
    ],
)
def test_a_photo_that_no_scan_wrote(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        library_facts.photo_of(3, PHOTO | change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"box": [1, 2, 3]}, "box: expected a list of 4"),
        ({"box": [1, 2, 3, 4.5]}, r"box: expected .*, got 4\.5"),
        ({"quality": None}, "quality: expected figures"),
        ({"quality": {"size": float("nan")}}, "quality: expected figures"),
        ({"quality": {"size": 1e300}}, "quality: expected figures"),
        ({"key": "zz" * 32}, "non-hexadecimal"),
    ],
)
def test_a_face_that_no_scan_wrote(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        face(FACE | change)


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        ([2 * UNIT], "not of length 1"),
        ([UNIT * np.float32("nan")], "not of length 1"),
        ([UNIT, UNIT[:4]], "has 4 numbers, others 8"),
        ([UNIT[:4]], "has 4 numbers, others 8"),
        ([UNIT[:0]], "has 0 numbers, others 8"),
    ],
)
def test_a_vector_that_no_model_made(vectors: list[np.ndarray], reason: str) -> None:
    faces = [face(vector=vector) for vector in vectors]
    with pytest.raises(ValueError, match=reason):
        library_facts.check_vectors(faces, ("f" * 64, 8))
    library_facts.check_vectors([face(), face(FACE | {"model": "older"}, np.ones(1, "<f4"))], ("f" * 64, 8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "a decision None is not known"),
        ({"do": ["confirm"]}, "is not known"),
        ({"do": "confirm", "faces": [1]}, r"a number: expected 1 to .*, got None"),
        ({"do": "confirm", "faces": [0], "person": 1}, "face: expected 1 to"),
        ({"do": "ignore", "faces": "12"}, "faces: expected numbers"),
        ({"do": "apart", "faces": [1]}, "faces: expected numbers, got None"),
        ({"do": "undo", "of": 1, "person": "x"}, "got 'x'"),
        ({"do": "ignore", "faces": [1], "at": "\x1b[2J"}, "Invalid isoformat"),
        (MERGE | {"name": "a\x1b[2J"}, "the name"),
        (MERGE | {"terms": [None, "2999-01-01", None]}, "expected a day that has come"),
        (MERGE | {"terms": [5, None, None]}, "consent: expected text"),
        (MERGE | {"digests": [DIGEST, "ab"]}, "expected 32 bytes, got 1"),
    ],
)
def test_a_decision_that_nobody_made(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        library_facts.step_of(9, 0, content)


@pytest.mark.parametrize("number", [None, "1", 0, -1, 2**60])
def test_a_row_without_a_number(number: object) -> None:
    with pytest.raises(ValueError, match="a number: expected 1 to"):
        library_facts.photo_of(number, PHOTO)


def test_json_that_leads_down_for_ever() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        library_facts.read_json(b"[" * 100_000)
    with pytest.raises(ValueError, match="expected an object, got list"):
        library_facts.read_json(b"[]")
