"""Normalize names of people, refuse texts that cannot be one, and warn of similar ones.

Similar names are reported, not refused: two people may be called Li Na and Lina.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from embedder._internal.wording import shell_words

LONGEST = 200  # characters of a name

# Characters that reverse the direction of the text after them.
_DIRECTION_MARKS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"

# Names of folders for people without a name. Once enrolled, such a word is given as an answer.
_NO_ONE = frozenset(
    {
        *("unknown", "unknowns", "unknownperson", "unknownpeople", "unidentified", "unnamed", "stranger"),
        *("strangers", "nobody", "noone", "none", "null", "other", "others", "misc", "various", "unsorted"),
        *("ambiguous", "unbekannt", "fremde", "inconnu", "inconnus", "desconocido", "desconocidos"),
        *("desconhecido", "sconosciuto", "onbekend", "okänd", "ukjent", "ukendt", "nieznany"),
        *("неизвестный", "неизвестно", "未知", "不明", "陌生人", "알수없음"),
    }
)


def normal_name(name: str) -> str:
    """Return a name in Unicode form NFC, without white space around it."""
    return unicodedata.normalize("NFC", name).strip()


def name_problem(name: str) -> str | None:
    """Return why a text cannot be a person's name, or None if it can.

    Control characters in a name could rewrite the terminal it is printed on; half a surrogate pair comes from
    a file name that is not UTF-8, and cannot be stored.
    """
    if len(name) > LONGEST:
        return f"a name of {len(name)} characters; at most {LONGEST} are kept"
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _DIRECTION_MARKS:
            return f"the name holds the character {character!r}, which cannot be shown; rename it"
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        return "an empty name; expected at least one visible character"
    return None


def appearance(name: str) -> str:
    """Return a name without differences of case, Unicode form, letter width and spaces.

    Example:
        >>> appearance("Ａｄａ  Lovelace") == appearance("ada lovelace")
        True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in folded if unicodedata.category(letter)[0] not in "ZC")


def name_notes(names: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Return warnings, one sentence each, about new names.

    Args:
        names: new names, in the order of the warnings.
        known: names that are already enrolled; there is no warning about these.
    """
    there = set(known)
    seen: dict[str, str] = {}
    for name in sorted(there):
        seen.setdefault(appearance(name), name)
    notes = []
    for name in names:
        if name in there:
            continue
        look = appearance(name)
        first = seen.setdefault(look, name)
        if first != name:
            notes.append(
                f"{name!r} and {first!r} look like one name; if they are one person: "
                f"`{shell_words('embed', 'gallery', 'merge-people', operands=(first, name))}`"
            )
        if look in _NO_ONE:
            notes.append(
                f"{name!r} is a name like any other, so answers will read as if no one had been recognized; "
                "if these are people who are not to be named: `embed enroll --strangers FOLDER`"
            )
    return notes
