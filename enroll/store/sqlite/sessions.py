"""Share the connections to one gallery between threads: one for each that works, kept for the next.

SQLite lets any number read at once, each in a transaction of its own, but a connection has one transaction.
Threads that write take turns here, so that none waits as it would for another process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedder.errors import GalleryError
from enroll.store.keys import Key
from enroll.store.sqlite.connection import Connection
from enroll.store.sqlite.encryption import Sealer
from enroll.store.sqlite.opening import gallery_salt, open_gallery
from enroll.store.sqlite.reader import RowReader
from enroll.store.sqlite.writer import Writer

_KEPT = 8  # connections that no thread uses; each has one file open, or two


@dataclass(frozen=True, eq=False)
class Session:
    """Holds a connection with its reader and writer; used by one thread at a time."""

    connection: Connection
    reader: RowReader
    writer: Writer

    @classmethod
    def over(cls, connection: Connection, sealer: Sealer) -> Session:
        """Build reader and writer for a connection."""
        reader = RowReader(connection, sealer)
        return cls(connection, reader, Writer(connection, sealer, reader))


class Sessions:
    """Holds the connections to a gallery. Threads may share it.

    Attributes:
        keys: id of the file with the gallery's keys, None if it is not encrypted.
    """

    def __init__(self, path: Path, create: bool, key: Key | None, plain_too: bool) -> None:
        """Open a gallery; see `opening.open_gallery`."""
        self._path, self._key, self._plain_too = path, key, plain_too
        connection, sealer, self.keys = open_gallery(path, create, key, plain_too)
        self._salt = gallery_salt(connection)
        self._idle = [Session.over(connection, sealer)]
        self._own = threading.local()
        self._lock = threading.Lock()
        self._turn = threading.RLock()
        self._closed = False

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Lend this thread a session; a nested block gets the same one.

        Raises:
            GalleryError: the gallery was closed, or cannot be opened any more.
        """
        if (held := getattr(self._own, "session", None)) is not None:
            yield held
            return
        taken = self._own.session = self._take()
        try:
            yield taken
        finally:
            self._own.session = None
            self._give_back(taken)

    @contextmanager
    def turn(self, session: Session) -> Iterator[None]:
        """Wait until no other thread writes; a thread in a transaction does not wait."""
        if session.connection.in_transaction:
            yield
            return
        with self._turn:
            yield

    def here(self) -> Session:
        """Return the session of this thread, or the one it would get next."""
        held: Session | None = getattr(self._own, "session", None)
        return held or self._idle[-1]

    def close(self) -> None:
        """Close all sessions; those in use when they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.connection.close()

    def _take(self) -> Session:
        with self._lock:
            if self._closed:
                raise GalleryError(f"{self._path}: the gallery cannot be used: it was closed")
            if self._idle:
                return self._idle.pop()
        connection, sealer, _ = open_gallery(self._path, False, self._key, self._plain_too)
        if gallery_salt(connection) != self._salt:
            connection.close()
            raise GalleryError(f"{self._path}: another gallery took its place meanwhile; open it again")
        return Session.over(connection, sealer)

    def _give_back(self, session: Session) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT:
                self._idle.append(session)
                return
        session.connection.close()
