"""Record in the audit log who changes a gallery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ACTOR: ContextVar[str] = ContextVar("actor", default="")


@contextmanager
def acting(actor: str) -> Iterator[None]:
    """Log the changes inside the block with the name of whoever makes them.

    Args:
        actor: such as the name of a key; it is not erased with the people it was about.
    """
    before = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(before)


def current_actor() -> str:
    """Return the name given to `acting`; "" outside of it."""
    return _ACTOR.get()


def signed(action: str) -> str:
    """Return an action for the audit log, with the name given to `acting`, if there is one."""
    actor = _ACTOR.get()
    return f"{action} by {actor}" if actor else action
