"""Serve the web page: files of the package, read once.

No request ever names a path on the disk.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from enroll.serve.problems import ProblemError

PAGE = "index.html"
_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

router = APIRouter(include_in_schema=False)


@cache
def static_files() -> dict[str, tuple[bytes, str, str]]:
    """Return the files of the page: name -> content, media type, entity tag."""
    found = {}
    for entry in (files("enroll.serve") / "static").iterdir():
        if (kind := _KINDS.get(entry.name.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            found[entry.name] = content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return found


@router.get("/")
async def page(request: Request) -> Response:
    """Give the page; it holds nothing of the gallery, so it takes no key."""
    return _file(request, PAGE)


@router.get("/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Give a file of the page."""
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    if (found := static_files().get(name)) is None:
        raise ProblemError("not-found", "the page has no such file")
    content, kind, tag = found
    headers = {"ETag": tag, "Cache-Control": "no-cache"}  # a newer server has a newer page
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
