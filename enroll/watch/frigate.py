"""Use two routes of Frigate: the snapshot of an event, and its sub label.

Only the given address is contacted: no proxy, no redirect, and the id of an event cannot lead out
of its path.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO

from embedder.config.faces import limits_in_force
from embedder.errors import UsageError
from enroll.watch.messages import sub_label_body
from enroll.watch.trust import tls_context

_SECONDS = 10.0  # until Frigate must have answered
# Without Frigate's drawings, and cropped to the person, so that others are not in it.
_SNAPSHOT = "snapshot.jpg?bbox=0&timestamp=0&crop=1&quality=95"


class FrigateError(Exception):
    """Raised when Frigate does not do what was asked.

    Attributes:
        gone: whether it knows no such event, or has no snapshot of it, so that asking again is of no use.
    """

    def __init__(self, message: str, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Follow none: it could lead anywhere."""


class Frigate:
    """Connects to a Frigate server.

    Example:
        >>> Frigate("http://127.0.0.1:5000/").address  # nothing is asked yet
        'http://127.0.0.1:5000'
    """

    def __init__(self, address: str, token: str | None = None, ca: Path | None = None) -> None:
        """Check the address; nothing is requested yet.

        Args:
            address: http:// or https://, host, port, and the path it is at, if any.
            token: of Frigate's own sign-in, sent as a bearer token.
            ca: PEM file of the authority that signed its certificate; None uses the system's.

        Raises:
            UsageError: the address is none, holds a password, or the file is no certificate.
        """
        try:
            parts = urllib.parse.urlsplit(address)
            usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            usable = False
        if not usable or parts.query or parts.fragment:
            raise UsageError("FRIGATE: expected an address such as http://127.0.0.1:5000, got something else")
        if parts.username or parts.password:
            raise UsageError(
                "FRIGATE: expected no user and password in the address; --token-file is for that"
            )
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise UsageError("the token of Frigate: expected one line of letters and digits")
        self.address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            context = tls_context(ca)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{ca}: expected a certificate in PEM, {error}") from error
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
        )

    def snapshot(self, event: str) -> bytes:
        """Fetch the current snapshot of an event, a JPEG.

        Raises:
            FrigateError: there is none, it is too large, or Frigate does not answer.
        """
        most = limits_in_force().max_bytes
        data = self._ask(f"/api/events/{_quoted(event)}/{_SNAPSHOT}", None, most + 1)
        if len(data) > most:
            raise FrigateError(f"the snapshot of {event} has more than {most / 2**20:g} MiB", gone=True)
        return data

    def set_sub_label(self, event: str, name: str, score: float) -> None:
        """Set the name of an event.

        Args:
            event: its id.
            name: the sub label; at most 100 characters of it are used.
            score: 0 to 1.

        Raises:
            FrigateError: Frigate does not take it, or does not answer.
        """
        self._ask(f"/api/events/{_quoted(event)}/sub_label", sub_label_body(name, score), 65_536)

    def _ask(self, path: str, body: bytes | None, most: int) -> bytes:
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        request = urllib.request.Request(self.address + path, body, headers)
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                return bytes(answer.read(most))
        except urllib.error.HTTPError as error:
            error.close()
            if 300 <= error.code < 400:
                raise FrigateError(
                    f"answers with a redirect ({error.code}), which is not followed", True
                ) from None
            denied = "; --token-file gives a token" if error.code in (401, 403) else ""
            raise FrigateError(
                f"{path.partition('?')[0]}: answers {error.code}{denied}", 400 <= error.code < 500
            ) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise FrigateError(f"does not answer: {reason}") from None


def _quoted(event: str) -> str:
    return urllib.parse.quote(event, safe="")
