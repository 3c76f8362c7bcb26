"""Milvus Lite: one file of ours, a folder really, served inside this process to all who open it here."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedder.errors import GalleryError, MissingPackageError

_GRACE = 2.0  # seconds for answers on their way


@dataclass
class _Served:
    server: Any
    database: Any
    port: int
    turn: threading.Lock
    users: int


_served: dict[Path, _Served] = {}
_lock = threading.Lock()


def is_there(path: Path, shown: str) -> bool:
    """Say whether Milvus Lite has a database here.

    Raises:
        GalleryError: something else is in its place.
    """
    try:
        if not path.exists():
            return False
        if not path.is_dir():
            raise GalleryError(f"{shown}: expected a folder of Milvus Lite, got a file; leave out milvus:")
        if any(path.iterdir()) and not (path / "collections").is_dir():
            raise GalleryError(f"{shown}: expected a folder of Milvus Lite, got another one; name a new one")
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise GalleryError(f"{shown}: cannot be opened: {error.strerror}") from error
    return True


def serve(path: Path, shown: str) -> tuple[str, threading.Lock]:
    """Serve a database until `release` was called as often.

    Returns:
        Its address, and a lock to hold in each request: two inserts at once spoil its log (milvus-lite 3.2).

    Raises:
        GalleryError: it cannot be opened.
        MissingPackageError: milvus-lite is not installed.
    """
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import MilvusLiteError
    except ImportError as error:
        raise MissingPackageError(
            f"{shown}: needs milvus-lite; install it by `pip install 'embedder-enroll[milvus]'`"
        ) from error
    with _lock:
        if path not in _served:
            try:
                if not path.parent.is_dir():
                    raise GalleryError(f"{shown}: the folder {path.parent} does not exist; make it first")
                path.mkdir(mode=0o700, exist_ok=True)  # whatever the umask
                server, database, port = start_server_in_thread(str(path))
                _served[path] = _Served(server, database, port, threading.Lock(), users=0)
            except (MilvusLiteError, OSError, ValueError) as error:
                raise GalleryError(
                    f"{shown}: cannot be opened: {error}; if another program has it open, wait for it: "
                    "Milvus Lite is for one program at a time"
                ) from error
        _served[path].users += 1
        return f"http://127.0.0.1:{_served[path].port}", _served[path].turn


def release(path: Path) -> None:
    """End one use; the last one closes the database."""
    with _lock:
        _served[path].users -= 1
        if _served[path].users:
            return
        gone = _served.pop(path)
        gone.server.stop(_GRACE).wait()
        gone.database.close()
