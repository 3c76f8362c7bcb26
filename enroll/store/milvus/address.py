"""Parse addresses of galleries in Milvus, and serve Milvus Lite in this process.

```
milvus://[USER:PASSWORD@]HOST[:PORT]/NAME[?OPTION=VALUE&...]    a server or a cluster
milvus+tls://...                                                the same, encrypted
milvus:FILE.db                                                  Milvus Lite, here
```

The file of Milvus Lite is really a folder; all who open it in this process share one server.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from embedder.errors import GalleryError, MissingPackageError, UsageError
from enroll.store.redaction import LITE, without_password

TOKEN = "EMBED_MILVUS_TOKEN"  # environment: USER:PASSWORD, or a key
INDEXES = ("flat", "hnsw", "ivf_flat", "diskann")

_PORT = 19530
_FORM = "expected milvus://HOST:PORT/NAME, or milvus:FILE.db for Milvus Lite"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")  # a collection's name, with room for our suffixes

_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_STALEST = 3600

_GRACE = 2.0  # seconds for answers on their way


@dataclass(frozen=True)
class MilvusAddress:
    """Holds the address of a gallery, and how to lay it out if it is created.

    Attributes:
        uri: of the server, or Milvus Lite's file.
        name: of the gallery there.
        shown: the address for messages, without password.
        token: USER:PASSWORD or a key, "" for none.
        index: one of INDEXES; None uses the existing one, and creates "flat", which is exact.
        shards: number of parts that are written in parallel.
        replicas: number of copies in memory that answer in parallel, from when it is next loaded.
        staleness: seconds for which a search may miss what other clients changed; 0 waits to see it.
    """

    uri: str
    name: str
    shown: str
    token: str = field(default="", repr=False)
    index: str | None = None
    shards: int = 1
    replicas: int = 1
    staleness: float = 0

    @property
    def lite(self) -> bool:
        """Whether it is a file on this machine."""
        return "://" not in self.uri


def is_milvus(location: str | Path) -> bool:
    """Return whether this is an address of Milvus rather than a file of ours."""
    return str(location).startswith(("milvus:", "milvus+tls:"))


def parse_address(location: str) -> MilvusAddress:
    """Parse an address.

    Raises:
        UsageError: it is none, or an option in it is unknown.
    """
    shown = without_password(location)
    scheme, _, rest = location.partition(":")
    if not rest.startswith("//"):
        if not LITE.fullmatch(location):
            raise UsageError(f"--gallery {shown}: {_FORM}")
        return MilvusAddress(str(Path(rest).absolute()), "gallery", shown)
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:  # its message may repeat a part of the password
        raise UsageError(f"--gallery {shown}: {_FORM}, with a number from 1 to 65535 for PORT") from None
    name = unquote(parts.path).removeprefix("/")
    if not host:
        raise UsageError(f"--gallery {shown}: {_FORM}")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--gallery {shown}: expected a name of at most 200 letters a-z, digits and _ after the server, "
            "since Milvus allows no others"
        )
    token = os.environ.get(TOKEN, "")
    if parts.username is not None:
        token = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    secure = "https" if scheme == "milvus+tls" else "http"
    host = f"[{host}]" if ":" in host else host
    return MilvusAddress(f"{secure}://{host}:{port}", name, shown, token, **_options(parts.query, shown))


def _options(query: str, shown: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "index" and value in INDEXES:
            options[key] = value
        elif key in ("shards", "replicas") and value.isdecimal() and 1 <= int(value) <= 16:
            options[key] = int(value)
        elif key == "staleness" and _SECONDS.fullmatch(value) and float(value) <= _STALEST:
            options[key] = float(value)
        else:
            raise UsageError(
                f"--gallery {shown}: expected index={'|'.join(INDEXES)}, shards=1..16, replicas=1..16 or "
                f"staleness=0..{_STALEST} after the ?{f', got {key!r}' if value and '@' not in query else ''}"
            )
    return options


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
    """Return whether Milvus Lite has a database here.

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
