"""Find the fonts of this machine, and choose one that has the letters of a text.

Pillow draws a letter that a font lacks as an empty box, without an error. So each letter is drawn once and
compared with a character that no font has. Folders are searched for fonts only when the font built into
Pillow lacks a letter.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFont

from embedder.errors import UsageError

VARIABLE = "EMBED_FONT"
PACKAGES = ("manimgx_fonts", "noto_cjk_sans_jp_regular")  # the extra `fonts`
FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    *("~/Library/Fonts", "/Library/Fonts", "/System/Library/Fonts"),
    *(r"%LOCALAPPDATA%\Microsoft\Windows\Fonts", r"%WINDIR%\Fonts"),
)
_SUFFIXES = {".ttf", ".otf", ".ttc"}

# Patterns of file names up to the first - or [, in lower case without spaces, the best first. Fonts of many
# alphabets come before Chinese ones, whose Cyrillic and Greek letters are as wide as Chinese ones.
_GOOD = (
    *("notosans", "notosansarabic*", "notosanshebrew*", "dejavusans", "segoeui", "arial", "liberationsans"),
    *("freesans", "notosanscjk*", "sourcehansans*", "pingfang*", "hiraginosans*", "ヒラギノ角*", "msyh"),
    *("yugoth*", "meiryo", "malgun", "applesdgothicneo", "wqy*", "droidsansfallback*", "stheiti*", "simhei"),
    *("simsun", "msgothic", "gulim", "notosans*", "nirmala*", "leelawui*", "tahoma", "arialunicode*"),
)
_NOT_REGULAR = re.compile(
    "bold|black|heavy|semi|light|thin|medium|condensed|italic|oblique|mono|serif|math|display|[-]ui"
)
_IN_NO_FONT = "\uffff"  # a code point that Unicode will never assign
_PROBE_SIZE = 32  # pixels; at 16, the pixels of box and letter might be equal
_MOST_FACES = 64  # fonts read from a collection
_REGULAR = 400  # regular weight of variable fonts


@dataclass(frozen=True)
class FontFace:
    """Identifies a font of a file.

    Attributes:
        path: path of the file; None for the font built into Pillow.
        index: number of the font in a collection.
    """

    path: Path | None
    index: int = 0


class Fonts:
    """Chooses fonts: first Pillow's own, then a given one, then those in folders."""

    def __init__(self, given: Path | None, folders: Iterable[Path]) -> None:
        """Check the given font; the folders are searched when they are needed.

        Args:
            given: path of a font file that precedes those in folders; None: none.
            folders: folders with fonts, which are searched with their sub-folders.

        Raises:
            UsageError: the given file is no font that can be used.
        """
        built_in = ImageFont.load_default(16)
        assert isinstance(built_in, ImageFont.FreeTypeFont)  # another type is for Pillow without FreeType
        self._built_in = built_in.font_bytes
        self.plain = FontFace(None)
        self._known = [self.plain]
        self._pictures: dict[tuple[FontFace, str], bytes | None] = {}
        if given is not None:
            self._read_given(given)
        self._files = _files(tuple(folders))
        self._lock = threading.Lock()
        self._chosen = lru_cache(maxsize=8192)(self._choose)

    def choose(self, letters: Iterable[str]) -> FontFace | None:
        """Return the first font that has all of these characters; None if none has."""
        with self._lock:
            return self._chosen(frozenset(letters))

    def font(self, face: FontFace, size: int) -> ImageFont.FreeTypeFont:
        """Open a font at a size in pixels.

        Raises:
            OSError: FreeType cannot open the font.
        """
        return _open(face, self._built_in, size)

    def _choose(self, letters: frozenset[str]) -> FontFace | None:
        return next(
            (face for face in self._faces() if all(self._has(face, letter) for letter in letters)), None
        )

    def _faces(self) -> Iterator[FontFace]:
        yield from tuple(self._known)
        for path in self._files:
            with contextlib.suppress(OSError):  # broken, or deleted meanwhile
                yield from self._read(path)

    def _read(self, path: Path) -> list[FontFace]:
        faces = [FontFace(path)]
        self._probe(faces[0])
        with contextlib.suppress(OSError):  # after the last font of a collection
            while len(faces) < _MOST_FACES:
                self._probe(FontFace(path, len(faces)))
                faces.append(FontFace(path, len(faces)))
        self._known += faces
        return faces

    def _read_given(self, path: Path) -> None:
        try:
            faces = self._read(path)
        except OSError as error:
            raise UsageError(
                f"{VARIABLE}: expected a font file (.ttf, .otf, .ttc), got {path}: {error.strerror or error}"
            ) from error
        letters = [letter for letter in map(chr, range(0x21, 0xD800)) if not letter.isspace()]
        if not any(self._has(face, letter) for face in faces for letter in letters):  # mostly the first is
            raise UsageError(f"{VARIABLE}: expected a font with outlines and a Unicode table, got {path}")

    def _has(self, face: FontFace, letter: str) -> bool:
        picture = self._picture(face, letter)
        if letter.isspace():
            return picture is None
        return picture is not None and picture != self._picture(face, _IN_NO_FONT)

    def _picture(self, face: FontFace, letter: str) -> bytes | None:
        """Return a digest of the pixels of a letter; None if no pixel is drawn."""
        key = face, letter
        if key not in self._pictures:
            try:
                mask = self._probe(face).getmask(letter)
                self._pictures[key] = (
                    hashlib.sha256(repr(mask.size).encode() + bytes(mask)).digest()
                    if mask.getbbox()
                    else None
                )
            except (OSError, ValueError, MemoryError, Image.DecompressionBombError):
                self._pictures[key] = None
        return self._pictures[key]

    def _probe(self, face: FontFace) -> ImageFont.FreeTypeFont:
        """Open a font for `_picture`, without Raqm, which adds a circle to a single mark."""
        return _open(face, self._built_in, _PROBE_SIZE, ImageFont.Layout.BASIC)


