"""Describe errors by RFC 9457: what is wrong, in words, and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from embedder.errors import (
    EmbedError,
    ForeignModelError,
    GalleryError,
    ImageError,
    MissingPackageError,
    ModelError,
    PhotoConflictError,
    UnknownIdentityError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"

# Kind -> HTTP status, title, what to do.
KINDS: dict[str, tuple[int, str, str]] = {
    "bad-request": (400, "The request is not as expected", "Correct what the detail names; see /docs."),
    "no-key": (401, "A key is required", "Send one as X-API-Key; `embed serve keys new` makes it."),
    "wrong-key": (401, "The key is not known", "Check it, or have a new one made: `embed serve keys new`."),
    "not-allowed": (403, "The key does not allow this", "Use one whose scope does: {scope}."),
    "foreign-origin": (403, "Another site's page may not call this server", "Start it with --origin ORIGIN."),
    "foreign-host": (421, "The server is not known by this name", "Start it with --allow-host NAME."),
    "not-found": (404, "There is no such thing", "Look at what there is: /docs lists all routes."),
    "unknown-person": (404, "No one of that name is enrolled", "GET /api/v1/people lists who is."),
    "unknown-photo": (404, "There is no such photo", "GET /api/v1/people/NAME/photos lists those there are."),
    "unknown-face": (404, "There is no such face", "GET /api/v1/library lists what there is."),
    "gone-photo": (
        404,
        "The photo cannot be shown",
        "Connect its disk, or scan again where it lies now: `embed library scan FOLDER`.",
    ),
    "wrong-method": (405, "The route does not do that", "See /docs for what it does."),
    "slow-request": (408, "The request did not arrive in time", "Send it at once, or smaller pictures."),
    "conflict": (409, "It contradicts what is there", "Look at what is there, then decide."),
    "no-length": (411, "The length of the body is not known", "Send Content-Length."),
    "too-large": (413, "The request is too large", "Send fewer or smaller pictures."),
    "long-address": (414, "The address is too long", "Send a shorter one."),
    "wrong-type": (415, "The body is not of a kind that is read", "Send multipart/form-data or a picture."),
    "unusable": (422, "It cannot be used", "Send another picture, or correct what the detail names."),
    "too-many": (429, "Too many requests", "Wait as long as Retry-After says."),
    "bug": (500, "Something went wrong here", "The operator finds the reason in the log, by request_id."),
    "not-ready": (503, "The server is not ready", "/readyz says why; try again when it is."),
    "busy": (503, "Too many requests wait already", "Try again after as long as Retry-After says."),
    "foreign-model": (
        503,
        "The gallery was made with another model",
        "Start the server with that model, or POST /api/v1/jobs/re-embed makes it again with this one.",
    ),
    "too-slow": (503, "There was no time for it", "Send fewer pictures, or use a job."),
}

_log = logging.getLogger(__name__)


class ProblemError(Exception):
    """Raised for a request that is refused.

    Attributes:
        kind: key of `KINDS`.
        status: of HTTP.
        detail: what is wrong with this request.
        more: further members, such as `errors`.
        headers: of the response.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        scope: str = "",
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.more = kind, detail, more
        self.status, self.title, advice = KINDS[kind]
        self.advice = advice.replace("{scope}", scope)
        self.headers = dict(headers or {})

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """Convert to a dict for JSON, with the id of the request."""
        return {
            "type": f"/problems/{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "advice": self.advice,
            "request_id": request_id,
            **self.more,
        }


def problem_of(error: Exception, hidden: str = "") -> ProblemError:
    """Convert an error to a problem.

    One that is not ours is a bug, and is logged with its traceback.

    Args:
        error: the exception.
        hidden: path of the gallery, which is left out of the message.
    """
    if isinstance(error, ProblemError):
        return error
    said = _without(str(error), hidden)
    if isinstance(error, PhotoConflictError):
        return ProblemError("conflict", error.reason)
    if isinstance(error, ImageError):
        return ProblemError("unusable", error.reason)
    if isinstance(error, UnknownIdentityError):
        return ProblemError("unknown-person", said.partition("; see `embed")[0])
    if isinstance(error, ForeignModelError):
        return ProblemError("foreign-model", "its vectors and those of this model cannot be compared")
    if isinstance(error, GalleryError | ModelError | MissingPackageError):
        _log.error("the gallery or the model cannot be used: %s", error)  # with the path, which is not sent
        return ProblemError("not-ready", "the gallery or the model cannot be used; the log says why")
    if isinstance(error, UsageError):
        return ProblemError("bad-request", said)
    if isinstance(error, EmbedError):
        return ProblemError("unusable", said)
    _log.error("a bug", exc_info=error)
    return ProblemError("bug", "the request is refused; nothing else is")


def _without(text: str, hidden: str) -> str:
    """Remove the path of the gallery from a text."""
    if not hidden:
        return text
    return text.removeprefix(f"{hidden}: ").replace(hidden, "the gallery")
