"""Convert what the routes of CompreFace share: queries, errors, faces, ids of images.

An error is `{"message": text, "code": number}`. Query parameters that are empty count as absent, and unknown
ones and unknown plugins are ignored, since clients send both. For similarities see `similarity`.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from embedder.errors import UsageError
from enroll.gallery.gallery import checked_name
from enroll.serve.answers import json_response
from enroll.serve.problems import ProblemError
from enroll.serve.services import services_of
from enroll.serve.similarity import COMPREFACE
from enroll.serve.uploads import Body, Upload, from_base64, read_body

PATHS = ("/api/v1/recognition/", "/api/v1/detection/", "/api/v1/verification/", "/api/v1/static/")
NO_FACE = "No face is found in the given image"

_ID = uuid.UUID("7f1c9a52-0000-4000-8000-000000000000").int  # ours: the low 48 bits are the photo's number
_ROOM = 1 << 48
_PARAMETERS = ("det_prob_threshold", "limit", "prediction_count", "face_plugins", "status", "detect_faces")
# Kind of problem -> status and code of CompreFace.
_CODES = {
    "no-key": (400, 20),
    "wrong-key": (404, 10),
    "unknown-person": (404, 42),
    "unknown-photo": (404, 44),
    "conflict": (400, 43),
    "bad-request": (400, 36),
    "wrong-type": (400, 36),
    "unusable": (400, 0),
    "not-found": (404, 0),
    "wrong-method": (404, 0),
}


class RefusedError(ProblemError):
    """Raised for a problem with a code of CompreFace's own."""

    def __init__(self, code: int, detail: str, status: int = 400) -> None:
        super().__init__("bad-request", detail)
        self.code, self.status = code, status


def error_of(problem: ProblemError) -> Response:
    """Convert a problem to a response of CompreFace."""
    if isinstance(problem, RefusedError):
        status, code = problem.status, problem.code
    else:
        status, code = _CODES.get(problem.kind, (problem.status, 0))
    message = "Missing header: x-api-key" if problem.kind == "no-key" else problem.detail
    return json_response({"message": message, "code": code}, status, problem.headers)


def query_of(request: Request) -> dict[str, str]:
    """Return the parameters that are not empty.

    A second `?` in the place of an `&` counts as one.

    The JavaScript client sends `?subject=Ann?det_prob_threshold=0.8`.
    """
    text = request.url.query
    for name in _PARAMETERS:
        text = text.replace(f"?{name}=", f"&{name}=").replace(f"%3F{name}=", f"&{name}=")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise RefusedError(36, "too many query parameters") from None
    return {name: value for name, value in pairs if value}


def number(query: dict[str, str], name: str, default: int) -> int:
    """Return a whole number from a query, 0 or more."""
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise RefusedError(36, f"{name}: expected a whole number, 0 or more, got {text[:40]!r}")
    return int(text)


def share(query: dict[str, str], name: str) -> float:
    """Return a number from 0 to 1 from a query, 0 if it is absent."""
    text = query.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise RefusedError(26, f"{name}: expected 0 to 1, got {text[:40]!r}")
    return value


def is_true(query: dict[str, str], name: str, default: bool = False) -> bool:
    """Return whether a query switches an option on."""
    return query.get(name, str(default)).lower() in ("true", "1", "yes")


def subject_of(value: Any) -> str:
    """Return the name of a person as it is stored.

    Raises:
        RefusedError: it is none.
    """
    if value is None:
        raise RefusedError(33, "Required request parameter 'subject' is not present")
    if not isinstance(value, str) or not value.strip():
        raise RefusedError(26, "subject: must not be blank")
    try:
        return checked_name(value)
    except UsageError as error:
        raise RefusedError(26, str(error)) from None


def unslashed(name: str) -> str:
    """Return a name from a path, in which `Guard` has put a NUL for each slash of the name itself."""
    return name.replace("\0", "/")


async def picture(request: Request) -> Upload:
    """Return the picture of a request: the part `file`, or base64 in JSON."""
    return one_of(await read_body(request, services_of(request).config), "file", request)


def one_of(body: Body, name: str, request: Request) -> Upload:
    """Return one picture of a body.

    Raises:
        RefusedError: it is not there.
    """
    for upload in body.files:
        if upload.field == name or (len(body.files) == 1 and name == "file"):
            return upload
    if isinstance(body.json, dict) and name in body.json:
        return from_base64(body.json[name], services_of(request).config, name)
    raise RefusedError(34, f"Required part '{name}' is not present.")


def likeness(distance: float, threshold: float) -> float:
    """Return the similarity of two faces, above 0.5 if they are one person's."""
    return COMPREFACE.score(distance, threshold, distance <= threshold)


def image_id(photo: int) -> str:
    """Convert the number of a photo to an id of CompreFace."""
    return str(uuid.UUID(int=_ID + photo % _ROOM))


def number_of(image: str) -> int | None:
    """Return the number of a photo from its id, None if it is not one of our ids."""
    try:
        value = uuid.UUID(image).int
    except ValueError:
        return None
    return value - _ID if 0 < value - _ID < _ROOM else None


def similarity_list(
    names: Sequence[tuple[str, float]], threshold: float, accepted: bool
) -> list[dict[str, Any]]:
    """List people and their similarities, the most similar first.

    Args:
        names: people and their distances, the nearest first.
        threshold: largest distance at which a name is given.
        accepted: whether the first one's name is given.
    """
    return [
        {
            "subject": name,
            "similarity": COMPREFACE.score(distance, threshold, accepted and distance <= threshold),
        }
        for name, distance in names
    ]
