"""Numbers with their nouns, as every message says them: 1 person, 2 people."""

from __future__ import annotations

PLURALS = {"person": "people", "search": "searches", "entry": "entries"}  # of other nouns: with an s


def count(number: int, noun: str, form: str = "") -> str:
    """Give a number of things in words.

    Args:
        number: of them.
        noun: of one of them; its last word takes the plural.
        form: how the number is written, as in `format`: "," parts the thousands.

    Example:
        >>> count(1, "person"), count(2, "new photo"), count(1200, "search", ",")
        ('1 person', '2 new photos', '1,200 searches')
    """
    return f"{number:{form}} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Give a noun for several things; of several words the last one changes."""
    start, space, last = noun.rpartition(" ")
    return f"{start}{space}{PLURALS.get(last, f'{last}s')}"
