"""Serve the routes for operators: whether the process runs, is ready, and its counters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from embedder.errors import EmbedError
from enroll.serve.access import Caller
from enroll.serve.answers import json_response
from enroll.serve.api import PROBLEMS
from enroll.serve.metrics import MEDIA_TYPE
from enroll.serve.problems import KINDS, ProblemError
from enroll.serve.services import needs, services_of

router = APIRouter(tags=["operations"], responses=PROBLEMS)


@router.get("/healthz")
async def is_alive() -> Response:
    """Say that the process lives."""
    return json_response({"status": "ok"})


@router.get("/readyz")
async def is_ready(request: Request) -> Response:
    """Say whether requests can be answered: the model is loaded, and the gallery can be read."""
    engine = services_of(request).engine
    reason = engine.failure
    if reason is None:
        try:
            reason = await engine.run(engine.readiness)
        except ProblemError as problem:
            reason = problem.detail
    if reason is not None:
        return json_response({"status": "not ready", "reason": reason}, 503)
    return json_response({"status": "ok"})


@router.get("/metrics", response_class=Response)
async def metrics(request: Request, caller: Annotated[Caller, Depends(needs("identify"))]) -> Response:
    """Give figures for Prometheus."""
    services = services_of(request)

    def sizes() -> tuple[int, int]:
        try:
            people = services.engine.session().store.identities()
        except EmbedError:
            return 0, 0
        return len(people), sum(photos for _, photos in people)

    text = services.metrics.text(*await services.engine.run(sizes))
    return Response(text, media_type=MEDIA_TYPE)


@router.get("/problems/{kind}")
async def explain_problem(kind: str) -> Response:
    """Say what a kind of error means, and what to do: where `type` of an error leads."""
    if kind not in KINDS:
        raise ProblemError("not-found", f"there is no such kind of error; there are: {', '.join(KINDS)}")
    status, title, advice = KINDS[kind]
    facts: dict[str, Any] = {"kind": kind, "status": status, "title": title, "advice": advice}
    return json_response(facts)
