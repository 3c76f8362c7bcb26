"""Turns a plain gallery into an encrypted one, in one transaction over its file and that of its keys."""

from __future__ import annotations

from contextlib import suppress

from enroll.store.connection import Connection
from enroll.store.keyring import Keyring, attach_keys, create_keyring, detach_keys, keys_path
from enroll.store.keys import Key
from enroll.store.reading import Reader
from enroll.store.rows import checksum, pack_profile, unpack_template
from enroll.store.sealing import Plain


def encrypt(connection: Connection, key: Key) -> None:
    """Encrypt what is there; a gallery that is encrypted by now is left as it is.

    What stood in it before stays in unused parts of its pages until it is swept (`sweeping`).

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
    reader = Reader(connection, plain)
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
