"""Run the application by uvicorn: one process or several, until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from embedder.errors import UsageError
from enroll.serve.config import ENVIRONMENT, SHARED, ServeConfig
from enroll.serve.logs import log_to_stderr
from enroll.serve.metrics import SHARED as SHARED_METRICS

if TYPE_CHECKING:
    from fastapi import FastAPI

_HEADERS_SECONDS = 10.0  # within which the head of a request has to be there
_LONGEST_HEAD = 32 * 2**10  # bytes
_CONNECTIONS = 500  # at a time; each may hold a request of `max_upload`
_BACKLOG = 2048  # connections that wait to be taken
_LEAVE_SECONDS = 60  # for requests in flight, after Ctrl-C


class Patient(H11Protocol):
    """HTTP/1.1 with a time limit for the head of a request: a slow client would hold its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit."""
        self.access_log = False  # uvicorn's own has the names of people in it
        super().connection_made(transport)
        self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(_HEADERS_SECONDS, self._close_late)

    def _close_late(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()

    def on_response_complete(self) -> None:
        """Start the time limit for the next request."""
        super().on_response_complete()
        self._late.cancel()
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self._late.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """Tells the application that it is about to end, so that streams of events end at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        app: Any = self.config.loaded_app
        while not hasattr(app, "state") and hasattr(app, "app"):
            app = app.app
        if (services := getattr(getattr(app, "state", None), "services", None)) is not None:
            services.engine.stopping.set()
        super().handle_exit(sig, frame)


def uvicorn_config(app: FastAPI | str, config: ServeConfig, factory: bool = False) -> uvicorn.Config:
    """Return the options of uvicorn for an application.

    Args:
        app: the application, or its import name.
        config: of the server.
        factory: whether `app` is a function that returns the application.
    """
    return uvicorn.Config(
        app,
        config.host,
        config.port,
        http=Patient,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,  # its lines have names in them; those of `Guard` have not
        proxy_headers=False,  # the sender may be anyone
        server_header=False,
        factory=factory,
        ssl_certfile=config.certificate or None,
        ssl_keyfile=config.private_key or None,
        workers=config.workers,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        timeout_graceful_shutdown=_LEAVE_SECONDS,
    )


def bind(config: ServeConfig) -> socket.socket:
    """Bind a socket to the address of a server.

    Raises:
        UsageError: it is taken, or not ours.
    """
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"--host {config.host}: no address of this machine: {error.strerror}") from error
    try:
        if os.name != "nt":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((config.host, config.port))
        listening.listen(_BACKLOG)  # requests before the model is loaded wait
    except OSError as error:
        listening.close()
        raise UsageError(
            f"--port {config.port}: cannot be taken on {config.host}: {error.strerror}; give another one"
        ) from error
    listening.set_inheritable(True)
    return listening


def serve(config: ServeConfig, ready: Callable[[str], None] = lambda address: None) -> None:
    """Serve until Ctrl-C; requests that are running are answered.

    Args:
        config: of the server.
        ready: called with the address of the page, when the socket is bound.

    Raises:
        UsageError: the address cannot be taken.
        EmbedError: the model cannot be loaded, or the gallery not be opened.
    """
    listening = bind(config)
    try:
        host, port = listening.getsockname()[:2]
        ready(f"http{'s' if config.certificate else ''}://{f'[{host}]' if ':' in host else host}:{port}/")
        if config.workers > 1:
            _serve_by_many(config, listening)
            return
        log_to_stderr()
        app = _load(config)
        Server(uvicorn_config(app, config)).run(sockets=[listening])
    finally:
        listening.close()


def _load(config: ServeConfig) -> FastAPI:
    """Load the model and the gallery while the web framework is imported: each takes a share of a second.

    Raises:
        EmbedError: the model cannot be loaded, or the gallery not be opened.
    """
    from enroll.serve.engine import Engine

    engine = Engine(config)
    gc.disable()  # what is imported stays: going through it again and again takes a tenth of the time
    try:
        with ThreadPoolExecutor(1) as loader:
            loading = loader.submit(engine.start)
            _import_fastapi()
            from enroll.serve.app import build_app

            app = build_app(config, engine)
            loading.result()
    finally:
        gc.freeze()
        gc.enable()
    return app


def _import_fastapi() -> None:
    """Import FastAPI; pydantic builds its models, those of the OpenAPI document, at their first use."""
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True
    try:
        import_module("fastapi")
    finally:
        del BaseModel.model_config["defer_build"]


def _serve_by_many(config: ServeConfig, listening: socket.socket) -> None:
    with tempfile.TemporaryDirectory(prefix="embed-serve-") as shared:
        os.environ |= {ENVIRONMENT: config.to_json(), SHARED: shared, SHARED_METRICS: shared}
        log_to_stderr()
        options = uvicorn_config("enroll.serve.server:application", config, factory=True)
        Multiprocess(options, sockets=[listening]).run()


def application() -> FastAPI:
    """Build the application of one of several processes."""
    _import_fastapi()
    from enroll.serve.app import from_environment

    log_to_stderr()
    return from_environment()
