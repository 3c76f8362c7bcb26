"""What a person's photo is called on the command line: by its path, or by the beginning of its SHA-256."""

from __future__ import annotations

from collections.abc import Sequence

from embedder.errors import UsageError
from embedder.wording import count
from enroll.store import StoredTemplate

_SHORTEST = 8  # hexadecimal digits
_SHOWN = 16


def handle_of(stored: Sequence[StoredTemplate], template: StoredTemplate) -> str:
    """Give a text that `chosen` finds the template by: its path, if that is one photo's and can be shown."""
    same = [entry for entry in stored if entry.photo == template.photo]
    if len(same) == 1 and template.photo and template.photo.isprintable():
        return template.photo
    return template.digest.hex()[:_SHOWN]


def chosen(name: str, stored: Sequence[StoredTemplate], text: str) -> StoredTemplate:
    """Find the one photo of a person that a text stands for.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [entry for entry in stored if entry.photo == text]
    if not found and len(text) >= _SHORTEST:
        found = [entry for entry in stored if entry.digest.hex().startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"{name}: has no photo {text!r}; expected the path it was enrolled from, or at least {_SHORTEST} "
            f"digits of its SHA-256: {', '.join(repr(handle_of(stored, entry)) for entry in stored[:3])}"
            f"{', …' if len(stored) > 3 else ''}"
        )
    digests = ", ".join(entry.digest.hex()[:_SHOWN] for entry in found)
    raise UsageError(f"{name}: has {count(len(found), 'photo')} {text!r}; expected one of {digests}")
