"""How long work tells what it does; silent unless someone listens, as the command line does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Advance = Callable[..., None]


class Progress:
    """Hears of long work; this base class says nothing.

    Override both methods to show it: the library itself never prints.
    """

    def say(self, line: str) -> None:
        """Take a line of text that stands by itself."""

    @contextlib.contextmanager
    def bar(self, label: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Follow `total` steps; what is yielded is called as `advance(steps=1, detail="")`.

        Args:
            label: what is done.
            total: number of steps.
            unit: what a step is, in the plural, to say how many are done a second.
        """
        yield lambda steps=1, detail="": None
