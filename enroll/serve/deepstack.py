"""Serve the routes of DeepStack and CodeProject.AI, which cameras and Blue Iris use.

Both return a name and a confidence for each face, `unknown` and 0 for a stranger. Every answer has the keys
of both; a picture that was processed is answered with 200. For confidences see `similarity`.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from embedder.errors import UnknownIdentityError
from enroll.config import IdentifyConfig
from enroll.identify import FaceResult
from enroll.serve.access import Caller, key_of
from enroll.serve.answers import json_response
from enroll.serve.engine import Engine, Options
from enroll.serve.problems import ProblemError
from enroll.serve.services import services_of
from enroll.serve.similarity import DEEPSTACK, box_of
from enroll.serve.uploads import Body, Upload, read_body

PATHS = ("/v1/vision/face",)
NO_FACE = "No face found in image"  # these very words: Double-Take compares them

_MODULE = {"moduleId": "FaceProcessing", "moduleName": "Face Processing", "inferenceDevice": "CPU"}
_KEYS = {"no-key": 401, "wrong-key": 401, "not-allowed": 403}

router = APIRouter(prefix="/v1/vision", include_in_schema=False)


def error_of(problem: ProblemError) -> Response:
    """Convert a problem to a response of DeepStack, whose clients know 400, 401, 403 and 500."""
    status = _KEYS.get(problem.kind, problem.status if problem.status in (404, 413, 429, 503) else 400)
    if problem.kind == "bug":
        status = 500
    error = "Incorrect api key" if status == 401 else problem.detail
    return json_response(_facts(False, status, error=error), status, problem.headers)


@router.post("/face")
@router.post("/face/")
async def detect(request: Request) -> Response:
    """Find the faces of a picture."""
    body, _ = await _allowed(request, "identify")
    least = _least(body, 0.0)
    begun = time.perf_counter()
    found, milliseconds = await _answered(request, _picture(body))
    predictions = [
        {"confidence": sure} | corners
        for face, corners in found
        if (sure := corners.pop("probability")) >= least
    ]
    if not predictions:
        return json_response(_no_face(begun, milliseconds))
    return json_response(_named(predictions, "A face was detected", begun, milliseconds))


@router.post("/face/recognize")
@router.post("/face/recognize/")
async def recognize(request: Request) -> Response:
    """Name the faces of a picture."""
    body, _ = await _allowed(request, "identify")
    least = _least(body, 0.0)
    begun = time.perf_counter()
    found, milliseconds = await _answered(request, _picture(body))
    predictions = []
    for face, corners in found:
        corners.pop("probability")
        decision = face.decision
        sure = (
            DEEPSTACK.score(decision.distance, decision.threshold, True)
            if decision.identity is not None and decision.distance is not None
            else 0.0
        )
        named = decision.identity is not None and sure >= least
        who = {"userid": decision.identity if named else "unknown", "confidence": sure if named else 0}
        predictions.append(who | corners)
    if not predictions:
        return json_response(_no_face(begun, milliseconds))
    return json_response(_named(predictions, "A face was recognised", begun, milliseconds))


@router.post("/face/register")
@router.post("/face/register/")
async def register(request: Request) -> Response:
    """Enroll pictures of a person; they are added to those that are there."""
    body, caller = await _allowed(request, "enroll")
    name = body.value("userid").strip()
    if not name:
        raise ProblemError("bad-request", "userid: expected the name of a person")
    if not body.files:
        raise ProblemError("bad-request", "image: expected one picture or more")
    services, begun = services_of(request), time.perf_counter()
    done = await services.engine.run(services.people.enroll, name, list(body.files), True, None, caller)
    if not done.added and not done.already:
        reason = done.rejected[0][1]
        raise ProblemError("conflict" if done.conflict else "unusable", f"no face detected: {reason}")
    message = "face added" if len(done.added) else "face updated"
    return json_response(_facts(True, 200, begun, message=message))


@router.post("/face/list")
@router.post("/face/list/")
async def list_people(request: Request) -> Response:
    """List who is enrolled."""
    await _allowed(request, "identify")
    services, begun = services_of(request), time.perf_counter()
    people = await services.engine.run(services.people.everyone)
    names = [person.name for person in people]
    return json_response(_facts(True, 200, begun) | {"faces": names, "count": len(names)})


@router.post("/face/delete")
@router.post("/face/delete/")
async def delete(request: Request) -> Response:
    """Erase a person; one who is not there is gone already."""
    body, caller = await _allowed(request, "administer")
    name = body.value("userid").strip()
    if not name:
        raise ProblemError("bad-request", "userid: expected the name of a person")
    services, begun = services_of(request), time.perf_counter()

    def work() -> None:
        try:
            services.people.remove(name, caller)
        except UnknownIdentityError:
            return

    await services.engine.run(work)
    return json_response(_facts(True, 200, begun, message="face deleted"))


@router.post("/face/match")
@router.post("/face/match/")
async def match(request: Request) -> Response:
    """Say how alike the faces of two pictures are."""
    body, _ = await _allowed(request, "identify")
    if len(body.files) != 2:
        raise ProblemError("bad-request", f"expected two pictures, got {len(body.files)}")
    services, begun = services_of(request), time.perf_counter()
    alike = await services.engine.run(_likeness, services.engine, body.files)
    if alike is None:
        return json_response(_facts(False, 200, begun, error="no face found"))
    return json_response(_facts(True, 200, begun) | {"similarity": alike})


async def _allowed(request: Request, scope: str) -> tuple[Body, Caller]:
    """Read the form, which may hold the key, and identify the caller."""
    services = services_of(request)
    given = key_of(request)
    if given is None and services.config.needs_key:
        await services.access.may_try(request)
    body = await read_body(request, services.config)
    given = given or body.value("api_key").strip() or None
    caller = await services.access.caller(request, given, scope, services.engine.run)
    return body, caller


def _picture(body: Body) -> Upload:
    for upload in body.files:
        if upload.field.lower() == "image" or len(body.files) == 1:
            return upload
    raise ProblemError("bad-request", "image: expected a picture in the part `image`")


def _least(body: Body, default: float) -> float:
    text = body.value("min_confidence").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ProblemError("bad-request", f"min_confidence: expected 0 to 1, got {text[:40]!r}")
    return value


async def _answered(
    request: Request, upload: Upload
) -> tuple[list[tuple[FaceResult, dict[str, Any]]], float]:
    """Return the faces of a picture, the place of each, and the milliseconds that took."""
    services, begun = services_of(request), time.perf_counter()
    options = Options(config=IdentifyConfig(keep_pictures=True))
    (answer,), _ = await services.engine.identify([(upload.name, upload.data)], options)
    services.metrics.answers([answer])
    if answer.error is not None or answer.picture is None:
        raise ProblemError("unusable", answer.error or "the picture cannot be read")
    size = answer.picture.shape[0], answer.picture.shape[1]
    found = []
    for face in answer.faces:
        corners = box_of(face.box, face.quality, size)
        found.append((face, corners))
    return found, 1000 * (time.perf_counter() - begun)


def _likeness(engine: Engine, uploads: tuple[Upload, ...]) -> float | None:
    vectors = []
    for upload in uploads:
        _, crops = engine.crops(upload.data, upload.name)
        if not crops:
            return None
        vectors.append(engine.extractor.embed([crops[0].pixels])[0])
    threshold = engine.session().identifier(Options()).threshold
    distance = math.dist(*vectors)
    return DEEPSTACK.score(distance, threshold, distance <= threshold)


def _no_face(begun: float, milliseconds: float) -> dict[str, Any]:
    """Return the answer without a face, which is `success` for one server and these words for the other."""
    return _facts(True, 200, begun, milliseconds) | {"predictions": [], "count": 0, "message": NO_FACE}


def _named(
    predictions: list[dict[str, Any]], message: str, begun: float, milliseconds: float
) -> dict[str, Any]:
    facts = _facts(True, 200, begun, milliseconds, message)
    return facts | {"predictions": predictions, "count": len(predictions)}


def _facts(
    success: bool,
    code: int,
    begun: float | None = None,
    milliseconds: float = 0.0,
    message: str = "",
    error: str | None = None,
) -> dict[str, Any]:
    """Return the keys that all answers have."""
    spent = 0.0 if begun is None else 1000 * (time.perf_counter() - begun)
    facts: dict[str, Any] = {
        "success": success,
        "code": code,
        "message": message or error or "",
        "inferenceMs": round(milliseconds),
        "processMs": round(spent),
        "analysisRoundTripMs": round(spent),
        "duration": 0,
        "timestampUTC": datetime.now(UTC).isoformat(timespec="seconds"),
        **_MODULE,
    }
    return facts | ({"error": error} if error is not None else {})
