"""Read bodies: forms of pictures, a single picture, JSON; in memory, never on a disk."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from enroll.serve.config import ServeConfig
from enroll.serve.problems import ProblemError

_MOST_FIELDS = 100
_LONGEST_FIELD = 64 * 2**10  # bytes
_DEEPEST = 20  # brackets in brackets of JSON
_LONGEST_NAME = 255  # characters of a file's name


@dataclass(frozen=True, repr=False)
class Upload:
    """Holds a file of a form.

    Attributes:
        field: name of its part.
        name: of the file as it was sent; text for people, never a path to open.
        data: its content.
        folder: the part of the name before that, as for a file of a folder: text, too.
    """

    field: str
    name: str
    data: bytes
    folder: str = ""


@dataclass(frozen=True)
class Body:
    """Holds the content of a request: files and fields of a form, or JSON."""

    files: tuple[Upload, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    json: Any = None

    def value(self, name: str, default: str = "") -> str:
        """Return a field of a form, by its name in any case."""
        return next((value for key, value in self.fields.items() if key.lower() == name), default)


class _InMemory(MultiPartParser):
    """Keeps parts in memory; their total size is limited before they are read."""

    spool_max_size = 2**31
    unfinished = True

    def on_end(self) -> None:
        """Record that the last boundary was read."""
        self.unfinished = False

    def close(self) -> None:
        """Close all parts, also one that had no end."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_body(request: Request, config: ServeConfig) -> Body:
    """Read the content of a request.

    Raises:
        ProblemError: it is malformed, of another kind, or too much.
    """
    kind, _ = parse_options_header(request.headers.get("content-type", ""))
    try:
        if kind == b"multipart/form-data":
            return await _form(request, config)
        data = await request.body()
    except ClientDisconnect:
        raise ProblemError("bad-request", "the body ended before its end") from None
    if kind == b"application/x-www-form-urlencoded":
        return Body(fields=_pairs(data))
    if kind == b"application/json" or kind.endswith(b"+json"):
        return Body(json=_json(data))
    if kind.startswith(b"image/") or kind == b"application/octet-stream":
        return Body((Upload("photo", "<body>", data),))
    if not data:
        return Body()
    raise ProblemError(
        "wrong-type",
        "expected multipart/form-data, application/json, image/* or application/octet-stream, got "
        f"{kind.decode('ascii', 'replace')[:60] or 'a body without Content-Type'}",
    )


async def read_json(request: Request, config: ServeConfig) -> dict[str, Any]:
    """Read a JSON object; no body counts as an empty one.

    Raises:
        ProblemError: it is none.
    """
    body = await read_body(request, config)
    if body.files or body.fields:
        raise ProblemError("wrong-type", "expected application/json")
    content = {} if body.json is None else body.json
    if not isinstance(content, dict):
        raise ProblemError("bad-request", f"expected a JSON object, got {type(content).__name__}")
    return content


def from_base64(text: Any, config: ServeConfig, what: str) -> Upload:
    """Decode a picture in JSON; an address or a path is not opened.

    Raises:
        ProblemError: it is no base64.
    """
    if not isinstance(text, str):
        raise ProblemError("bad-request", f"{what}: expected base64, got {type(text).__name__}")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ProblemError(
            "bad-request", f"{what}: expected base64; addresses and paths are not opened"
        ) from None
    return Upload(what, "<base64>", data)


async def _form(request: Request, config: ServeConfig) -> Body:
    parser = _InMemory(
        request.headers,
        _chunks(request),
        max_files=config.max_photos,
        max_fields=_MOST_FIELDS,
        max_part_size=_LONGEST_FIELD,
    )
    files, fields = [], {}
    try:
        form = await parser.parse()
        if parser.unfinished:
            raise ProblemError("bad-request", "the form ends before its end")
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                sent = value.filename
                files.append(Upload(name, shown_name(sent), await value.read(), folder_name(sent)))
            else:
                fields[name] = value
    except MultiPartException as error:
        raise ProblemError("bad-request", f"the form cannot be read: {error.message}") from None
    except (UnicodeDecodeError, ValueError, AssertionError) as error:
        raise ProblemError("bad-request", f"the form cannot be read: {type(error).__name__}") from None
    finally:
        parser.close()
    return Body(tuple(files), fields)


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    async for chunk in request.stream():
        yield chunk


def shown_name(name: str | None) -> str:
    """Return the last part of a file's name, without characters that act on a screen."""
    last = (name or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(letter for letter in last if letter.isprintable())[:_LONGEST_NAME].strip()
    return shown or "<unnamed>"


def folder_name(name: str | None) -> str:
    """Return the folder in a file's name, "" if it has none."""
    return (name or "").replace("\\", "/").rstrip("/").rpartition("/")[0].rpartition("/")[2]


def _pairs(data: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise ProblemError("bad-request", "the form cannot be read") from None


def _json(data: bytes) -> Any:
    if not data:
        return None
    depth = deepest = 0
    for byte in data if data.count(b"[") + data.count(b"{") > _DEEPEST else b"":
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
        if deepest > _DEEPEST * 5:
            raise ProblemError("bad-request", "JSON: brackets are nested too deep")
    try:
        return json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ProblemError("bad-request", f"JSON: {error}"[:200]) from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
