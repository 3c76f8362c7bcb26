"""Answers as bytes with their length, never in chunks: old clients read no others."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from enroll.serve.problems import MEDIA_TYPE, ProblemError


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON, pure ASCII as everywhere."""
    return Response(json.dumps(content, allow_nan=False), status, headers, "application/json")


def problem_response(problem: ProblemError, request_id: str) -> Response:
    """Return a problem as RFC 9457 has it."""
    body = json.dumps(problem.to_dict(request_id), allow_nan=False)
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)
