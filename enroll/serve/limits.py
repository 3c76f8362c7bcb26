"""Limit requests by token buckets."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 10_000  # buckets that are kept: the fullest are as good as new


class Buckets:
    """Holds token buckets by name: each holds tokens for a minute, and fills evenly."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = float(per_minute), clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def take(self, name: str, tokens: float = 1.0) -> float:
        """Take tokens if there are enough, and return the seconds until there will be, else 0.

        Args:
            name: of the bucket.
            tokens: number of tokens.
        """
        held = self._now(name)
        if held < tokens:
            return (tokens - held) * 60 / self._most
        self._keep(name, held - tokens)
        return 0.0

    def wait(self, name: str) -> float:
        """Return the seconds until there is a token, 0 if there is one."""
        return max(0.0, (1 - self._now(name)) * 60 / self._most)

    def give(self, name: str) -> None:
        """Give a token back."""
        self._keep(name, min(self._most, self._now(name) + 1))

    def _now(self, name: str) -> float:
        held, since = self._held.get(name, (self._most, 0.0))
        return min(self._most, held + (self._clock() - since) * self._most / 60)

    def _keep(self, name: str, tokens: float) -> None:
        self._held[name] = tokens, self._clock()
        self._held.move_to_end(name)
        while len(self._held) > _MOST:
            self._held.popitem(last=False)


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header Retry-After, in whole seconds."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
