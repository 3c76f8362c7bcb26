"""Draw text of any script in images: choose fonts, shorten, wrap.

If one font has all letters of a text, the whole text is drawn in it, since in many scripts the form of a
letter depends on its neighbours; otherwise each word is drawn in a font that has it. A letter that no font
has is drawn as its code point, such as U+674E, never as an empty box; `missing_letters` lists those. Clusters
and direction of letters are those of Unicode.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from embedder._internal.fonts import VARIABLE, FontFace, Fonts, installed_fonts
from embedder._internal.wording import count

_TURNS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"  # change the direction of the text after them
_ZWJ = "\u200d"  # joins two emoji to one
_SKIN = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # skin colours of the emoji before them
_VIRAMA = 9  # combining class of the sign that joins two consonants of Indian scripts
_HIDDEN = ("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION SELECTOR", "COMBINING GRAPHEME JOINER")

Colour = tuple[int, int, int]

_WORDS = re.compile(r" |[^ ]+")
_ELLIPSIS = "…"
_ASCENT, _DESCENT = 0.8, 0.3  # least ascent and descent in font sizes, so that most lines are equally high
_HIGHEST, _LOWEST = 2.0, 1.0  # largest ascent and descent in font sizes; higher stacks of marks are cut off


def clean(text: str) -> str:
    """Replace control characters of a text by their code points.

    Returns:
        The text in Unicode form NFC; white space of any kind becomes a space; control characters, changes of
        direction, halves of surrogate pairs and characters of private use become code points.
    """
    return "".join(
        " " if letter.isspace() else code_point(letter) if _acts(letter) else letter
        for letter in unicodedata.normalize("NFC", text)
    )


def code_point(letter: str) -> str:
    """Return the code point of a character, such as U+674E, between spaces."""
    return f" U+{ord(letter):04X} "


def is_hidden(letter: str) -> bool:
    """Return whether a character has no form of its own, but joins or varies others."""
    name = unicodedata.name(letter, "")
    return unicodedata.category(letter) == "Cf" or name.startswith(_HIDDEN)


def clusters(text: str) -> list[str]:
    """Split a text into clusters: letters with their marks, and joined characters."""
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
    """Return whether a text runs from right to left, by its first letter with a direction."""
    ways = (unicodedata.bidirectional(letter) for letter in text)
    return next((way for way in ways if way in ("L", "R", "AL")), "L") != "L"


def in_drawing_order(text: str) -> str:
    """Sort the letters of a text from left to right, as they are drawn.

    For a Pillow without FriBiDi, which draws letters in the order of the text. Numbers and words that run
    from left to right keep their order. Letters are not joined.
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


@dataclass(frozen=True)
class TextLine:
    """Holds the layout of a line of text.

    Attributes:
        parts: letters, their font, and their left edge in pixels, from left to right.
        size: font size in pixels.
        width: width of the line in pixels.
        ascent: height above the base line in pixels.
        descent: depth below the base line in pixels.
    """

    parts: tuple[tuple[str, FontFace, float], ...]
    size: int
    width: int
    ascent: int
    descent: int

    @property
    def height(self) -> int:
        """Height of the line in pixels."""
        return self.ascent + self.descent


def layout_line(text: str, size: int) -> TextLine:
    """Choose fonts for a text, and measure it.

    Args:
        text: any text; line breaks and tabs become spaces, other control characters code points.
        size: font size in pixels.

    Raises:
        UsageError: `EMBED_FONT` names no font.
    """
    return _set_line(installed_fonts(), text, size)


def write(image: Image.Image, line: TextLine, left: int, top: int, colour: Colour) -> None:
    """Draw a line of text; nothing is drawn outside of its width and height.

    Args:
        image: RGB picture, changed in place.
        line: layout of the text, from `layout_line`.
        left: left edge of the line in the picture, in pixels.
        top: top edge of the line in the picture, in pixels.
        colour: red, green and blue of the letters, 0 to 255.
    """
    fonts = installed_fonts()
    mask = Image.new("L", (max(1, line.width), line.height))
    draw = ImageDraw.Draw(mask)
    for text, face, x in line.parts:
        draw.text((x, line.ascent), text, 255, fonts.font(face, line.size), anchor="ls")
    image.paste(colour, (left, top), mask)


