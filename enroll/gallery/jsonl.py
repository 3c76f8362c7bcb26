"""Write and read the export format of a gallery: JSON Lines, see docs/gallery.md.

```
{"embed-gallery": 1, "model": {"fingerprint": "…", "dim": 128}}
{"person": "Ada", "consent": null, "consent_date": null, "expires": null}
{"photo": "ada/1.jpg", "digest": "…", "vector": "…"}                        of the person above
{"stranger": "Bob", "photo": "bob/1.jpg", "digest": "…", "vector": "…"}
{"calibration": "…"}                                                        if there is one
{"end": {"people": 1, "templates": 1, "strangers": 1}, "sha256": "…"}       of all bytes above
```

A file may come from anywhere, so nothing but exactly such a file is read.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, BinaryIO, NoReturn

import numpy as np

from embedder.errors import GalleryError
from enroll.gallery.threshold import CalibrationRecord
from enroll.gallery.transfer import GallerySnapshot, PersonRecord
from enroll.store import Terms
from enroll.store.limits import (
    CALIBRATION,
    DIGEST,
    model_problem,
    photo_problem,
    stored_name_problem,
    terms_problem,
    text_problem,
)
from enroll.templates import NewTemplate, are_unit

VERSION = 1
TERMS = ("consent", "consent_date", "expires")

_LONGEST_DATE = 40  # characters
_LONGEST_LINE = 1 << 20  # bytes; the longest vector and path have three quarters of it

_HEADER = frozenset({"embed-gallery", "model"})
_PERSON = frozenset({"person", *TERMS})
_TEMPLATE = frozenset({"photo", "digest", "vector"})
_STRANGER = _TEMPLATE | {"stranger"}
_CALIBRATION = frozenset({"calibration"})
_END = frozenset({"end", "sha256"})

_NOT_KEPT = NewTemplate("", b"", np.empty(0, np.float32))  # in place of a template that is not kept


def to_lines(content: GallerySnapshot) -> Iterator[bytes]:
    """Write a gallery as lines, each with its line feed."""
    digest = hashlib.sha256()
    for line in map(_line, _records(content)):
        digest.update(line)
        yield line
    counts = {
        "people": len(content.people),
        "templates": content.templates,
        "strangers": len(content.strangers),
    }
    yield _line({"end": counts, "sha256": digest.hexdigest()})


def _records(content: GallerySnapshot) -> Iterator[dict[str, Any]]:
    model = None if content.model is None else {"fingerprint": content.model[0], "dim": content.model[1]}
    yield {"embed-gallery": VERSION, "model": model}
    for person in content.people:
        given = {name: getattr(person.terms, name) for name in TERMS}
        texts = {
            name: value.isoformat() if isinstance(value, date) else value for name, value in given.items()
        }
        yield {"person": person.name, **texts}
        yield from map(_template, person.templates)
    for name, template in content.strangers:
        yield {"stranger": name, **_template(template)}
    if content.calibration is not None:
        yield {"calibration": content.calibration}


def _template(template: NewTemplate) -> dict[str, Any]:
    vector = base64.b64encode(np.asarray(template.vector, "<f4").tobytes()).decode()
    return {"photo": template.photo, "digest": template.digest.hex(), "vector": vector}


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """Read lines with their line feeds, never more at once than the longest line we write."""
    return iter(lambda: file.readline(_LONGEST_LINE + 1), b"")


def from_lines(lines: Iterable[bytes], path: object) -> GallerySnapshot:
    """Read what `to_lines` wrote.

    Args:
        lines: with their line feeds.
        path: of the file, for errors.

    Raises:
        GalleryError: which line is wrong, and how.
    """
    reader = _Reader()
    number = 1
    try:
        for line in lines:
            reader.take(line)
            number += 1
        return reader.content()
    except GalleryError:
        raise
    except (ValueError, RecursionError) as error:
        raise GalleryError(
            f"{path}, line {number}: not a gallery as `embed gallery export` writes it: {error}; export it "
            "again"
        ) from error


def importable_lines(content: GallerySnapshot, location: str) -> Iterator[bytes]:
    """Write a gallery as lines, and check that each can be read back.

    So nothing is exported that could not be imported. The last line is written when all are right; without
    it, a file is refused as cut off.

    Args:
        content: of the gallery.
        location: of the gallery, for errors.

    Yields:
        Lines with their line feeds.

    Raises:
        GalleryError: something cannot be imported; a gallery of an earlier version may hold longer texts.
    """
    reader, before = _Reader(keep=False), b""
    try:
        for line in to_lines(content):
            reader.take(line)
            if before:
                yield before
            before = line
        reader.content()
    except (ValueError, RecursionError, GalleryError) as error:
        raise GalleryError(
            f"{location}: not exported, since it could not be imported again: {error}; change that in the "
            "gallery first"
        ) from error
    yield before


class _Reader:
    """Parses lines one after the other.

    Its methods raise ValueError for what is wrong with a line.

    Args:
        keep: whether `content` has the templates; False: they are checked and dropped.
    """

    def __init__(self, keep: bool = True) -> None:
        self._keep = keep
        self._model: tuple[str, int] | None = None
        self._people: dict[str, tuple[Terms, list[NewTemplate]]] = {}
        self._current: str | None = None
        self._strangers: list[tuple[str, NewTemplate]] = []
        self._calibration: str | None = None
        self._digests: set[bytes] = set()
        self._begun = self._ended = False
        self._sum = hashlib.sha256()

    def take(self, line: bytes) -> None:
        """Parse the next line."""
        if self._ended:
            _refuse("something after the last line")
        if not line.endswith(b"\n"):
            _refuse(f"a line that is cut off, or longer than {_LONGEST_LINE} bytes")
        record = json.loads(line.decode(), object_pairs_hook=_once_each)
        kind = frozenset(record) if isinstance(record, dict) else frozenset()
        if not self._begun:
            self._header(record, kind)
        elif kind == _PERSON:
            self._person(record)
        elif kind == _TEMPLATE:
            if self._current is None:
                _refuse("a photo that is no one's")
            self._people[self._current][1].append(self._template(record))
        elif kind == _STRANGER:
            self._current = None
            self._strangers.append((_name(record["stranger"]), self._template(record)))
        elif kind == _CALIBRATION and self._calibration is None:
            self._current = None
            self._calibration = record["calibration"]
            _check(text_problem(self._calibration, "calibration", CALIBRATION))
        elif kind == _END:
            self._end(record)
        else:
            _refuse(f"unknown: {sorted(kind)}")
        self._sum.update(line)

    def content(self) -> GallerySnapshot:
        """Return everything, when all lines are parsed."""
        if not self._ended:
            _refuse("the file is cut off")
        for name, (_, templates) in self._people.items():
            if not templates:
                _refuse(f"{name!r} has no photos")
        for name, _ in self._strangers:
            if name in self._people:
                _refuse(f"{name!r} is both enrolled and a stranger")
        people = sorted(self._people.items())
        content = GallerySnapshot(
            self._model,
            tuple(PersonRecord(name, terms, tuple(templates)) for name, (terms, templates) in people),
            tuple(self._strangers),
            self._calibration,
        )
        if self._calibration is not None:
            made_for = CalibrationRecord.from_text(self._calibration, "its calibration")
            if self._model is None or made_for.fingerprint != self._model[0]:
                _refuse("its calibration is of another model")
        return content

    def _header(self, record: Any, kind: frozenset[str]) -> None:
        if kind != _HEADER:
            _refuse('expected {"embed-gallery": …, "model": …}')
        version, model = record["embed-gallery"], record["model"]
        if version != VERSION or isinstance(version, bool):
            _refuse(f"expected format {VERSION}, got {str(version)[:20]}; a newer toolkit may read it")
        if model is not None:
            if not isinstance(model, dict) or set(model) != {"fingerprint", "dim"}:
                _refuse("model: expected null, or fingerprint and dim")
            _check(model_problem(model["fingerprint"], model["dim"]))
            self._model = model["fingerprint"], model["dim"]
        self._begun = True

    def _person(self, record: dict[str, Any]) -> None:
        name = _name(record["person"])
        if name in self._people:
            _refuse(f"{name!r} twice")
        days = {what: _date(record[what], what) for what in ("consent_date", "expires")}
        terms = Terms(record["consent"], **days)
        if problem := terms_problem(terms):
            _refuse(f"{name}: {problem}")
        self._people[name], self._current = (terms, []), name

    def _template(self, record: dict[str, Any]) -> NewTemplate:
        if self._model is None:
            _refuse("a photo, but the header names no model")
        photo = record["photo"]
        _check(photo_problem(photo))
        digest = bytes.fromhex(_text(record["digest"], "digest"))
        if len(digest) != DIGEST or digest.hex() != record["digest"]:
            _refuse(f"digest: expected {2 * DIGEST} hexadecimal digits, got {record['digest'][:80]!r}")
        if digest in self._digests:
            _refuse(f"the photo {photo[:200]!r} twice")
        self._digests.add(digest)
        data = base64.b64decode(_text(record["vector"], "vector"), validate=True)
        if len(data) != 4 * self._model[1]:
            _refuse(f"vector: expected {self._model[1]} numbers of 4 bytes, got {len(data)} bytes")
        vector = np.frombuffer(data, "<f4").astype(np.float32)
        if not are_unit(vector[None]):
            _refuse("vector: expected one of unit length")
        return NewTemplate(photo, digest, vector) if self._keep else _NOT_KEPT

    def _end(self, record: dict[str, Any]) -> None:
        counts = {
            "people": len(self._people),
            "templates": len(self._digests) - len(self._strangers),
            "strangers": len(self._strangers),
        }
        if record["end"] != counts:
            _refuse(f"expected {counts} in the end, got {str(record['end'])[:200]}: lines are missing")
        if record["sha256"] != self._sum.hexdigest():
            _refuse("the lines above are not those that were written: their SHA-256 differs")
        self._ended = True


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        _refuse("a name twice in one object")
    return dict(pairs)


def _check(problem: str | None) -> None:
    if problem:
        _refuse(problem)


def _text(value: Any, what: str) -> str:
    _check(text_problem(value, what, _LONGEST_LINE))
    return str(value)


def _name(value: Any) -> str:
    _check(stored_name_problem(value))
    return str(value)


def _date(value: Any, what: str) -> date | None:
    if value is None:
        return None
    _check(text_problem(value, what, _LONGEST_DATE))
    day = date.fromisoformat(value)
    if day.isoformat() != value:
        _refuse(f"{what}: expected YYYY-MM-DD, got {value!r}")
    return day
