"""Create, list, revoke and recognize the keys of a server; only their hashes are stored.

A key is a random UUID, as the clients of CompreFace need it. Its first 8 digits name it, in lists, logs and
the gallery's audit log; the others are the secret.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from embedder._internal.files import read_file, write_atomic
from embedder._internal.lock import one_at_a_time
from embedder.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

Scope = Literal["identify", "enroll", "administer"]
SCOPES: tuple[str, ...] = get_args(Scope)  # each includes those before it

_PATIENCE = 10.0  # seconds for another command that changes the file
_REMEMBERED = 1000  # keys whose hash was checked


@dataclass(frozen=True)
class Key:
    """Holds a key as it is stored.

    Attributes:
        name: its first 8 digits.
        scope: what it allows.
        label: a note for people, such as its owner.
        made: day, ISO 8601.
        hashed: by argon2id.
    """

    name: str
    scope: str
    label: str
    made: str
    hashed: str

    def allows(self, scope: str) -> bool:
        """Return whether the key allows a scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


NO_KEY = Key("", "identify", "", "", "")


class KeyFile:
    """Holds the keys of a server; changes of other processes are seen at the next request.

    Threads may share it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._secret = secrets.token_bytes(32)  # of this process: the cached hashes are of no use elsewhere
        self._checked: dict[bytes, str] = {}  # keyed hash of a sent key -> stored hash of that key, or ""
        self._read: tuple[tuple[int, int, int] | None, dict[str, Key]] = (None, {})
        self._lock = threading.Lock()

    def listed(self) -> list[Key]:
        """Return all keys, the oldest first.

        Raises:
            UsageError: the file is not ours or broken.
        """
        return list(self._current().values())

    def new(self, scope: str, label: str = "") -> str:
        """Create a key, and return it; it cannot be read again.

        Args:
            scope: what it allows.
            label: a note for people, such as its owner.

        Raises:
            UsageError: no such scope, or the file cannot be written.
        """
        if scope not in SCOPES:
            raise UsageError(f"--scope: expected one of {', '.join(SCOPES)}, got {scope!r}")
        if len(label) > 100 or not label.isprintable():
            raise UsageError(
                f"--label: expected at most 100 characters that can be shown, got {label[:120]!r}"
            )
        with self._changing() as kept:
            key = str(uuid.uuid4())
            while key[:8] in kept:
                key = str(uuid.uuid4())
            today = datetime.now(UTC).date().isoformat()
            kept[key[:8]] = Key(key[:8], scope, label, today, _hasher().hash(key))
        return key

    def revoke(self, name: str) -> Key:
        """Delete a key, by its first 8 digits or more of them.

        Raises:
            UsageError: there is no such key.
        """
        with self._changing() as kept:
            if (gone := kept.pop(name.strip().lower()[:8], None)) is None:
                raise UsageError(f"{name[:8]!r}: no such key; `embed serve keys list` lists them")
        return gone

    def find(self, given: str) -> Key | None:
        """Find a key by its hash.

        The first time takes a fraction of a second, which slows down guessing.

        Args:
            given: any text that was sent.
        """
        if (known := self.remembered(given)) is not None:
            return known if known.name else None
        text = normal_key(given)
        key = self._current().get(text[:8])
        right = self._matches(key.hashed if key else self._hash_of_no_key, text)
        with self._lock:
            if len(self._checked) >= _REMEMBERED:
                self._checked.clear()
            self._checked[self._mark(text)] = key.hashed if key and right else ""
        return key if right else None

    def remembered(self, given: str) -> Key | None:
        """Find a key that was checked before, without hashing.

        Returns:
            The key, `NO_KEY` if it is known to be none, None if it has not been checked.
        """
        text = normal_key(given)
        keys = self._current()  # clears the cache if the file has changed
        hashed = self._checked.get(self._mark(text))
        if hashed is None:
            return None
        key = keys.get(text[:8])
        return key if key is not None and hashed and key.hashed == hashed else NO_KEY

    def _mark(self, text: str) -> bytes:
        return hmac.digest(self._secret, text.encode("utf-8", "replace"), sha256)

    @cached_property
    def _hash_of_no_key(self) -> str:
        """A hash of no key, so that refusing an unknown name takes as long as refusing a known one."""
        return _hasher().hash(secrets.token_hex(16))

    def _matches(self, hashed: str, text: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        try:
            return _hasher().verify(hashed, text)
        except (Argon2Error, InvalidHashError):
            return False

    def _current(self) -> dict[str, Key]:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror}") from error
        mark = facts.st_mtime_ns, facts.st_size, facts.st_ino
        if self._read[0] != mark:
            keys = _parsed(self.path)
            with self._lock:
                self._checked.clear()
                self._read = mark, keys
        return self._read[1]

    def _changing(self) -> _Change:
        return _Change(self.path)


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher
    from argon2.profiles import RFC_9106_LOW_MEMORY

    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


class _Change:
    """Holds the keys during a change, with a lock against other processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = one_at_a_time(path.with_name(f"{path.name}.lock"), _PATIENCE)

    def __enter__(self) -> dict[str, Key]:
        self._turn.__enter__()
        try:
            self._kept = _parsed(self._path) if self._path.exists() else {}
        except BaseException:
            self._turn.__exit__(None, None, None)
            raise
        return self._kept

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                text = json.dumps({"keys": [asdict(key) for key in self._kept.values()]}, indent=1)
                _write(self._path, text)
        finally:
            self._turn.__exit__(None, None, None)


def normal_key(given: str) -> str:
    """Return a key in its standard form: lower case, with dashes."""
    text = given.strip()[:64]
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text.lower()


def is_uuid(given: str) -> bool:
    """Return whether a text has the form of a key."""
    try:
        uuid.UUID(given.strip())
    except ValueError:
        return False
    return len(given.strip()) == 36


def _parsed(path: Path) -> dict[str, Key]:
    try:
        content = json.loads(read_file(path))
        keys = [Key(**entry) for entry in content["keys"]]
        for key in keys:
            if key.scope not in SCOPES or not all(isinstance(part, str) for part in asdict(key).values()):
                raise ValueError(f"the key {str(key.name)[:8]!r}")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f"{path}: not a file of keys, or broken ({error}); restore it, or remove it"
        ) from error
    return {key.name: key for key in keys}


def _write(path: Path, text: str) -> None:
    try:
        write_atomic(path, text.encode(), private=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
