"""Encrypt what is about a person with a key per person, or write it as it is.

Names and digests are found by a keyed hash (HMAC-SHA256, RFC 2104, its first 16 bytes), since an index may
keep copies of what was erased. In a plain gallery the key of the hash is in the gallery: whoever guesses a
name can check it there, as with the name itself. In an encrypted one it takes the gallery's key.

The keys of an encrypted gallery are in a SQLite file beside it, `gallery.db.keys`. Each person has a key of
their own. It is wrapped by a key derived (HKDF, RFC 5869) from the gallery's key and a salt that is only in
this file; so is the key of the hashes. Erasing someone erases their key: what an old backup of the gallery,
without its file of keys, holds about them can never be read again, not even by whoever has the gallery's key.

Rows are encrypted by AES-256-GCM (NIST SP 800-38D) with random nonces; the place of a row is authenticated.
"""

from __future__ import annotations

import hmac
import importlib.util
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from embedder.errors import GalleryError, MissingPackageError
from enroll.store.keys import Key
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.rows import checksum, is_sound

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


HANDLE = 16  # bytes
SALT = 16  # bytes

ID = 16  # bytes
_SCHEMA = "keys"
_NONCE = 12  # bytes, as SP 800-38D recommends
_KEY = 32  # bytes
_KEPT = 4096  # people whose keys are cached; templates of a person are mostly consecutive

_TABLES = {
    "ring": """(only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL, salt BLOB NOT NULL,
        test BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT""",
    # Rows are only appended, and overwritten where they stand: see `enroll.store.sqlite.schema`.
    "person": "(id INTEGER PRIMARY KEY, wrapped BLOB, checksum INTEGER) STRICT",
}
_EXPECTED = frozenset(("table", name, name, f"CREATE TABLE {name} {made}") for name, made in _TABLES.items())