def shorten(text: str, size: int, width: int) -> str:
    """Shorten a text to a width, by an ellipsis in place of letters in its middle.

    Args:
        text: any text.
        size: font size in pixels.
        width: largest width in pixels.

    Returns:
        The text; or its beginning and end around an ellipsis; or the ellipsis alone.
    """
    if layout_line(text, size).width <= width:
        return text
    letters = clusters(text)
    fits = _most_that_fit(len(letters) - 1, size, width, partial(_without_middle, letters))
    return _without_middle(letters, fits)


def wrap(text: str, size: int, width: int, lines: int) -> list[str]:
    """Break a text into lines of a width, at spaces if there are any.

    Args:
        text: any text.
        size: font size in pixels.
        width: largest width in pixels.
        lines: largest number of lines; the last one is shortened if the text needs more.
    """
    broken: list[str] = []
    rest = clusters(" ".join(text.split()))
    while rest and len(broken) < lines - 1:
        count = max(1, _most_that_fit(len(rest), size, width, partial(_beginning, rest)))
        if count < len(rest):
            count = max((index for index in range(1, count) if rest[index] == " "), default=count)
        broken.append("".join(rest[:count]))
        rest = clusters("".join(rest[count:]).strip())
    if rest:
        broken.append(shorten("".join(rest), size, width))
    return broken


def missing_letters(texts: Iterable[str]) -> str:
    """List the letters of some texts that no font on this machine has, each once.

    Raises:
        UsageError: `EMBED_FONT` names no font.
    """
    letters = dict.fromkeys(letter for text in texts for letter in clean(text))
    return "".join(letter for letter in letters if not _is_drawn(installed_fonts(), letter))


def missing_advice(letters: str) -> str:
    """Return a sentence on the letters of `missing_letters`, with advice."""
    shown = letters if len(letters) <= 10 else f"{letters[:10]} and {count(len(letters) - 10, 'more letter')}"
    return (
        f"no font on this machine has {shown}, drawn as code points instead; install one such as Noto Sans "
        f"CJK, or pip install 'embedder-enroll[fonts]', or name a font file in {VARIABLE}"
    )


@lru_cache(maxsize=4096)
def _set_line(fonts: Fonts, text: str, size: int) -> TextLine:
    drawn = (letter if _is_drawn(fonts, letter) else code_point(letter) for letter in clean(text))
    spelled = " ".join("".join(drawn).split())
    pieces = [
        ("".join(piece for piece, _ in group), face)
        for face, group in groupby(_pieces(fonts, spelled), key=lambda piece: piece[1])
    ]
    if runs_left(spelled):
        pieces.reverse()
    parts: list[tuple[str, FontFace, float]] = []
    x, right, top, bottom = 0.0, 0.0, -_ASCENT * size, _DESCENT * size
    for piece, face in pieces:
        font = fonts.font(face, size)
        shown = piece if font.layout_engine == ImageFont.Layout.RAQM else in_drawing_order(piece)
        box = font.getbbox(shown, anchor="ls")
        x = x if parts else max(0, -box[0])  # the first letter may extend to the left of its origin
        parts.append((shown, face, x))
        right, top, bottom = max(right, x + box[2]), min(top, box[1]), max(bottom, box[3])
        x += font.getlength(shown)
    ascent, descent = min(-top, _HIGHEST * size), min(bottom, _LOWEST * size)
    return TextLine(tuple(parts), size, math.ceil(max(x, right)), math.ceil(ascent), math.ceil(descent))


def _pieces(fonts: Fonts, text: str) -> Iterator[tuple[str, FontFace]]:
    """Split a text into pieces with one font each: the whole text, else words, else letters."""
    if face := fonts.choose(letter for letter in text if not is_hidden(letter)):
        yield text, face
        return
    for cut in (_WORDS.findall, clusters, list):
        if len(pieces := cut(text)) > 1:
            for piece in pieces:
                yield from _pieces(fonts, piece)
            return


def _is_drawn(fonts: Fonts, letter: str) -> bool:
    return is_hidden(letter) or fonts.choose([letter]) is not None


def _beginning(letters: Sequence[str], kept: int) -> str:
    return "".join(letters[:kept])


def _without_middle(letters: Sequence[str], kept: int) -> str:
    end = kept // 2
    return "".join((*letters[: kept - end], _ELLIPSIS, *letters[len(letters) - end :]))


def _most_that_fit(most: int, size: int, width: int, text: Callable[[int], str]) -> int:
    """Find the largest number of letters, up to `most`, whose text has at most a width."""
    counts = range(1, most + 1)
    return bisect_left(counts, True, key=lambda count: layout_line(text(count), size).width > width)
