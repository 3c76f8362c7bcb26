"""How what is about a person is written: as it is, or encrypted; and how it is found again.

Names and digests are found by a keyed hash (HMAC-SHA256, RFC 2104, its first 16 bytes), since an index may
keep copies of what was erased. In a plain gallery the key of the hash is in the gallery: whoever guesses a
name can check it there, as with the name itself. In an encrypted one (`keyring`) it takes the gallery's key.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Protocol

HANDLE = 16  # bytes
SALT = 16  # bytes


class Sealer(Protocol):
    """Seals the rows of people, each with a key of that person's own."""

    def handle(self, kind: str, value: bytes) -> bytes:
        """Give what a name or a digest is found by, `HANDLE` bytes."""

    def seal(self, person: int, table: str, row: int, body: bytes) -> bytes:
        """Write something of a person's, to be read only in that place."""

    def unseal(self, person: int, table: str, row: int, sealed: bytes) -> bytes:
        """Read it again.

        Raises:
            ValueError: it was written by someone else, for another person or in another place.
        """

    def unseal_all(
        self, people: Sequence[int], table: str, rows: Sequence[int], sealed: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Read many again; raises as `unseal`."""

    def enter(self, person: int) -> None:
        """Make a new person's key."""

    def forget(self, person: int) -> None:
        """Erase a person's key."""

    def last(self) -> int:
        """The highest id that a person with a key has, 0 if there is none."""

    def keyless(self) -> list[int]:
        """Ids of the people whose key is gone."""


class Plain:
    """Writes everything as it is."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def handle(self, kind: str, value: bytes) -> bytes:
        """Give what a name or a digest is found by."""
        return handle(self._salt, kind, value)

    def seal(self, person: int, table: str, row: int, body: bytes) -> bytes:
        """Give it as it is."""
        return body

    def unseal(self, person: int, table: str, row: int, sealed: bytes) -> bytes:
        """Give it as it is."""
        return sealed

    def unseal_all(
        self, people: Sequence[int], table: str, rows: Sequence[int], sealed: Sequence[bytes]
    ) -> Sequence[bytes]:
        """Give all as they are."""
        return sealed

    def enter(self, person: int) -> None:
        """Need no key."""

    def forget(self, person: int) -> None:
        """Have none."""

    def last(self) -> int:
        """Know of no one."""
        return 0

    def keyless(self) -> list[int]:
        """Miss none."""
        return []


def handle(key: bytes, kind: str, value: bytes) -> bytes:
    """Hash a value of a kind with a key."""
    return hmac.digest(key, kind.encode() + b"\0" + value, "sha256")[:HANDLE]
