"""Sweep away the places of erased rows; encrypt a gallery that was plain.

A sweep costs as much as the gallery is large, so it is done when more than an eighth of the rows are blank.
It takes several steps; `gallery.sweep` is above 0 until all are done, and the next process that opens the
gallery does the rest. Encrypting is one transaction over the gallery's file and that of its keys.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from embedder.errors import GalleryError
from enroll.store.keys import Key
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.encryption import (
    Keyring,
    Plain,
    attach_keys,
    create_keyring,
    detach_keys,
    keys_path,
    sweep_keys,
    vacuum_keys,
)
from enroll.store.sqlite.library import LibraryRows
from enroll.store.sqlite.reader import RowReader
from enroll.store.sqlite.rows import checksum, pack_profile, unpack_template

_BLANK_SHARE = 1 / 8
_TABLES = ("template", "profile", "photo", "face", "step")

_log = logging.getLogger(__name__)


def sweep_if_due(connection: Connection, encrypted: bool) -> None:
    """Sweep if enough was erased or a sweep was interrupted.

    What was erased is overwritten either way.
    """
    try:
        if _is_due(connection):
            with connection.writing():
                connection.run("UPDATE gallery SET sweep = sweep + 1")
                for table in _TABLES:
                    connection.run(f"DELETE FROM {table} WHERE checksum IS NULL")
                if encrypted:
                    sweep_keys(connection)
        finish_sweep(connection, encrypted)
    except GalleryError as error:  # the erasure itself is done
        _log.warning("%s; the space of erased people is given back later", error)


def finish_sweep(connection: Connection, encrypted: bool) -> None:
    """Rewrite the file if pages may hold copies of rows that are gone or were rewritten."""
    (sweep,) = connection.row("SELECT sweep FROM gallery")
    if sweep:
        connection.run("VACUUM")
        if encrypted:
            vacuum_keys(connection)
        # Not if another process has started another sweep, which is not finished.
        connection.run("UPDATE gallery SET sweep = 0 WHERE sweep = ?", (sweep,))


def _is_due(connection: Connection) -> bool:
    query = f"SELECT sum(blanks), sum(count) FROM total WHERE part IN ({', '.join('?' * len(_TABLES))})"
    blanks, rest = connection.row(query, _TABLES)
    return bool(blanks > _BLANK_SHARE * (blanks + rest))


def encrypt(connection: Connection, key: Key) -> None:
    """Encrypt a gallery, unless another process has done so.

    Its former content stays in unused parts of its pages until they are swept.

    Raises:
        GalleryError: there is a file of keys already, the gallery is broken, or it cannot be written.
    """
    attach_keys(connection)
    try:
        with connection.writing():
            salt, born, keys = connection.row("SELECT salt, born, keys FROM gallery")
            if keys is None:
                ring = create_keyring(connection, key)
                _seal_everything(connection, Plain(salt), ring)
                connection.run(
                    "UPDATE gallery SET keys = ?, checksum = ?, sweep = sweep + 1",
                    (ring.id, checksum(1, salt, born, ring.id)),
                )
    finally:
        detach_keys(connection)
        path = keys_path(connection.path)
        with suppress(OSError):
            if not path.stat().st_size:  # attaching makes it, even if nothing is written then
                path.unlink()


def _seal_everything(connection: Connection, plain: Plain, ring: Keyring) -> None:
    reader = RowReader(connection, plain)
    dim = (reader.model() or ("", 0))[1]
    for one in list(reader.everyone()):
        ring.enter(one.id)
        body = ring.seal(one.id, "profile", one.profile, pack_profile(one.name, one.terms))
        connection.run(
            "UPDATE profile SET body = ?, checksum = ? WHERE id = ?",
            (body, checksum(one.profile, body), one.profile),
        )
        handle = ring.handle("name", one.name.encode())
        connection.run(
            "UPDATE person SET handle = ?, checksum = ? WHERE id = ?",
            (handle, checksum(*one.row(handle)), one.id),
        )
    done = 0  # ids rather than one long query: rows change under it
    while rows := connection.rows(
        "SELECT id, person, body FROM template WHERE checksum IS NOT NULL AND id > ? ORDER BY id LIMIT 1000",
        (done,),
    ):
        for number, person, body in rows:
            handle = ring.handle("digest", unpack_template(body, dim)[1])
            row = (number, person, handle, ring.seal(person, "template", number, body))
            connection.run(
                "UPDATE template SET handle = ?, body = ?, checksum = ? WHERE id = ?",
                (*row[2:], checksum(*row), number),
            )
        done = rows[-1][0]
    LibraryRows(connection, plain, reader).seal_again(ring)