def installed_fonts() -> Fonts:
    """Return the fonts of this machine, found once for a value of `EMBED_FONT`.

    The variable `EMBED_FONT` may name a font file that precedes all but Pillow's own.

    Raises:
        UsageError: `EMBED_FONT` names no font.
    """
    return _fonts_of(os.environ.get(VARIABLE, ""), tuple(FOLDERS), PACKAGES)


@lru_cache(maxsize=4)
def _fonts_of(given: str, folders: tuple[str, ...], packages: tuple[str, ...]) -> Fonts:
    found = [importlib.util.find_spec(package) for package in packages]
    below = (place for spec in found if spec for place in spec.submodule_search_locations or ())
    everywhere = (place for folder in folders if (place := _expanded(folder)))
    return Fonts(Path(given) if given else None, (*map(Path, below), *everywhere))


def _expanded(folder: str) -> Path | None:
    try:
        return Path(os.path.expandvars(folder)).expanduser()
    except RuntimeError:  # a user without a home, as in containers
        return None


def _files(folders: tuple[Path, ...]) -> Iterator[Path]:
    found = [
        Path(folder, name)
        for top in folders
        for folder, _, names in os.walk(top)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES and not name.lower().startswith("lastresort")
    ]
    yield from sorted(found, key=_preference)


def _preference(path: Path) -> tuple[int, bool, int, str]:
    stem = path.stem.lower().replace(" ", "").replace("_", "")
    family = re.split(r"[-\[]", stem)[0]
    rank = next((rank for rank, good in enumerate(_GOOD) if fnmatchcase(family, good)), len(_GOOD))
    return rank, bool(_NOT_REGULAR.search(stem)), len(stem), str(path)


@lru_cache(maxsize=256)
def _open(
    face: FontFace, built_in: bytes, size: int, engine: ImageFont.Layout | None = None
) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(face.path or BytesIO(built_in), size, face.index, layout_engine=engine)
    with contextlib.suppress(OSError, NotImplementedError):  # most fonts have no axes
        axes = [(axis.get("name"), axis.get("default") or 0) for axis in font.get_variation_axes()]
        if any(name == b"Weight" and place < _REGULAR for name, place in axes):  # Noto Sans CJK is thin
            font.set_variation_by_axes([_REGULAR if name == b"Weight" else place for name, place in axes])
    return font
