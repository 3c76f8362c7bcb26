"""Build the ASGI application, for `embed serve` and for other servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from enroll.serve import api, compreface, deepstack, library_api, manage, operations, page, reference
from enroll.serve.access import Access
from enroll.serve.answers import problem_response
from enroll.serve.config import ServeConfig, beside_gallery, key_file, shared_folder
from enroll.serve.engine import Engine
from enroll.serve.guard import Guard, request_id_of
from enroll.serve.jobs import Jobs
from enroll.serve.keys import KeyFile
from enroll.serve.library import Reviewing
from enroll.serve.metrics import Metrics
from enroll.serve.people import People
from enroll.serve.pictures import PictureFolder
from enroll.serve.problems import ProblemError, problem_of
from enroll.serve.services import Services

if TYPE_CHECKING:
    from embedder.extractor import Extractor

_log = logging.getLogger(__name__)

_ABOUT = """Say who is in a picture: a name, or *unknown*, with a stated error rate.

Enroll people with a few pictures each, then send pictures to `/api/v1/identify`. Every answer has the
distance to the nearest enrolled photo and the threshold; `/api/v1/calibration` says what the threshold
promises.

On this machine alone no key is needed. Elsewhere send one as `X-API-Key`, or as `Authorization: Bearer KEY`.
Errors are `application/problem+json` (RFC 9457): what is wrong, and what to do.
"""
_TAGS = [
    {"name": "identify", "description": "Who is in a picture."},
    {"name": "people", "description": "Who is enrolled."},
    {"name": "photos", "description": "Enrolled photos."},
    {"name": "library", "description": "The faces of a photo library that was scanned: who they are."},
    {"name": "gallery", "description": "The gallery as a whole, and the network."},
    {"name": "jobs", "description": "What takes long."},
    {"name": "operations", "description": "For whoever operates the server."},
]


def create_app(config: ServeConfig | None = None, extractor: Extractor | None = None) -> FastAPI:
    """Build the ASGI application; the model is loaded when it starts.

    Args:
        config: the options; None: the defaults. Its `host` decides whether a key is needed, so give the one
            that your server listens on.
        extractor: the model, if it is loaded already.

    Raises:
        MissingPackageError: FastAPI or another package of `embedder-enroll[serve]` is missing.

    Example:
        >>> app = create_app(ServeConfig(gallery="gallery.db"))  # hypercorn module:app
    """
    config = config or ServeConfig()
    return build_app(config, Engine(config, extractor))


def build_app(config: ServeConfig, engine: Engine) -> FastAPI:
    """Make the ASGI application around an engine, which may have started already."""
    keys = KeyFile(key_file(config))
    metrics = Metrics()
    folder = Path(config.photos) if config.photos else beside_gallery(config, ".photos")
    people = People(engine, PictureFolder(folder) if config.keep_photos else None, metrics)
    access = Access(config, keys)
    jobs = Jobs(config.gallery, shared_folder())
    services = Services(config, engine, access, metrics, people, jobs, Reviewing(engine, access))
    app = FastAPI(
        title="embed",
        summary="Identify people in pictures.",
        description=_ABOUT,
        version=_version(),
        openapi_tags=_TAGS,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=_running(services),
    )
    app.state.services = services
    app.include_router(api.router)
    app.include_router(manage.router)
    app.include_router(library_api.router)
    app.include_router(operations.router)
    app.include_router(page.router)
    app.include_router(reference.router)
    if "compreface" in config.dialects:
        for router in compreface.routers:
            app.include_router(router)
    if "deepstack" in config.dialects:
        app.include_router(deepstack.router)
    _answer_errors(app)
    app.add_middleware(Guard, config=config, metrics=metrics, shape=_shaped)
    return app


def from_environment() -> FastAPI:
    """Build the application in a process of `embed serve --workers`."""
    import os

    from enroll.serve.config import ENVIRONMENT

    return create_app(ServeConfig.from_json(os.environ[ENVIRONMENT]))


def _running(services: Services) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(services.engine.start)
        tidying = asyncio.create_task(services.engine.run(services.people.tidy))
        try:
            yield
        finally:
            services.engine.stopping.set()
            with suppress(ProblemError):
                await tidying
            await anyio.to_thread.run_sync(services.jobs.close)
            await anyio.to_thread.run_sync(services.engine.close)

    return running


def _answer_errors(app: FastAPI) -> None:
    """Answer every error in the format of the caller's dialect."""

    def answer(request: Request, problem: ProblemError) -> Response:
        return _shaped(request.url.path, problem, request_id_of(request))

    async def ours(request: Request, error: Exception) -> Response:
        return answer(request, problem_of(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"where": ".".join(map(str, entry["loc"])), "reason": entry["msg"]} for entry in error.errors()
        ]
        first = errors[0] if errors else {"where": "", "reason": "not as expected"}
        return answer(
            request, ProblemError("bad-request", f"{first['where']}: {first['reason']}", errors=errors)
        )

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kinds = {404: "not-found", 405: "wrong-method"}
        kind = kinds.get(error.status_code, "bad-request")
        detail = {404: "no route of that address", 405: f"{request.method} is not for this route"}
        problem = ProblemError(kind, detail.get(error.status_code, str(error.detail)), error.headers)
        return answer(request, problem)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ProblemError, ours)
    from embedder.errors import EmbedError

    app.add_exception_handler(EmbedError, ours)


def _shaped(path: str, problem: ProblemError, request_id: str) -> Response:
    """Return the response for a problem in the dialect of the path."""
    if path.startswith(compreface.PATHS):
        return compreface.error_of(problem)
    if path.startswith(deepstack.PATHS):
        return deepstack.error_of(problem)
    return problem_response(problem, request_id)


def _version() -> str:
    try:
        return version("embedder-enroll")
    except PackageNotFoundError:  # run from a copy of the source
        return "0"
