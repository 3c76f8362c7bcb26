"""Keep pictures that requests enrolled in a folder of their own, named by their SHA-256.

A name from a request never becomes the name of a file.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from embedder._internal.files import make_folder, write_atomic
from embedder._internal.lock import one_at_a_time
from embedder.errors import UsageError

_OURS = re.compile(r"[0-9a-f]{64}")
_PATIENCE = 60.0  # seconds for another process of this server


class PictureFolder:
    """Holds enrolled pictures in a folder that only its owner can read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._turn = threading.Lock()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Let one thread or process at a time write a picture and enroll it, or erase both."""
        self._make()
        with self._turn, one_at_a_time(self.folder / ".lock", _PATIENCE):  # threads wait without asking again
            yield

    def place(self, digest: bytes) -> Path:
        """Return where the picture with a digest is, or would be."""
        return self.folder / digest.hex()

    def keep(self, digest: bytes, data: bytes) -> Path:
        """Write a picture, and return its path; it is on disk then.

        Args:
            digest: SHA-256 of it, 32 bytes.
            data: its content.

        Raises:
            UsageError: it cannot be written.
        """
        path = self.place(digest)
        try:
            if not path.is_file():
                write_atomic(path, data, private=True)
        except OSError as error:
            raise UsageError(f"the picture cannot be kept: {error.strerror}") from error
        return path

    def erase(self, digests: Iterable[bytes]) -> None:
        """Delete pictures; missing ones are ignored."""
        for digest in digests:
            self.place(digest).unlink(missing_ok=True)

    def all(self) -> list[bytes]:
        """List the digests of all pictures."""
        if not self.folder.is_dir():
            return []
        return [bytes.fromhex(entry.name) for entry in self.folder.iterdir() if _OURS.fullmatch(entry.name)]

    def _make(self) -> None:
        try:
            if not self.folder.is_dir():
                make_folder(self.folder, 0o700)
        except OSError as error:
            raise UsageError(f"{self.folder}: pictures cannot be kept there: {error.strerror}") from error
