"""Connect to a SQLite file: wait for other writers, keep changes atomic, trust no file.

A change of two files at once is undone by two journals, and each names a third file, which SQLite deletes
when it is done. So whoever plants a journal beside a gallery could choose a file to be deleted. Ours name a
file beside the gallery; any other is refused before SQLite sees it. The end of a journal (pager.c,
readSuperJournal): name, its length and the sum of its bytes, 4 bytes each, big-endian, and 8 bytes that
never differ.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from embedder._internal.files import check_file
from embedder.errors import GalleryError

_MAGIC = bytes.fromhex("d9d505f920a163d7")
_END = struct.Struct(">II8s")
_OURS = re.compile(rb".*-mj[0-9A-F]{9}", re.DOTALL)  # main.c, vdbeCommit: "%s-mj%06X9%02X"

_NOTICE = 1.0  # seconds of waiting for another process before saying so
_PATIENCE = 600.0  # seconds before giving up: someone else's import of a large gallery takes minutes
_CHUNK = 1024  # rows read at a time
_IN = 500  # values looked up at a time; old versions of SQLite allow 999
_LONGEST = 1 << 26  # bytes of one value; the longest of ours are the people of a calibration, 8 bytes each

_IN_MEMORY = ":memory:"

_LEFT_OPEN: dict[tuple[int, int], int] = {}  # descriptors by device and number; see `_has_log`

_PRIVATE = 0o600  # SQLite gives a journal the mode of its file

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def check_journal(path: Path) -> None:
    """Check that a file's journal names only a file that SQLite made beside it.

    Raises:
        GalleryError: it does, or cannot be read.
    """
    real = Path(os.path.realpath(path))  # a link's journal is where it leads to
    journal = real.with_name(f"{real.name}-journal")
    try:
        if not journal.is_file():
            return
        with journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < _END.size:
                return
            file.seek(size - _END.size)
            length, _, magic = _END.unpack(file.read(_END.size))
            if magic != _MAGIC or not length or length > size - _END.size:
                return
            file.seek(size - _END.size - length)
            name = file.read(length)
    except FileNotFoundError:  # its transaction ended in between
        return
    except OSError as error:
        raise GalleryError(f"{journal}: cannot be read: {error.strerror}") from error
    if not _OURS.fullmatch(name) or Path(os.fsdecode(name)).parent != real.parent:
        raise GalleryError(
            f"{journal}: of a gallery that was moved after a crash, or made to do harm: it names "
            f"{os.fsdecode(name)!r}; move both back, or restore a copy of the gallery"
        )


class Connection:
    """Holds one open SQLite file, and another one while that is attached.

    One thread at a time may use it.

    Attributes:
        path: the file.
        when_undone: functions called after a change was rolled back.
    """

    def __init__(self, path: Path | None) -> None:
        """Open a file, or create it; None is a database in memory.

        Raises:
            GalleryError: it cannot be opened, or is no database.
        """
        self.path = path or Path(_IN_MEMORY)
        self.when_undone: list[Callable[[], object]] = []
        if path:
            check_journal(path)
            _make_private(path)
        try:
            # Absolute, since SQLite takes a file of that name, or of none, for something else.
            place = path.absolute() if path else _IN_MEMORY
            # One thread at a time has it: see `enroll.store.sqlite.sessions`.
            self._raw = sqlite3.connect(place, timeout=_NOTICE, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise GalleryError(f"{path}: cannot be opened as a gallery: {error}") from error
        try:
            self._raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
            for pragma in (
                "trusted_schema = OFF",  # a foreign file's triggers and views call nothing
                "foreign_keys = ON",
                "cell_size_check = ON",
                "temp_store = MEMORY",  # nothing of a gallery in a folder for everyone's temporary files
            ):
                self.run(f"PRAGMA {pragma}")
            self._set_safe_pragmas("main")
        except BaseException:
            self.close()
            raise

    def _set_safe_pragmas(self, schema: str) -> None:
        self._switch_off_log(schema)
        for pragma in (
            "synchronous = EXTRA",  # committed means on the disk, its folder too
            "secure_delete = ON",  # erased means overwritten
        ):
            self.run(f"PRAGMA {schema}.{pragma}")

    def _switch_off_log(self, schema: str) -> None:
        """Switch off write-ahead logging, whose log would keep what was erased.

        Another program that has a log open keeps it as long as it likes, even if it never writes, so that is
        not waited for.
        """
        pragma = f"PRAGMA {schema}.journal_mode = DELETE"
        with self._errors():
            try:
                mode = self._raw.execute(pragma).fetchone()
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                mode = None
        if (mode is None and _has_log(self.path)) or mode == ("wal",):
            raise GalleryError(
                f"{self.path}: another program has it open with a log beside it (SQLite's WAL mode); close "
                "it there, then try again"
            )
        if mode is None:
            self.run(pragma)

    def attach(self, path: Path, schema: str) -> None:
        """Attach another file, so that one transaction spans both.

        Args:
            path: of the file.
            schema: its name in statements.
        """
        check_journal(path)
        _make_private(path)
        # As bytes, since a name that is not UTF-8 is no text.
        self.run(f"ATTACH ? AS {schema}", (os.fsencode(path.absolute()),))
        self._set_safe_pragmas(schema)

    def detach(self, schema: str) -> None:
        """Detach another file."""
        self.run(f"DETACH {schema}")

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def size(self) -> int:
        """The number of bytes of the file."""
        return int(self.row("PRAGMA page_count")[0]) * int(self.row("PRAGMA page_size")[0])

    def run(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement, and return how many rows it changed."""
        return self._wait_for(lambda: self._raw.execute(statement, values)).rowcount

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once per row, in a transaction."""
        with self._errors():
            self._raw.executemany(statement, rows)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Read all rows."""
        return self._wait_for(lambda: self._raw.execute(query, values).fetchall())

    def rows_in(self, query: str, values: Iterable[Any]) -> Iterator[list[Any]]:
        """Read the rows of a query whose last condition is one of many values, up to 500 at a time."""
        values = list(values)
        for start in range(0, len(values), _IN):
            some = values[start : start + _IN]
            yield self.rows(f"{query} IN ({', '.join('?' * len(some))})", some)

    def row(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Read the first row, None if there is none."""
        return self._wait_for(lambda: self._raw.execute(query, values).fetchone())

    def chunks(self, query: str, values: Sequence[Any] = ()) -> Iterator[list[Any]]:
        """Read rows up to 1,024 at a time, so that a million are never in memory at once."""
        cursor = self._wait_for(lambda: self._raw.execute(query, values))
        while True:
            with self._errors():
                rows = cursor.fetchmany(_CHUNK)
            if not rows:
                return
            yield rows

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._raw.in_transaction

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read consistently inside the block."""
        if self.in_transaction:
            yield
            return
        self.run("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make all changes inside the block, or none if one fails.

        A nested block joins the outer one.
        """
        if self.in_transaction:
            yield
            return
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            self._roll_back()
            for call in self.when_undone:
                call()
            raise

    def _roll_back(self) -> None:
        if self.in_transaction:  # SQLite rolls back by itself if the disk fails
            with self._errors():
                self._raw.execute("ROLLBACK")

    def _wait_for(self, call: Callable[[], _T]) -> _T:
        """Retry while another process locks the file; SQLite itself waits `_NOTICE` each time."""
        begun, noticed = time.monotonic(), False
        while True:
            with self._errors():
                try:
                    return call()
                except sqlite3.OperationalError as error:
                    if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                    if (waited := time.monotonic() - begun) > _PATIENCE:
                        raise GalleryError(
                            f"{self.path}: another process has been writing to it for {waited:.0f} seconds; "
                            "end that one, or try again when it is done"
                        ) from error
            if not noticed:
                _log.warning("waiting for another process that is writing to %s", self.path)
                noticed = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's own words may be broken too
            raise GalleryError(f"{self.path}: the gallery cannot be used: {error}") from error


def _has_log(path: Path) -> bool:
    """Return whether a file is in WAL mode: its header does (https://sqlite.org/fileformat.html, 1.3.3).

    It stays open: closing it would take the locks of all connections of this process to it away
    (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    try:
        about = path.stat()
        place = about.st_dev, about.st_ino
        if place not in _LEFT_OPEN:
            check_file(path)
            _LEFT_OPEN[place] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        os.lseek(_LEFT_OPEN[place], 18, os.SEEK_SET)
        return os.read(_LEFT_OPEN[place], 2) == b"\2\2"
    except OSError:
        return False


def _make_private(path: Path) -> None:
    """Create a missing file so that only its owner can read it, whatever the umask.

    An existing one keeps its mode: a group may share it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE))
    except FileExistsError:
        pass
    except OSError as error:
        raise GalleryError(f"{path}: cannot be opened as a gallery: {error.strerror}") from error
