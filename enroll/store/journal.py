"""The journal that a crash leaves beside a SQLite file, and the file that it names.

A change of two files at once is undone by two journals, and each names a third file, which SQLite deletes
when it is done. So whoever plants a journal beside a gallery would choose a file to be deleted. Ours name a
file beside the gallery; any other is refused before SQLite sees it.

The end of a journal (pager.c, readSuperJournal): name, its length and the sum of its bytes, 4 bytes each,
big-endian, and 8 bytes that never differ.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

from embedder.errors import GalleryError

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_END = struct.Struct(">II8s")
_OURS = re.compile(rb".*-mj[0-9A-F]{9}", re.DOTALL)  # main.c, vdbeCommit: "%s-mj%06X9%02X"


def check_journal(path: Path) -> None:
    """Refuse a file whose journal names anything but a file that SQLite made beside it.

    Raises:
        GalleryError: it does, or cannot be read.
    """
    real = Path(os.path.realpath(path))  # a link's journal is where it leads to
    journal = real.with_name(f"{real.name}-journal")
    try:
        if not journal.is_file():
            return
        with journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < _END.size:
                return
            file.seek(size - _END.size)
            length, _, magic = _END.unpack(file.read(_END.size))
            if magic != _MAGIC or not length or length > size - _END.size:
                return
            file.seek(size - _END.size - length)
            name = file.read(length)
    except OSError as error:
        raise GalleryError(f"{journal}: cannot be read: {error.strerror}") from error
    if not _OURS.fullmatch(name) or Path(os.fsdecode(name)).parent != real.parent:
        raise GalleryError(
            f"{journal}: of a gallery that was moved after a crash, or made to do harm: it names "
            f"{os.fsdecode(name)!r}; move both back, or restore a copy of the gallery"
        )
