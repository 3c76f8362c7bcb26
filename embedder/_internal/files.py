"""Read regular files, write files atomically, and keep a cache folder of bounded size.

Pipes, sockets and devices are refused, since reading them may never end. Written files are complete also
after a power cut.

A cache folder holds data by key that can be computed again: it is private, shared by processes, and safe to
delete. A damaged or foreign entry counts as missing, and if nothing can be written, work goes on without a
cache.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

NO_FILE = "expected a file"  # start of the message on a path that is no regular file
_MAGIC = b"embedder cache 1"
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size
_FOLDER, _ENTRY = re.compile("[0-9a-f]{2}"), re.compile("[0-9a-f]{62}")
TEMPORARY = re.compile(r"\.embed-[0-9a-f]{16}")  # names of files that `write_atomic` has not renamed yet
_UNFINISHED, _HOUR = re.compile(r"\.[0-9a-f]{16}"), 3600
_BLOCK = 4096  # bytes: size of the smallest file on a disk


def check_file(path: str | Path) -> int:
    """Check that a path is a regular file, without opening it, and return its size in bytes.

    Raises:
        OSError: the file is missing, or a folder, pipe, socket or device; `strerror` says which.
    """
    try:
        return _size(Path(path).stat(), path)
    except ValueError as error:  # a NUL byte in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from error


def is_other_than_file(path: Path) -> bool:
    """Return whether a folder, pipe, socket or device is at a path; False if nothing is.

    It is one question to the system: a file that is deleted between two would be taken for a pipe.

    Raises:
        OSError: the path cannot be looked at.
    """
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except ValueError:  # a NUL byte in the name
        return False
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
        OSError: the path is no regular file, see `check_file`, or may not be read.
    """
    check_file(path)  # before opening, which may have an effect on a device
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _size(os.fstat(descriptor), path)  # again, as the file may have been replaced since
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: str | Path, limit: int | None = None) -> bytes:
    """Read a regular file.

    Args:
        path: path of the file.
        limit: largest size in bytes; None: any.

    Raises:
        OSError: the path is no regular file, may not be read, or has more bytes.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise OSError(errno.EFBIG, f"expected a file of at most {limit} bytes, got {size}", str(path))
        return file.read(size)  # not what is appended meanwhile


def _size(status: os.stat_result, path: str | Path) -> int:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, f"{NO_FILE}, got a folder", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"{NO_FILE}, got a device, pipe or socket", str(path))
    return status.st_size


def write_atomic(
    path: Path, data: bytes | Iterable[bytes], replace: bool = True, private: bool = False
) -> None:
    """Write a file atomically: readers get the old or the new content; permissions stay.

    Args:
        path: path of the file.
        data: content, whole or in parts; if the iterable raises an error, the old content stays.
        replace: whether an existing file is replaced, also one that was made just now.
        private: whether only the owner may read the file, whatever its permissions before.

    Raises:
        FileExistsError: the file exists, and `replace` is False.
        OSError: the disk is full or the folder cannot be written; the content is the old or the new one.
    """
    temporary = path.parent / f".embed-{secrets.token_hex(8)}"
    try:
        mode = 0o600 if private else 0o666  # the system removes the bits of the umask
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            if not private:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copymode(path, temporary)
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            _move_new(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def is_abandoned(status: os.stat_result) -> bool:
    """Return whether a temporary file is older than an hour: a newer one may still be written."""
    return status.st_mtime < time.time() - _HOUR


def _move_new(temporary: Path, path: Path) -> None:
    """Rename a file to a name that no other file has."""
    try:
        os.link(temporary, path)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a file system without hard links
        path.open("xb").close()
        try:
            temporary.replace(path)
        except OSError:
            path.unlink(missing_ok=True)  # no empty file is left in its place
            raise
    else:
        temporary.unlink()


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and its missing parents, and sync them to disk.

    Args:
        folder: path of the folder.
        mode: its permissions from the first moment, less those that the umask takes.

    Raises:
        OSError: a folder cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(mode, parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder to disk, so that the names in it are there after a power cut.

    Raises:
        OSError: the folder cannot be synced.
    """
    if os.name == "nt":  # Windows cannot sync a folder, and does not need to
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """Return the cache folder: `EMBED_CACHE`, or the system's folder for caches of the user.

    Raises:
        RuntimeError: the user has no home folder.
    """
    if own := os.environ.get("EMBED_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "embedder"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "embedder"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the specification ignores a relative path
    return (base if base.is_absolute() else Path.home() / ".cache") / "embedder"


class DiskCache:
    """Stores bytes by key in a file each, for any number of threads and processes.

    Args:
        name: name of the folder that is made in `folder`; nothing else there is changed.
        note: text of the README in the folder.
        limit: largest size in bytes after `prune`; before, the size may be twice as large.
        folder: parent folder; None: that of `cache_folder`.

    Attributes:
        trouble: reason why nothing more is stored, one sentence; None if there is none.
    """

    def __init__(self, name: str, note: str, limit: int, folder: str | Path | None = None) -> None:
        self._note, self._limit, self._used = note, limit, 0
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self.trouble: str | None = None
        try:
            folder = Path(folder or cache_folder()).absolute() / name
            self._make(folder)
            self._folder = folder
        except (OSError, RuntimeError) as error:
            self._give_up(folder, error)

    def get(self, key: bytes) -> bytes | None:
        """Return the bytes of a key; None if they are missing or damaged."""
        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        try:
            data = read_file(path)
        except OSError:
            return None
        body = data[_HEAD:]
        if data != _sealed(key, body):
            return None
        self._use(data)
        with contextlib.suppress(OSError):
            os.utime(path)  # the time of use, as many file systems do not record when a file was read
        return body

    def put(self, key: bytes, body: bytes) -> None:
        """Store bytes, unless `prune` would then delete entries that this run has used."""
        data = _sealed(key, body)
        if self._folder is None or self.trouble or not self._use(data):
            return
        path = self._path(self._folder, key)
        try:
            try:
                _write(path, data)
            except FileNotFoundError:  # the first in its folder, or the folder was deleted meanwhile
                self._make(self._folder)
                path.parent.mkdir(mode=0o700, exist_ok=True)
                _write(path, data)
        except (FileNotFoundError, FileExistsError):
            pass  # deleted or written again by another process, between two steps
        except OSError as error:
            if not path.exists():  # on Windows a file that is being read cannot be replaced
                self._give_up(self._folder, error)

    def prune(self) -> None:
        """Delete the least recently used entries beyond the limit."""
        entries = sorted(_entries(self._folder)) if self._folder else []
        excess = sum(size for _, size, _ in entries) - self._limit
        for _, size, path in entries:
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                Path(path).unlink()
            excess -= size

    def _path(self, folder: Path, key: bytes) -> Path:
        name = hashlib.sha256(key).hexdigest()
        return folder / name[:2] / name[2:]

    def _use(self, data: bytes) -> bool:
        with self._lock:
            fits = self._used + _on_disk(len(data)) <= self._limit
            self._used += _on_disk(len(data)) if fits else 0
        return fits

    def _make(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid"):
            if folder.stat().st_uid != os.getuid():  # another user, who could write any content
                raise PermissionError(errno.EPERM, "the folder belongs to someone else", str(folder))
            folder.chmod(0o700)
        readme = folder / "README.txt"
        if not readme.exists():
            readme.write_text(self._note, encoding="utf-8")

    def _give_up(self, folder: str | Path | None, error: Exception) -> None:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        self.trouble = (
            f"{folder or 'the cache'}: nothing is kept for the next run: {reason}; make it writable, or set "
            "EMBED_CACHE to another folder"
        )


def _sealed(key: bytes, body: bytes) -> bytes:
    """Prepend a header with a digest of key and content, by which `get` checks an entry."""
    return _MAGIC + hashlib.sha256(key + body).digest() + body


def _write(path: Path, data: bytes) -> None:
    """Write a file by a rename; it is not synced, as `get` detects damage by a power cut."""
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _entries(root: Path) -> Iterator[tuple[float, int, str]]:
    """List last use, size and path of all entries; delete temporary files older than an hour."""
    for folder in _scan(root, _FOLDER):
        for entry in _scan(folder.path, _UNFINISHED):
            with contextlib.suppress(OSError):
                if is_abandoned(entry.stat()):
                    Path(entry.path).unlink()
        for entry in _scan(folder.path, _ENTRY):
            with contextlib.suppress(OSError):
                status = entry.stat()
                yield status.st_mtime, _on_disk(status.st_size), entry.path


def _scan(folder: str | Path, names: re.Pattern[str]) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [entry for entry in entries if names.fullmatch(entry.name)]
    return []


def _on_disk(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
