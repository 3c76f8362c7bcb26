"""Build responses with a stated length, never in chunks, which old clients cannot read."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from enroll.serve.problems import MEDIA_TYPE, ProblemError


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Build a JSON response, pure ASCII."""
    return Response(json.dumps(content, allow_nan=False), status, headers, "application/json")


def problem_response(problem: ProblemError, request_id: str) -> Response:
    """Build the response for a problem, by RFC 9457."""
    body = json.dumps(problem.to_dict(request_id), allow_nan=False)
    return Response(body, problem.status, problem.headers, MEDIA_TYPE)
