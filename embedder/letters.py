"""What Unicode says about the letters of a text: which belong together, which act, which way they run."""

from __future__ import annotations

import unicodedata
from itertools import groupby

_TURNS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"  # the text after them runs another way
_ZWJ = "\u200d"  # makes one emoji of two
_SKIN = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # colours the emoji before it
_VIRAMA = 9  # combining class of the sign that joins two Indian consonants
_HIDDEN = ("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION SELECTOR", "COMBINING GRAPHEME JOINER")


def clean(text: str) -> str:
    """Spell out characters that do something to a text instead of standing in it.

    Returns:
        The text in the form NFC; white space of any kind is a space, and control characters, changes of
        direction, halves of surrogate pairs and characters of private use are code points.
    """
    return "".join(
        " " if letter.isspace() else code_point(letter) if _acts(letter) else letter
        for letter in unicodedata.normalize("NFC", text)
    )


def code_point(letter: str) -> str:
    """Spell a character out, such as U+674E, with a space on both sides."""
    return f" U+{ord(letter):04X} "


def is_hidden(letter: str) -> bool:
    """Tell whether a character only joins, parts or varies its neighbours."""
    name = unicodedata.name(letter, "")
    return unicodedata.category(letter) == "Cf" or name.startswith(_HIDDEN)


def clusters(text: str) -> list[str]:
    """Cut a text where it may be cut: letters keep their marks, and what is joined stays joined."""
    found: list[str] = []
    for letter in unicodedata.normalize("NFC", text):
        belongs = unicodedata.category(letter)[0] == "M" or is_hidden(letter) or letter in _SKIN
        before = found[-1][-1] if found else ""
        if before and (belongs or before == _ZWJ or unicodedata.combining(before) == _VIRAMA):
            found[-1] += letter
        else:
            found.append(letter)
    return found


def runs_left(text: str) -> bool:
    """Tell whether a text begins at the right: by its first letter that has a direction."""
    ways = (unicodedata.bidirectional(letter) for letter in text)
    return next((way for way in ways if way in ("L", "R", "AL")), "L") != "L"


def in_drawing_order(text: str) -> str:
    """Put letters that run to the left in the order in which they stand from left to right.

    For a Pillow that found no FriBiDi and draws letters as they come; numbers and words that run to the
    right keep their order. Letters are not joined by this.
    """
    letters = clusters("".join(letter for letter in text if not is_hidden(letter)))
    all_left = runs_left(text)
    if all_left:
        letters.reverse()
    stretches = ((left, list(group)) for left, group in groupby(letters, key=runs_left))
    return "".join(
        letter for left, group in stretches for letter in (group if left == all_left else reversed(group))
    )


def _acts(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Co", "Cs") or letter in _TURNS
