"""Check the rows of a photo library when they are read, since the file may come from anyone.

Each function takes the values of a row, and raises ValueError for what no scan and no decision writes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeGuard

import numpy as np

from enroll.store.base import Terms
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto, Step
from enroll.store.limits import (
    DIGEST,
    DIM,
    FINGERPRINT,
    photo_problem,
    stored_name_problem,
    terms_problem,
    text_problem,
)
from enroll.store.sqlite.rows import NEVER
from enroll.templates import are_unit

LENGTH = struct.Struct("<I")
_NUMBER = (1, 2**53)  # of photos, faces, people, groups and steps
_SIDE = (0, 2**31)
_PLACE = (-(2**31), 2**31)  # a box may begin outside of its photo
_TIME = (-(2**63), 2**63 - 1)  # nanoseconds since 1970
_MOST_FILES = 10_000
_PROBLEM = 10_000  # characters
_SOURCE = 100
_FIGURE = 1e9
_LONGEST = 1e9  # seconds of a film
_TOGETHER = 4096  # vectors that are checked at once


def number(value: object, what: str = "a number", limits: tuple[int, int] = _NUMBER) -> int:
    """Check a whole number; by default an id of a row.

    Args:
        value: to be checked.
        what: name of it, for the error.
        limits: smallest and largest value.
    """
    if type(value) is not int or not limits[0] <= value <= limits[1]:
        raise ValueError(f"{what}: expected {limits[0]} to {limits[1]}, got {value!r:.80}")
    return value


def group_number(value: object) -> int:
    """Check the number of a group, or minus that of an ignored face."""
    return -number(-value) if type(value) is int and value < 0 else number(value)


def read_json(body: bytes) -> dict[str, Any]:
    """Parse an object of JSON."""
    try:
        facts = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(facts, dict):
        raise ValueError(f"expected an object, got {type(facts).__name__}")
    return facts


def photo_of(row: object, facts: Mapping[str, Any]) -> SeenPhoto:
    """Build the photo of a row.

    Args:
        row: its number.
        facts: its other values.
    """
    width, height = _list(facts.get("size"), "size", 2, 2)
    files = _list(facts.get("files"), "files", 1, _MOST_FILES)
    taken, problem = facts.get("taken"), facts.get("problem")
    return SeenPhoto(
        _digest(facts.get("digest")),
        tuple(_file(*_list(file, "file", 4, 4)) for file in files),
        number(width, "width", _SIDE),
        number(height, "height", _SIDE),
        None if taken is None else _time(taken),
        None if problem is None else _text(problem, "problem", _PROBLEM),
        _text(facts.get("model"), "model", FINGERPRINT),
        number(row),
        _moment(facts.get("seconds")),
        _flag(facts.get("live", False), "live"),
    )


def _file(path: Any, size: Any, modified: Any, there: Any) -> PhotoFile:
    if problem := photo_problem(path):
        raise ValueError(problem)
    return PhotoFile(
        path,
        number(size, "size", (0, _NUMBER[1])),
        number(modified, "modified", _TIME),
        bool(number(there, "there", (0, 1))),
    )


def face_of(row: object, photo: object, expires: object, body: bytes) -> SeenFace:
    """Build the face of a row; `check_vectors` checks its vector.

    Args:
        row: its number.
        photo: number of its photo.
        expires: a day, 1 is 0001-01-01, or `NEVER`.
        body: the other values.
    """
    if len(body) < LENGTH.size:
        raise ValueError("cut short")
    (length,) = LENGTH.unpack_from(body)
    facts = read_json(body[LENGTH.size : LENGTH.size + length])
    vector = np.frombuffer(body, "<f4", offset=min(LENGTH.size + length, len(body)))
    x, y, width, height = (number(side, "box", _PLACE) for side in _list(facts.get("box"), "box", 4, 4))
    quality = facts.get("quality")
    if not isinstance(quality, dict) or not all(map(_is_figure, quality.values())):
        raise ValueError(f"quality: expected figures, got {quality!r:.80}")
    day = number(expires, "expires", (1, NEVER))
    return SeenFace(
        number(photo),
        (x, y, width, height),
        vector,
        quality,
        None if day == NEVER else date.fromordinal(day),
        _text(facts.get("model"), "model", FINGERPRINT),
        number(row),
        _digest(facts.get("key")),
        _moment(facts.get("seconds")),
        _intervals(facts.get("intervals", [])),
    )


def _moment(value: object) -> float | None:
    return None if value is None else _seconds(value)  # a photo has none


def _seconds(value: object) -> float:
    if not _is_number(value) or not 0 <= value <= _LONGEST:
        raise ValueError(f"seconds of a film: expected 0 to {_LONGEST:g}, got {value!r:.80}")
    return float(value)


def _intervals(value: object) -> tuple[tuple[float, float], ...]:
    pairs = [_list(pair, "interval", 2, 2) for pair in _list(value, "intervals", 0, _NUMBER[1])]
    return tuple((_seconds(start), _seconds(end)) for start, end in pairs)


def _flag(value: object, what: str) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{what}: expected true or false, got {value!r:.80}")
    return value


def _is_figure(value: object) -> bool:
    return _is_number(value) and abs(value) <= _FIGURE  # a NaN is none


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_vectors(faces: Sequence[SeenFace], model: tuple[str, int] | None) -> None:
    """Check the vectors of faces: those of one model have the same length, and unit norm.

    Args:
        faces: of any models.
        model: fingerprint and vector length of the gallery's model.
    """
    lengths = {} if model is None else dict([model])
    for face in faces:
        if len(face.vector) != lengths.setdefault(face.model, len(face.vector)):
            raise ValueError(f"a vector has {len(face.vector)} numbers, others {lengths[face.model]}")
    for length in {*lengths.values()}:
        number(length, "numbers of a vector", (1, DIM))
        same = [face.vector for face in faces if len(face.vector) == length]
        for start in range(0, len(same), _TOGETHER):
            if not are_unit(np.stack(same[start : start + _TOGETHER])):
                raise ValueError("a vector is not of length 1")


def step_of(row: object, person: object, content: Mapping[str, Any]) -> Step:
    """Build the decision of a row.

    Args:
        row: its number.
        person: id whose key seals it, or 0.
        content: the decision.
    """
    do = content.get("do")
    if not isinstance(do, str) or do not in _STEPS:
        raise ValueError(f"a decision {do!r:.80} is not known")
    for name in _STEPS[do]:
        _FIELDS[name](content.get(name))
    for name in ("faces", "others", "other", "person", "source", "at"):
        if name in content:
            _FIELDS[name](content[name])
    return Step(number(row), number(person, "person", (0, _NUMBER[1])), content)


def _numbers(value: object) -> None:
    if not isinstance(value, list):
        raise ValueError(f"faces: expected numbers, got {value!r:.80}")
    for entry in value:
        number(entry, "face")


def _name(value: object) -> None:
    if problem := stored_name_problem(value):
        raise ValueError(problem)


def _terms(value: object) -> None:
    consent, *days = _list(value, "terms", 3, 3)
    given, expires = (None if day is None else date.fromisoformat(_text(day, "day", _SOURCE)) for day in days)
    if problem := terms_problem(Terms(consent, given, expires)):
        raise ValueError(problem)


def _digests(value: object) -> None:
    for digest in _list(value, "digests", 0, _NUMBER[1]):
        _digest(digest)


_FIELDS: Mapping[str, Callable[[Any], object]] = {
    **dict.fromkeys(("faces", "others"), _numbers),
    **dict.fromkeys(("person", "kept", "other", "of"), number),
    "name": _name,
    "terms": _terms,
    "digests": _digests,
    "source": lambda value: _text(value, "source", _SOURCE),
    "at": lambda value: datetime.fromisoformat(_text(value, "at", _SOURCE)),
}
_STEPS: Mapping[str, tuple[str, ...]] = {  # what each decision needs; `enroll.library.review` reads it
    "confirm": ("faces", "person"),
    "reject": ("faces", "person"),
    **dict.fromkeys(("ignore", "not-a-face", "unknown", "together"), ("faces",)),
    "apart": ("faces", "others"),
    "merge": ("kept", "other", "name", "terms", "digests"),
    "undo": ("of",),
}


def _list(value: object, what: str, least: int, most: int) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError(f"{what}: expected a list of {least} to {most}, got {value!r:.80}")
    return value


def _text(value: object, what: str, longest: int) -> str:
    if problem := text_problem(value, what, longest):
        raise ValueError(problem)
    assert isinstance(value, str)
    return value


def _time(value: object) -> str:
    text = _text(value, "taken", _SOURCE)
    if datetime.fromisoformat(text).tzinfo is not None:
        raise ValueError(f"taken: expected no time zone, got {text!r}")
    return text


def _digest(value: object) -> bytes:
    digest = bytes.fromhex(_text(value, "digest", 2 * DIGEST))
    if len(digest) != DIGEST:
        raise ValueError(f"digest: expected {DIGEST} bytes, got {len(digest)}")
    return digest
