"""Check permissions: the key of a request, and how many requests it may make."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

from enroll.serve.keys import Key, is_uuid
from enroll.serve.limits import Buckets, retry_after
from enroll.serve.problems import ProblemError

if TYPE_CHECKING:
    from enroll.serve.config import ServeConfig
    from enroll.serve.keys import KeyFile

_WRONG_PER_MINUTE = 10  # keys that an address may try; each takes a good part of a second of argon2
_ALL_WRONG_PER_MINUTE = 120  # by all addresses together, as an attacker may have many
_SAYS = re.compile(r"[\x21-\x7e]{1,64}")


@dataclass(frozen=True)
class Caller:
    """Holds who makes a request.

    Attributes:
        key: name of the key, "" without one.
        address: of the client.
    """

    key: str
    address: str

    @property
    def journal(self) -> str:
        """The name for the gallery's audit log, without address or person."""
        return f"key {self.key}" if self.key else "this machine"


class Access:
    """Recognizes keys, and counts the requests of each."""

    def __init__(self, config: ServeConfig, keys: KeyFile) -> None:
        self._needed, self._keys = config.needs_key, keys
        self._asked = Buckets(config.per_minute)
        self._wrong, self._all_wrong = Buckets(_WRONG_PER_MINUTE), Buckets(_ALL_WRONG_PER_MINUTE)

    async def caller(
        self,
        request: Request,
        given: str | None,
        scope: str,
        run: Callable[..., Awaitable[object]],
    ) -> Caller:
        """Identify the caller of a request, and check that they may make it.

        Args:
            request: the request.
            given: the key as it was sent, None if there is none.
            scope: the scope that the request needs.
            run: runs a function in a thread; recognizing a key takes time.

        Raises:
            ProblemError: no key, a wrong one, one that does not allow it, or too many requests.
        """
        address = request.client.host if request.client else ""
        known = await self._known(given, address, run) if given else None
        if known is None and self._needed:
            if given:
                raise ProblemError("wrong-key", "the key that was sent is not known here, or was revoked")
            raise ProblemError(
                "no-key", "this server answers nobody without a key", {"WWW-Authenticate": "Bearer"}
            )
        caller = Caller(known or "", address)
        if wait := self._asked.take(known or address):
            raise ProblemError("too-many", "more requests than a minute allows", retry_after(wait))
        if known is not None and self._needed and not self._scope_of(known, scope):
            raise ProblemError("not-allowed", f"the key {known} does not allow it", scope=scope)
        request.state.caller = caller
        return caller

    def check(self, caller: Caller, scope: str) -> None:
        """Check a scope beyond that of the route, for a request that needs more.

        Args:
            caller: who makes the request.
            scope: the scope that it needs.

        Raises:
            ProblemError: the caller's key does not allow it.
        """
        if self._needed and not self._scope_of(caller.key, scope):
            raise ProblemError("not-allowed", f"the key {caller.key} does not allow it", scope=scope)

    async def may_try(self, request: Request) -> None:
        """Refuse an address that has tried too many keys, before its body is read.

        Raises:
            ProblemError: it has tried too many.
        """
        if wait := self._wrong.wait(request.client.host if request.client else ""):
            raise _too_many_keys(wait)

    async def _known(self, given: str, address: str, run: Callable[..., Awaitable[object]]) -> str | None:
        """Return the name of a key, None if it is not known.

        A try is counted before it is made, and given back if the key is right; otherwise many at once would
        be free. Where no key is needed, a key that cannot be tried any more counts as none.
        """
        if (known := self._keys.remembered(given)) is not None:
            return known.name or None
        if not self._keys.listed() and not self._needed:
            return None
        if wait := self._pay(address):
            if self._needed:
                raise _too_many_keys(wait)
            return None
        if not is_uuid(given):
            return None
        found = await run(self._keys.find, given)
        if not isinstance(found, Key):
            return None
        self._wrong.give(address)
        self._all_wrong.give("")
        return found.name

    def _pay(self, address: str) -> float:
        """Count a try, and return the seconds until the next one is allowed, 0 if this one is."""
        wait = self._wrong.take(address)
        if wait or not (wait := self._all_wrong.take("")):
            return wait
        self._wrong.give(address)
        return wait

    def _scope_of(self, name: str, scope: str) -> bool:
        return any(key.name == name and key.allows(scope) for key in self._keys.listed())


def _too_many_keys(wait: float) -> ProblemError:
    return ProblemError("too-many", "too many keys that are not known", retry_after(wait))


def key_of(request: Request) -> str | None:
    """Return the key in a request's headers, None without one.

    Never from its address, which is logged.
    """
    given = request.headers.get("x-api-key")
    if given is None and (bearer := request.headers.get("authorization", "")).lower().startswith("bearer "):
        given = bearer[len("bearer ") :]
    given = (given or "").strip()
    return given if _SAYS.fullmatch(given) else ("?" if given else None)
