"""Convert the places of photos to text that any store and any file can hold, and back.

A relative path is kept relative to the folder the gallery is in, so that both can be moved together and
commands work from any folder; below no such folder, and in Milvus, it is made absolute. An absolute path is
kept.

A file name may hold bytes that are no UTF-8, as from an old disk. Each is kept as a private character of the
last plane, U+10FF80 to U+10FFFF, so that the path can be stored and is found again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from enroll.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from enroll.gallery.transfer import GallerySnapshot
    from enroll.store import Store
    from enroll.templates import NewTemplate

_BOX = re.compile(r"#(?:t=(\d+\.\d{3})&)?xywh=(\d+),(\d+),(\d+),(\d+)$")  # as in W3C's Media Fragments

_PRIVATE = 0x10FF00  # plus a byte from 0x80
_ESCAPED = 0xDC00  # plus a byte: how Python decodes what is no UTF-8


def home_of(store: Store) -> Path | None:
    """Return the folder that relative paths of a gallery start from, None without one."""
    return store.path.parent.absolute() if isinstance(store, SqliteStore) else None


def stored_path(path: Path, home: Path | None) -> str:
    """Return a photo's path as it is stored.

    Args:
        path: as it was given, relative to the working folder or absolute.
        home: from `home_of`.
    """
    if not path.is_absolute():
        path = _plain(path.absolute())
        if home is not None and path.is_relative_to(home):
            path = path.relative_to(home)
    return _as_text(path)


def photo_file(text: str, home: Path | None) -> Path:
    """Return the path that was stored.

    Args:
        text: from `stored_path`.
        home: from `home_of`; a relative path without a file there starts from the working folder.
    """
    path = Path("".join(_as_escaped(letter) for letter in _BOX.sub("", text)))
    if home is None or path.is_absolute():
        return path
    there = home / path
    return path if not os.path.lexists(there) and os.path.lexists(path) else there


def with_box(text: str, box: Sequence[int], seconds: float | None = None) -> str:
    """Return the text for one face of a photo, or of a film.

    Args:
        text: from `stored_path`.
        box: x, y, width and height in pixels of the upright photo or frame.
        seconds: time of the frame since the film began; None for a photo.

    Example:
        >>> with_box("party.jpg", (10, 20, 60, 80)), with_box("party.mp4", (10, 20, 60, 80), 1.5)
        ('party.jpg#xywh=10,20,60,80', 'party.mp4#t=1.500&xywh=10,20,60,80')
    """
    moment = "" if seconds is None else f"t={seconds:.3f}&"
    return f"{text}#{moment}xywh={','.join(map(str, box))}"


def box_of(text: str) -> tuple[int, int, int, int] | None:
    """Return the box of the face that a text stands for, None if it stands for a whole photo."""
    found = _BOX.search(text)
    if found is None:
        return None
    x, y, width, height = map(int, found.groups()[1:])
    return x, y, width, height


def moment_of(text: str) -> float | None:
    """Return the time in seconds of the frame that a text stands for; None for a photo."""
    found = _BOX.search(text)
    return float(found[1]) if found and found[1] else None


def face_digest(photo: bytes, box: Sequence[int], seconds: float | None = None) -> bytes:
    """Return the digest that identifies one face, of its box, its time and its file.

    Args:
        photo: SHA-256 of the file, 32 bytes.
        box: x, y, width and height in pixels.
        seconds: time of the frame since the film began; None for a photo.
    """
    return hashlib.sha256(photo + with_box("", box, seconds).encode()).digest()


def rebased(content: GallerySnapshot, old: Path | None, new: Path | None) -> GallerySnapshot:
    """Convert the paths of a gallery's content for a gallery in another folder.

    Args:
        content: of the gallery.
        old: its folder, from `home_of`.
        new: folder of the other gallery.
    """
    if old == new or old is None:
        return content

    def moved(template: NewTemplate) -> NewTemplate:
        path = photo_file(template.photo, old)
        if not template.photo or Path(template.photo).is_absolute():
            return template
        if new is not None and path.is_relative_to(new):
            path = path.relative_to(new)
        box = box_of(template.photo)
        text = _as_text(path)
        moment = moment_of(template.photo)
        return replace(template, photo=with_box(text, box, moment) if box else text)

    people = tuple(
        replace(person, templates=tuple(map(moved, person.templates))) for person in content.people
    )
    return replace(
        content,
        people=people,
        strangers=tuple((name, moved(template)) for name, template in content.strangers),
    )


def _plain(path: Path) -> Path:
    """Remove `..` from an absolute path, where that leads to the same place."""
    if ".." not in path.parts:
        return path
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def _as_text(path: Path) -> str:
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    return "".join(map(_as_private, text))


def _as_private(letter: str) -> str:
    number = ord(letter)
    if _ESCAPED + 0x80 <= number <= _ESCAPED + 0xFF:
        return chr(_PRIVATE + number - _ESCAPED)
    if number >= _PRIVATE + 0x80:  # it would be taken for a byte
        return "".join(chr(_PRIVATE + byte) for byte in letter.encode())
    return letter


def _as_escaped(letter: str) -> str:
    number = ord(letter)
    return chr(_ESCAPED + number - _PRIVATE) if number >= _PRIVATE + 0x80 else letter
