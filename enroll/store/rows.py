"""What the rows of a gallery hold: how it is packed into bytes, and the checksum that finds accidents."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from datetime import date

from enroll.store.contract import Terms

Field = int | str | bytes | None

DIGEST = 32  # bytes of SHA-256
NEVER = date.max.toordinal() + 1  # the day on which someone without a last day expires

_INTEGER = struct.Struct("<q").pack
_INTEGERS = struct.Struct("<qq").pack


def checksum(*fields: Field) -> int:
    """CRC-32 of the fields of a row, one after the other; integers as 8 bytes, texts as UTF-8.

    Raises:
        ValueError: something that no row of ours holds.
    """
    return zlib.crc32(b"".join(map(_as_bytes, fields)))


def is_sound(row: tuple[Field, ...]) -> bool:
    """Say whether a row, whose last field is its checksum, is as it was written."""
    try:
        return checksum(*row[:-1]) == row[-1]
    except ValueError:
        return False


def template_checksums(
    rows: Iterable[int], people: Iterable[int], handles: Iterable[bytes], bodies: Iterable[bytes]
) -> list[int]:
    """`checksum` of rows of `template`, ten times as fast: there may be a million.

    Raises:
        ValueError: something that no row of ours holds.
    """
    try:
        begun = map(zlib.crc32, map(_INTEGERS, rows, people))
        return list(map(zlib.crc32, bodies, map(zlib.crc32, handles, begun)))
    except (TypeError, struct.error) as error:
        raise ValueError(str(error)) from error


def _as_bytes(field: Field) -> bytes:
    if isinstance(field, bytes):
        return field
    if isinstance(field, int):
        return _INTEGER(field)
    if field is None:
        return b"\0"
    if isinstance(field, str):
        return field.encode()
    raise ValueError(f"expected an integer, text or bytes, got {type(field).__name__}")


def pack_template(photo: str, digest: bytes, vector: bytes) -> bytes:
    """Join a template's vector, the digest of its picture and where that came from."""
    if len(digest) != DIGEST:
        raise ValueError(f"{photo}: expected a digest of {DIGEST} bytes, got {len(digest)}")
    return vector + digest + photo.encode()


def unpack_template(body: bytes, dim: int) -> tuple[str, bytes, bytes]:
    """Give photo, digest and vector of what `pack_template` joined.

    Raises:
        ValueError: it is too short, or the photo is not UTF-8.
    """
    vector, digest, photo = body[: 4 * dim], body[4 * dim : 4 * dim + DIGEST], body[4 * dim + DIGEST :]
    if len(digest) != DIGEST:
        raise ValueError(f"a template is not {dim} numbers long")
    return photo.decode(), digest, vector


def expiry(terms: Terms) -> int:
    """Give the last day of someone, as it is stored."""
    return NEVER if terms.expires is None else terms.expires.toordinal()


def pack_profile(name: str, terms: Terms) -> bytes:
    """Write a person's name and terms; `expires` has a column of its own, which can be searched."""
    given = terms.consent_date and terms.consent_date.isoformat()
    return json.dumps([name, terms.consent, given], ensure_ascii=False, separators=(",", ":")).encode()


def unpack_profile(body: bytes, expires: int) -> tuple[str, Terms]:
    """Give name and terms of what `pack_profile` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        name, consent, given = json.loads(body)
        last = None if expires == NEVER else date.fromordinal(expires)
        terms = Terms(consent, None if given is None else date.fromisoformat(given), last)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"a person cannot be read: {error}") from error
    if not isinstance(name, str) or not isinstance(consent, str | None):
        raise ValueError("a name is not text")
    return name, terms
