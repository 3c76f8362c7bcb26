"""Read and write the key of encrypted galleries.

`EMBED_GALLERY_KEY` holds it, or `EMBED_GALLERY_KEY_FILE` names the file it is in; `embed --key FILE` is the
latter for one command. It is 32 random bytes in base64, on one line.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from embedder._internal.files import open_file
from embedder._internal.outputs import check_output
from embedder.errors import UsageError
from enroll.store.redaction import without_key

KEY_VARIABLE = "EMBED_GALLERY_KEY"
FILE_VARIABLE = "EMBED_GALLERY_KEY_FILE"
_BYTES = 32
_LONGEST_FILE = 1000  # bytes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """Holds a gallery's key, which is never shown.

    Attributes:
        secret: 32 bytes.
        origin: where it was read, for messages.
    """

    secret: bytes = field(repr=False)
    origin: str


def key_from_environment() -> Key | None:
    """Read the key that the environment holds or names, None if there is none.

    Raises:
        UsageError: it is no key, its file cannot be read, or both variables are set.
    """
    text, path = os.environ.get(KEY_VARIABLE), os.environ.get(FILE_VARIABLE)
    if text and path:
        raise UsageError(
            f"expected one key, got both {KEY_VARIABLE} and {without_key(path)} ({FILE_VARIABLE} or --key)"
        )
    if path:
        return read_key(path)
    return _decoded(text, KEY_VARIABLE) if text else None


def read_key(path: str | Path) -> Key:
    """Read the file of a key.

    Raises:
        UsageError: it cannot be read or holds no key.
    """
    path, shown = Path(path), without_key(path)
    try:
        with open_file(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_LONGEST_FILE).decode("ascii", "replace")
    except FileNotFoundError as error:
        raise UsageError(f"--key {shown}: no key here; `embed gallery new-key FILE` makes one") from error
    except OSError as error:
        raise UsageError(f"--key {shown}: the key cannot be read: {error.strerror}") from error
    if os.name != "nt" and mode & 0o077:
        _warn_once(shown)
    return _decoded(text, shown)


@cache
def _warn_once(shown: str) -> None:
    _log.warning("%s: others can read this key, or write it; `chmod 600` on the file ends that", shown)


def write_new_key(path: str | Path) -> None:
    """Create a key, in a file that only its owner can read.

    Raises:
        UsageError: there is such a file already, or it cannot be written.
    """
    check_output(path, advice="a key that is overwritten is lost; name another file")
    text = base64.b64encode(secrets.token_bytes(_BYTES)) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                Path(path).unlink()
            raise
    except FileExistsError as error:
        raise UsageError(
            f"{without_key(path)}: is already there; a key that is overwritten is lost"
        ) from error
    except OSError as error:
        raise UsageError(f"{without_key(path)}: the key cannot be written: {error.strerror}") from error


def _decoded(text: str, origin: str) -> Key:
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise UsageError(
            f"{origin}: expected a key of {_BYTES} bytes in base64, got something else; "
            "`embed gallery new-key FILE` makes one"
        )
    return Key(secret, origin)
