"""Open a gallery file safely: refuse what is not a gallery, check all of it.

A file that is not a gallery, or is visibly broken, is not read. `verify` reads everything: pages, rows, and
that rows are consistent.
"""

from __future__ import annotations

from pathlib import Path

from embedder._internal.files import is_other_than_file
from embedder._internal.outputs import is_side_file, side_files
from embedder.errors import GalleryError
from enroll.store.keys import FILE_VARIABLE, KEY_VARIABLE, Key
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.encryption import Plain, Sealer, open_keyring
from enroll.store.sqlite.library import LibraryRows
from enroll.store.sqlite.maintenance import encrypt, sweep_if_due
from enroll.store.sqlite.reader import RowReader
from enroll.store.sqlite.rows import is_sound
from enroll.store.sqlite.schema import COLUMNS, migrate

_HEADER = 100  # bytes; SQLite writes over a shorter file
_CHECKED_WHOLE = 1 << 22  # bytes; a file up to that takes some milliseconds


def verify(connection: Connection, reader: RowReader, library: LibraryRows) -> None:
    """Check everything, inside one `Connection.reading`.

    Raises:
        GalleryError: something is broken.
    """
    for check in ("integrity_check(1)", "foreign_key_check"):
        found = connection.row(f"PRAGMA {check}")
        if found not in (None, ("ok",)):
            raise reader.broken(", ".join(map(str, found)))
    for table in COLUMNS:
        for _ in reader.table(table):
            pass
    reader.check_handles()
    for enrolled in (True, False):
        reader.templates(enrolled)
    library.check()


def open_gallery(
    path: Path, create: bool, key: Key | None, plain_too: bool = False
) -> tuple[Connection, Sealer, bytes | None]:
    """Open a gallery, or create it.

    Args:
        path: the file.
        create: make it if it is missing.
        key: of an encrypted gallery; one that is made with it is encrypted.
        plain_too: accept a plain gallery although there is a key.

    Returns:
        The connection, the sealer of its rows, and the id of the file with its keys if it is encrypted.

    Raises:
        GalleryError: it is missing, broken, not a gallery, or encrypted with another key or none.
    """
    try:
        _check_place(path, create)
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise GalleryError(f"{path}: cannot be opened as a gallery: {error.strerror}") from error
    made = not path.exists()
    connection = Connection(path)
    try:
        migrate(connection)
        _check_pages(connection)
        if key is not None and create and _is_unused(connection):
            try:
                encrypt(connection, key)
            except BaseException:
                if made and _is_unused(connection):  # otherwise the next process would enroll in plain text
                    path.unlink(missing_ok=True)
                raise
        salt, keys = _identity(connection)
        sealer = Plain(salt) if plain_too and keys is None else _sealer(connection, salt, keys, key)
        sweep_if_due(connection, keys is not None)
    except BaseException:
        connection.close()
        raise
    return connection, sealer, keys


def _check_place(path: Path, create: bool) -> None:
    for place in (path, *side_files(path)):
        if is_other_than_file(place):  # SQLite would open a pipe, and wait
            raise GalleryError(f"{place}: cannot be opened as a gallery: it is no file")
    if not create and not path.is_file():
        raise GalleryError(f"{path}: no gallery here; make one with `embed enroll PEOPLE_FOLDER`")
    if path.is_file() and (size := path.stat().st_size) < _HEADER and (size or not create):
        advice = "restore a copy" if size else "the first `embed enroll` into it makes it one"
        raise GalleryError(f"{path}: expected a gallery, got a file of {size} bytes; {advice}")
    if not path.exists() and is_side_file(path):
        raise GalleryError(f"{path}: belongs to the gallery beside it; name another file")
    if not path.parent.is_dir():
        raise GalleryError(f"{path}: the folder {path.parent} does not exist; make it first")


def _check_pages(connection: Connection) -> None:
    """Check all pages of a small file by SQLite; `Store.verify` does so with any."""
    if connection.size() <= _CHECKED_WHOLE:
        (problem,) = connection.row("PRAGMA integrity_check(1)")
        if problem != "ok":
            raise GalleryError(f"{connection.path}: broken: {problem}; restore a copy")


def _is_unused(connection: Connection) -> bool:
    plain, rows = connection.row("SELECT (SELECT keys FROM gallery) IS NULL, sum(last) FROM total")
    return bool(plain and not rows)


def _identity(connection: Connection) -> tuple[bytes, bytes | None]:
    row = connection.row("SELECT only, salt, born, keys, checksum FROM gallery")
    if row is None or not is_sound(row, bytes, int, bytes):
        raise GalleryError(f"{connection.path}: broken: its first row was changed or is lost; restore a copy")
    return row[1], row[3]


def gallery_salt(connection: Connection) -> bytes:
    """Return the random bytes that identify a gallery."""
    return _identity(connection)[0]


def _sealer(connection: Connection, salt: bytes, keys: bytes | None, key: Key | None) -> Sealer:
    if keys is None:
        if key is not None:
            raise GalleryError(
                f"{connection.path}: expected an encrypted gallery, since there is a key ({key.origin}), got "
                "a plain one; encrypt it with `embed gallery encrypt`, or use no key"
            )
        return Plain(salt)
    if key is None:
        raise GalleryError(
            f"{connection.path}: encrypted; give its key: `embed --key FILE`, {FILE_VARIABLE} or "
            f"{KEY_VARIABLE}"
        )
    return open_keyring(connection, key, keys)