class Sealer(Protocol):
    """Seals the rows of people, each with a key of that person's own."""

    def handle(self, kind: str, value: bytes) -> bytes:
        """Return the hash by which a name or a digest is found, `HANDLE` bytes."""

    def seal(self, person: int, table: str, row: int, body: bytes) -> bytes:
        """Encrypt a row of a person, readable only in that place.

        Args:
            person: id whose key is used.
            table: of the row.
            row: its id.
            body: the content.
        """

    def unseal(self, person: int, table: str, row: int, sealed: bytes) -> bytes:
        """Decrypt a row; see `seal`.

        Raises:
            ValueError: it was written by someone else, for another person or in another place.
        """

    def unseal_all(
        self, people: Sequence[int], table: str, rows: Sequence[int], sealed: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Decrypt many rows; raises as `unseal`."""

    def enter(self, person: int) -> None:
        """Create the key of a new person."""

    def forget(self, person: int) -> None:
        """Erase a person's key."""

    def last(self) -> int:
        """Return the highest id of a person with a key, 0 if there is none."""

    def lowest(self, odd: bool) -> int:
        """Return the lowest odd or even id below 0, as used for a photo library.

        0 if there is none.
        """

    def has(self, person: int) -> bool:
        """Return whether a person has a key."""

    def keyless(self) -> list[int]:
        """List the ids of the people whose key is gone."""


class Plain:
    """Writes everything unencrypted."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def handle(self, kind: str, value: bytes) -> bytes:
        """Return the hash by which a name or a digest is found."""
        return handle(self._salt, kind, value)

    def seal(self, person: int, table: str, row: int, body: bytes) -> bytes:
        """Return the content unchanged."""
        return body

    def unseal(self, person: int, table: str, row: int, sealed: bytes) -> bytes:
        """Return the content unchanged."""
        return sealed

    def unseal_all(
        self, people: Sequence[int], table: str, rows: Sequence[int], sealed: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Return the contents unchanged."""
        return sealed

    def enter(self, person: int) -> None:
        """Do nothing, as there are no keys."""

    def forget(self, person: int) -> None:
        """Do nothing, as there are no keys."""

    def last(self) -> int:
        """Return 0, as there are no keys."""
        return 0

    def lowest(self, odd: bool) -> int:
        """Return 0, as there are no keys."""
        return 0

    def has(self, person: int) -> bool:
        """Return True, as no key is needed."""
        return True

    def keyless(self) -> list[int]:
        """Return no ids, as no key is needed."""
        return []


def handle(key: bytes, kind: str, value: bytes) -> bytes:
    """Compute the keyed hash of a value of a kind.

    Args:
        key: of the hash.
        kind: such as `photo`, which separates equal values of two kinds.
        value: to be hashed.
    """
    return hmac.digest(key, kind.encode() + b"\0" + value, "sha256")[:HANDLE]


def keys_path(gallery: Path) -> Path:
    """Return the path of the keys of a gallery."""
    return gallery.parent / f"{gallery.name}.keys"


class Keyring:
    """Encrypts with a key per person; see `Sealer`."""

    def __init__(self, connection: Connection, key: Key, ring: tuple[bytes, bytes, bytes]) -> None:
        """Derive the keys; see `open_keyring`."""
        self._connection = connection
        self.id, salt, test = ring
        self._wrapping, self._lookup = _derived(key, salt)
        self._keys: dict[int, AESGCM] = {}
        connection.when_undone.append(self._keys.clear)  # the id may be given to another person
        if not _opens(self._wrapping, test, self.id):
            raise GalleryError(
                f"{connection.path}: encrypted with another key than that of {key.origin}; give its own by "
                "`embed --key FILE`"
            )

    def handle(self, kind: str, value: bytes) -> bytes:
        """Return the hash by which a name or a digest is found."""
        return handle(self._lookup, kind, value)

    def seal(self, person: int, table: str, row: int, body: bytes) -> bytes:
        """Encrypt a row of a person; see `Sealer.seal`."""
        return _encrypted(self._key(person), body, f"{table} {row}".encode())

    def unseal(self, person: int, table: str, row: int, sealed: bytes) -> bytes:
        """Decrypt a row.

        Raises:
            ValueError: it was not sealed for that person and place, or changed since.
        """
        return _decrypted(self._key(person), sealed, f"{table} {row}".encode())

    def unseal_all(
        self, people: Sequence[int], table: str, rows: Sequence[int], sealed: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Decrypt many rows."""
        return [
            self.unseal(person, table, row, body)
            for person, row, body in zip(people, rows, sealed, strict=True)
        ]

    def enter(self, person: int) -> None:
        """Create the key of a new person."""
        wrapped = _encrypted(self._wrapping, secrets.token_bytes(_KEY), b"%d" % person)
        self._connection.run(
            f"INSERT INTO {_SCHEMA}.person VALUES (?, ?, ?)", (person, wrapped, checksum(person, wrapped))
        )

    def keyless(self) -> list[int]:
        """List the ids of the people without a key: erased after this copy of the gallery was made."""
        return [
            person
            for (person,) in self._connection.rows(
                f"""SELECT id FROM main.person WHERE id NOT IN
                (SELECT id FROM {_SCHEMA}.person WHERE checksum IS NOT NULL)"""
            )
        ]

    def forget(self, person: int) -> None:
        """Erase a person's key."""
        self._keys.pop(person, None)
        self._connection.run(
            f"UPDATE {_SCHEMA}.person SET wrapped = NULL, checksum = NULL WHERE id = ?", (person,)
        )

    def last(self) -> int:
        """Return the highest id of a person with a key; a backup of the gallery may have fewer."""
        return int(self._connection.row(f"SELECT ifnull(max(max(id), 0), 0) FROM {_SCHEMA}.person")[0])

    def lowest(self, odd: bool) -> int:
        """Return the lowest odd or even id below 0, of erased keys too."""
        query = f"SELECT ifnull(min(id), 0) FROM {_SCHEMA}.person WHERE id < 0 AND id & 1 = ?"
        return int(self._connection.row(query, (int(odd),))[0])

    def has(self, person: int) -> bool:
        """Return whether a person has a key."""
        query = f"SELECT 1 FROM {_SCHEMA}.person WHERE id = ? AND checksum IS NOT NULL"
        return self._connection.row(query, (person,)) is not None

    def _key(self, person: int) -> AESGCM:
        if person not in self._keys:
            path = keys_path(self._connection.path)
            row = self._connection.row(
                f"SELECT id, wrapped, checksum FROM {_SCHEMA}.person WHERE id = ?", (person,)
            )
            if row is None or row[1] is None:
                raise ValueError(
                    f"{path} lacks the key of person {person}: it is older than the gallery, or they were "
                    "erased since this copy of the gallery was made; in the latter case, "
                    "`embed gallery drop-unreadable` erases them here, too"
                )
            if not is_sound(row, bytes):
                raise ValueError(f"{path}: the key of person {person} was changed")
            if len(self._keys) >= _KEPT:
                self._keys.clear()
            self._keys[person] = _aes(_decrypted(self._wrapping, row[1], b"%d" % person))
        return self._keys[person]


def create_keyring(connection: Connection, key: Key) -> Keyring:
    """Create the file of keys of a gallery that is being encrypted, inside a transaction.

    See `attach_keys`.

    Raises:
        GalleryError: there is one already.
    """
    if connection.rows(f"SELECT name FROM {_SCHEMA}.sqlite_schema"):
        raise GalleryError(
            f"{keys_path(connection.path)}: expected no such file, since the gallery is not encrypted; if it "
            "is of no other gallery, remove it"
        )
    for name, made in _TABLES.items():
        connection.run(f"CREATE TABLE {_SCHEMA}.{name} {made}")
    own, salt = secrets.token_bytes(ID), secrets.token_bytes(SALT)
    test = _encrypted(_derived(key, salt)[0], b"", own)
    row = (1, own, salt, test)
    connection.run(f"INSERT INTO {_SCHEMA}.ring VALUES (?, ?, ?, ?, ?)", (*row, checksum(*row)))
    return Keyring(connection, key, (own, salt, test))


def open_keyring(connection: Connection, key: Key, expected: bytes) -> Keyring:
    """Open the file of keys of a gallery.

    Args:
        connection: to the gallery.
        key: the gallery's.
        expected: id of the file with its keys.

    Raises:
        GalleryError: the file is lost, broken or another gallery's, or the key is another one.
    """
    path = keys_path(connection.path)
    if not path.is_file() or not path.stat().st_size:
        raise GalleryError(
            f"{path}: lost; without it no one can read the gallery {connection.path}: restore a copy of it"
        )
    attach_keys(connection)
    query = f"SELECT type, name, tbl_name, sql FROM {_SCHEMA}.sqlite_schema"
    if frozenset(connection.rows(query)) != _EXPECTED:
        raise GalleryError(
            f"{path}: broken: expected the keys of a gallery, got other tables; restore a copy"
        )
    ring = connection.row(f"SELECT only, id, salt, test, checksum FROM {_SCHEMA}.ring")
    if ring is None or not is_sound(ring, bytes, bytes, bytes):
        raise GalleryError(f"{path}: broken: what it is of cannot be read; restore a copy")
    if ring[1] != expected:
        raise GalleryError(f"{path}: expected the keys of {connection.path}, got those of another gallery")
    return Keyring(connection, key, ring[1:4])


def attach_keys(connection: Connection) -> None:
    """Attach the file of keys, so that one transaction spans both files."""
    connection.attach(keys_path(connection.path), _SCHEMA)


def sweep_keys(connection: Connection) -> None:
    """Delete the rows of erased keys."""
    connection.run(f"DELETE FROM {_SCHEMA}.person WHERE checksum IS NULL")


def vacuum_keys(connection: Connection) -> None:
    """Rewrite the file of keys, without what SQLite left in unused parts of it."""
    connection.run(f"VACUUM {_SCHEMA}")


def detach_keys(connection: Connection) -> None:
    """Detach the file of keys."""
    connection.detach(_SCHEMA)


def _derived(key: Key, salt: bytes) -> tuple[AESGCM, bytes]:
    """Derive the key that wraps people's keys, and the key of hashes."""
    _check_package()
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    both = HKDF(SHA256(), 2 * _KEY, salt, b"embed gallery keys 1").derive(key.secret)
    return _aes(both[:_KEY]), both[_KEY:]


def _check_package() -> None:
    if not importlib.util.find_spec("cryptography"):
        raise MissingPackageError(
            "an encrypted gallery needs the package cryptography: pip install 'embedder-enroll[encryption]'"
        )


def _aes(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _encrypted(key: AESGCM, body: bytes, place: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + key.encrypt(nonce, body, place)


def _decrypted(key: AESGCM, sealed: bytes, place: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
    except InvalidTag as error:
        raise ValueError("it cannot be decrypted: it was changed, or is another person's") from error


def _opens(key: AESGCM, sealed: bytes, place: bytes) -> bool:
    try:
        return _decrypted(key, sealed, place) == b""
    except ValueError:
        return False
