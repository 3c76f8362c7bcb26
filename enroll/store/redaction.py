"""Hide passwords and keys in what is shown, also in what a user mistyped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# Milvus's own scheme however it is written, and any other of two letters or more with a slash.
_ADDRESS = re.compile(r"\s*((?:milvus[+\w]*(?::|//)|[a-z][a-z0-9+.-]+:(?=/))/*)(.*)", re.I | re.S)
_BARE = re.compile(r"()([^/\\:@]{2,}:.*@.*)", re.S)
LITE = re.compile(r"milvus:(?!//)(?!.*:.*@).*\.db", re.S)  # a file, without USER:PASSWORD@

# USER:PASSWORD without an @: a colon and no port number behind the host.
_NO_PORT = re.compile(r"(?:\[[^\]]*\]|[^:/]*):(?!\d{1,5}(?:/|$))[^/]*(.*)", re.S)

_LONG = re.compile(r"[A-Za-z0-9+/_=-]{32,}")  # 32 bytes in hex, base64 or its variants; a part of them, too

_KEY = re.compile(r"[A-Za-z0-9+/_-]{40,}=(?![A-Za-z0-9+/_-])")  # with a folder before it, if there is one
_USER = re.compile(r"\b([a-z][a-z0-9+.-]+:/+)\S*@", re.I)


def without_password(location: str | Path) -> str:
    """Return an address for printing: without user, password and options, usable or not."""
    shown = str(location)
    found = _ADDRESS.match(shown) or _BARE.match(shown)
    if found is None or LITE.fullmatch(shown):
        return shown
    scheme, rest = found.groups()
    user, at, place = rest.rpartition("@")
    if "?" in user or "#" in user:  # either a password with one of them, or an option with an @
        return f"{scheme}…"
    place = re.split("[?#]", place if at else rest)[0]
    return scheme + _NO_PORT.sub(r"…\1", place)


def looks_like_address(location: str | Path) -> bool:
    """Return whether this was meant for an address rather than a file."""
    return bool(_ADDRESS.match(str(location)) or _BARE.match(str(location)))


def without_key(path: str | Path) -> str:
    """Return the path of a key's file for printing, unless it may be the key itself."""
    path = Path(path)
    text = without_password(path)
    if not _LONG.search(text) or _is_in_a_folder(path):
        return text
    return "(what was given is not shown, since it may be the key itself; expected the file it is in)"


def hidden(text: str) -> str:
    """Remove from an error's text what was typed in the wrong place: addresses' passwords, and keys."""
    return _KEY.sub("(a key)", _USER.sub(r"\1", text))


def hidden_as_typed(text: str, typed: Iterable[str]) -> str:
    """Remove passwords and keys from the words of the command line that an error's text repeats.

    Args:
        text: quotes some of the words, as they are or as Python writes them.
        typed: all of them.
    """
    parts = {
        part
        for word in typed
        for whole in (word, word.lstrip("-"))
        for part in (whole, *whole.partition("=")[::2])
    }
    for part in sorted(parts, key=len, reverse=True):
        long = _LONG.search(part) and not _is_in_a_folder(Path(part))
        shown = "(not shown, since it may be a key)" if long else without_password(part)
        if shown != part:
            text = text.replace(repr(part)[1:-1], shown).replace(part, shown)
    return hidden(text)


def _is_in_a_folder(path: Path) -> bool:
    """Return whether the folder of a file exists, which that of a key with slashes in it does not."""
    folder = str(path.parent)
    try:
        return folder not in (".", path.anchor) and path.parent.is_dir() and not _LONG.search(path.name)
    except OSError:
        return False
