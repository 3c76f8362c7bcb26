"""Addresses of galleries that Milvus keeps.

```
milvus://[USER:PASSWORD@]HOST[:PORT]/NAME[?index=hnsw&shards=2&replicas=1]    a server or a cluster
milvus+tls://...                                                             the same, encrypted
milvus:FILE.db                                                               Milvus Lite, here
```
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from embedder.errors import UsageError
from enroll.store.hiding import LITE, without_password

TOKEN = "EMBED_MILVUS_TOKEN"  # environment: USER:PASSWORD, or a key
INDEXES = ("flat", "hnsw", "ivf_flat", "diskann")

_PORT = 19530
_FORM = "expected milvus://HOST:PORT/NAME, or milvus:FILE.db for Milvus Lite"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")  # what Milvus calls collections by, with room for ours


@dataclass(frozen=True)
class MilvusAddress:
    """Where a gallery is, and how it is laid out if it is made anew.

    Attributes:
        uri: of the server, or Milvus Lite's file.
        name: of the gallery there.
        shown: the address for messages, without password.
        token: USER:PASSWORD or a key, "" for none.
        index: one of INDEXES; None takes what is there, and makes "flat", which is exact.
        shards: parts that take what is written side by side.
        replicas: copies in memory that answer side by side, from when it is next loaded.
    """

    uri: str
    name: str
    shown: str
    token: str = field(default="", repr=False)
    index: str | None = None
    shards: int = 1
    replicas: int = 1

    @property
    def lite(self) -> bool:
        """Whether it is a file on this machine."""
        return "://" not in self.uri


def is_milvus(location: str | Path) -> bool:
    """Say whether this is an address of Milvus rather than a file of ours."""
    return str(location).startswith(("milvus:", "milvus+tls:"))


def parse_address(location: str) -> MilvusAddress:
    """Read an address.

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
    except ValueError:  # its words repeat a part of what may be the password
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
        else:
            raise UsageError(
                f"--gallery {shown}: expected index={'|'.join(INDEXES)}, shards=1..16 or replicas=1..16 "
                f"after the ?{f', got {key!r}' if value and '@' not in query else ''}"
            )
    return options
