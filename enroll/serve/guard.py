"""Check every request first: its id, host and origin, size and time; and log it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders

from enroll.serve.config import is_loopback
from enroll.serve.limits import retry_after
from enroll.serve.problems import ProblemError, problem_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from enroll.serve.config import ServeConfig
    from enroll.serve.metrics import Metrics

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_ADDRESS = 4096  # bytes of path and query
_BODIES = 8  # of the largest size that are in memory at once

# Nothing from elsewhere, no script but the page's own files, and no other page around it.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Content-Security-Policy": CONTENT_POLICY,
}

_log = logging.getLogger(__name__)


class _HeldBytes:
    """Counts the bytes of a body that are in memory."""

    bytes = 0


class Guard:
    """The ASGI application around ours, which checks, limits and logs requests."""

    def __init__(
        self,
        app: ASGIApp,
        config: ServeConfig,
        metrics: Metrics,
        shape: Callable[[str, ProblemError, str], Response],
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            config: of the server.
            metrics: counts requests.
            shape: builds the response for a problem at a path, with the id of the request.
        """
        self._app, self._config, self._metrics, self._shape = app, config, metrics, shape
        self._held = 0  # bytes of the bodies of all requests that are being answered
        self._origins = {origin.lower().rstrip("/") for origin in config.origins}
        self._hosts = {host.lower() for host in config.hosts} | {config.host.lower().strip("[]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status = time.perf_counter(), 0
        origin = headers.get("origin", "").lower()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._decorate(MutableHeaders(raw=message.setdefault("headers", [])), request_id, origin)
            await send(message)

        held = _HeldBytes()
        try:
            problem = self._refused(scope, headers)
            if problem is not None:
                await self._send(scope, problem, answer)
            elif scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
                await _preflight(answer)
            else:
                await self._app(_with_slashes(scope), self._bounded(held, headers, receive), answer)
        except Exception as error:
            if status:
                _log.error("a bug, with the answer begun", exc_info=error)
                raise
            await self._send(scope, problem_of(error), answer)
        finally:
            self._held -= held.bytes
            self._note(scope, request_id, status, time.perf_counter() - begun)

    def _refused(self, scope: Scope, headers: Headers) -> ProblemError | None:
        """Return why a request is refused before any of it is read, or None."""
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _LONGEST_ADDRESS:
            return ProblemError(
                "long-address", f"expected at most {_LONGEST_ADDRESS} bytes of path and query"
            )
        if b"%00" in (scope.get("raw_path") or b""):
            return ProblemError("bad-request", "the path holds a NUL")
        if not self._is_ours(headers.getlist("host"), scope):
            return ProblemError("foreign-host", "the Host header names another server")
        origin = headers.get("origin", "")
        if origin and not self._may_call(origin, headers.get("host", "")):
            return ProblemError("foreign-origin", "the Origin header names another site")
        foreign = headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
        followed = headers.get("sec-fetch-mode", "") == "navigate" and scope["method"] == "GET"
        if foreign and not origin and not followed:  # a picture or form of another page, no link to this one
            return ProblemError("foreign-origin", "the browser says that another site's page sends this")
        if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            return ProblemError("wrong-type", "Content-Encoding: expected a body as it is, not compressed")
        return self._wrong_length(headers)

    def _wrong_length(self, headers: Headers) -> ProblemError | None:
        lengths = headers.getlist("content-length")
        if not lengths:
            return None  # chunked: counted as it comes; or there is none
        if len(set(lengths)) > 1 or not lengths[0].isascii() or not lengths[0].isdigit():
            return ProblemError("bad-request", "Content-Length is no number")
        if len(lengths[0]) > 18 or int(lengths[0]) > self._config.max_upload:
            return self._too_large()
        return None

    def _too_large(self) -> ProblemError:
        return ProblemError(
            "too-large",
            f"the body has more than {self._config.max_upload / 2**20:.3g} MiB",
            {"Connection": "close"},
        )

    def _is_ours(self, hosts: list[str], scope: Scope) -> bool:
        """Return whether a Host header is one of our names, which protects from DNS rebinding."""
        if len(hosts) != 1:
            return False
        name = host_name(hosts[0])
        if name is None:
            return False
        if name in self._hosts:
            return True
        if is_loopback(name):  # the socket the request came in by has it, or it goes through a proxy here
            return True
        server = scope.get("server") or ("", 0)
        return not is_loopback(self._config.host) and name == server[0]

    def _may_call(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        if parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower():
            return True
        return origin.lower().rstrip("/") in self._origins

    def _bounded(self, held: _HeldBytes, headers: Headers, receive: Receive) -> Receive:
        """Limit the bytes of a body, those of all bodies together, and the time it takes."""
        done = "content-length" not in headers and "transfer-encoding" not in headers
        end = time.monotonic() + self._config.upload_seconds

        async def bounded() -> Message:
            nonlocal done
            if done:  # the next message says that the client has gone
                return await receive()
            left = end - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.001))
            except TimeoutError:
                problem = f"more than {self._config.upload_seconds:g} seconds for one request"
                raise ProblemError("slow-request", problem, {"Connection": "close"}) from None
            more = len(message.get("body", b""))
            held.bytes += more
            self._held += more
            done = not message.get("more_body", False)
            if held.bytes > self._config.max_upload:
                raise self._too_large()
            if self._held > _BODIES * self._config.max_upload:
                raise ProblemError("busy", "too many large requests at once", retry_after(1))
            return message

        return bounded

    async def _send(self, scope: Scope, problem: ProblemError, send: Send) -> None:
        response = self._shape(scope["path"], problem, scope["state"]["request_id"])
        await response(scope, _no_message, send)

    def _decorate(self, headers: MutableHeaders, request_id: str, origin: str) -> None:
        headers["X-Request-ID"] = request_id
        headers.setdefault("Cache-Control", "no-store")
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers.add_vary_header("Origin")
        if origin and origin.rstrip("/") in self._origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
            headers["Access-Control-Allow-Headers"] = "X-API-Key, Authorization, Content-Type, X-Request-ID"
            headers["Access-Control-Max-Age"] = "600"
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        """Count and log a request by its route, which has no names in it."""
        route = getattr(scope.get("route"), "path", "(none)")
        caller = scope["state"].get("caller")
        self._metrics.request(route, scope["method"], status, seconds)
        facts = {
            "request_id": request_id,
            "method": scope["method"] if scope["method"].isalpha() else "?",
            "route": route,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
            "key": caller.key if caller else "",
        }
        _log.info("request", extra={"facts": facts})


def host_name(host: str) -> str | None:
    """Return the name of a Host header without its port, None if it is none."""
    try:
        parts = urlsplit(f"//{host.strip()}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in host or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def _with_slashes(scope: Scope) -> Scope:
    """Replace each slash that is part of a name by a NUL, so that it does not split the path."""
    raw = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return scope
    path = unquote(re.sub(rb"(?i)%2f", b"%00", raw).decode("ascii", "replace"))
    scope["path"] = path  # the same dictionary: the router notes in it which route it took
    return scope


async def _no_message() -> Message:
    return {"type": "http.disconnect"}


async def _preflight(send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def request_id_of(request: Request) -> str:
    """Return the id that `Guard` gave a request."""
    return str(getattr(request.state, "request_id", ""))
