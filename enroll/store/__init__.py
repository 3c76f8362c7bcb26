"""Where a gallery's templates live: one contract, one engine a module.

```
open_store ─> contract.Store
              ├── sqlite.SqliteStore   one file on this machine; migrations.py are its tables
              └── milvus.MilvusStore   milvus://host:port/name
```
"""

from __future__ import annotations

from pathlib import Path

from enroll.store.contract import (
    Event,
    NewTemplate,
    Person,
    Store,
    StoredTemplate,
    Templates,
    Terms,
    check_model,
)

__all__ = [
    "Event",
    "NewTemplate",
    "Person",
    "Store",
    "StoredTemplate",
    "Templates",
    "Terms",
    "check_model",
    "open_store",
]


def open_store(location: str | Path, create: bool = False) -> Store:
    """Open a gallery.

    Args:
        location: a file.
        create: make it if it is missing.

    Raises:
        GalleryError: it is missing, broken, or not a gallery.
    """
    from enroll.store.sqlite import SqliteStore

    return SqliteStore(location, create)
