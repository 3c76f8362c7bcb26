"""Word the errors of a store: an unknown name, a photo of another person."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from embedder.errors import UnknownIdentityError

_COMPARED = 20_000  # names that a mistyped one is compared with, in half a second


def unknown_identity(location: object, name: str, names: Iterable[str]) -> UnknownIdentityError:
    """Return the error for an unknown name, which suggests the most similar known one.

    Args:
        location: of the gallery.
        name: the unknown name.
        names: the known ones.
    """
    import difflib

    wanted, by_case = name.casefold(), {entry.casefold(): entry for entry in names}
    several = [wanted] if wanted in by_case else list(islice(by_case, _COMPARED))
    near = [by_case[entry] for entry in difflib.get_close_matches(wanted, several, n=1, cutoff=0.7)]
    hint = f"; did you mean {near[0]!r}?" if near else "; see `embed gallery list`"
    return UnknownIdentityError(f"{location}: no one is called {name!r}{hint}")


def conflict_reason(owner: str, photo: str = "") -> str:
    """Return why a photo of another person is refused.

    Args:
        owner: name of that person.
        photo: path it is enrolled from; "" if unknown.
    """
    where = f" from {photo}" if photo else ""
    return f"already enrolled as {owner!r}{where}; a photo belongs to one person: remove it there first"
