"""Word messages: numbers with nouns, such as 2 people, and commands to paste into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

PLURALS = {"person": "people", "search": "searches", "entry": "entries"}  # other nouns get an s


def count(number: int, noun: str, form: str = "") -> str:
    """Return a number with its noun, in the plural unless the number is 1.

    Args:
        number: number of things.
        noun: noun in the singular; the plural changes its last word.
        form: format of the number, as for `format`: "," separates thousands.

    Example:
        >>> count(1, "person"), count(2, "new photo"), count(1200, "search", ",")
        ('1 person', '2 new photos', '1,200 searches')
    """
    return f"{number:{form}} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a noun; of several words the last one changes."""
    start, space, last = noun.rpartition(" ")
    return f"{start}{space}{PLURALS.get(last, f'{last}s')}"


def shell_words(*words: str, operands: Sequence[str] = ()) -> str:
    """Quote the words of a command, to be pasted into bash or zsh.

    Args:
        *words: words of the command and its options.
        operands: names and paths, which may begin with a dash.

    Example:
        >>> shell_words("embed", "gallery", "remove", operands=["-v"])
        'embed gallery remove -- -v'
    """
    mark = ["--"] if any(operand.startswith("-") for operand in operands) else []
    return " ".join(map(_shell_word, [*words, *mark, *operands]))


def _shell_word(word: str) -> str:
    """Quote a word for a shell; characters that a terminal does not show become escapes."""
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_ansi_c, word))}'"


def _ansi_c(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
