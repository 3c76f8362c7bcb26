"""How an attack ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from embedder.errors import EmbedError

REFUSED, HARMLESS = "refused", "harmless"

# Tried in an empty folder of its own; gives how it ended, or raises if it did harm.
Attack = Callable[[Path], str]


def outcome(action: Callable[[], object]) -> str:
    """Whether an action of a user's was refused with an error of ours, which says why in one line."""
    try:
        action()
    except EmbedError as error:
        assert str(error), "no reason"
        assert "\n" not in str(error), f"a reason of several lines: {error}"
        return REFUSED
    return HARMLESS


class Payload:
    """What a pickle would run: it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)
