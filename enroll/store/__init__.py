"""Open the store of a gallery: one interface, and one folder for each engine.

```
open_store ─> base.Store
              ├── sqlite   SqliteStore: one file on this machine
              └── milvus   MilvusStore: milvus://host:port/name, or milvus:FILE.db
keys, limits, redaction: the key of an encrypted gallery; what fields may hold; addresses without passwords
```
"""

from __future__ import annotations

from pathlib import Path

from embedder.errors import GalleryError, UsageError
from enroll.store.base import Event, NewPerson, Person, Store, Terms, check_model
from enroll.store.keys import Key, key_from_environment
from enroll.store.milvus.address import is_milvus, parse_address
from enroll.store.redaction import looks_like_address, without_password
from enroll.templates import NewTemplate, StoredTemplate, Templates

__all__ = [
    "Event",
    "Key",
    "NewPerson",
    "NewTemplate",
    "Person",
    "Store",
    "StoredTemplate",
    "Templates",
    "Terms",
    "check_model",
    "gallery_exists",
    "gallery_files",
    "open_store",
    "without_password",
]


def open_store(
    location: str | Path, create: bool = False, key: Key | None = None, plain_too: bool = False
) -> Store:
    """Open the store of a gallery.

    Args:
        location: a file, or an address as `enroll.store.milvus.address` describes.
        create: make it if it is missing.
        key: of an encrypted gallery, or to make it encrypted; None uses that of the environment, if any.
        plain_too: accept a gallery that is not encrypted although there is a key, which may be of another
            one.

    Returns:
        The store, a context manager that closes it.

    Raises:
        GalleryError: it is missing, broken, not a gallery, its server is away, or the key is not its own.
        MissingPackageError: pymilvus or cryptography is not installed.
        UsageError: no address, or no key.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with open_store(f"{folder}/people.db", create=True) as store:
        ...         names = store.identities()
        >>> names
        []
    """
    key = key or key_from_environment()
    if is_milvus(location):
        if key is not None and not plain_too:
            raise UsageError(
                f"{without_password(location)}: a key ({key.origin}) is of no use here, Milvus does not "
                "encrypt what it stores; use no key, and encrypt the disks"
            )
        from enroll.store.milvus.store import MilvusStore

        return MilvusStore(parse_address(str(location)), create)
    _check_file(location)
    from enroll.store.sqlite.store import SqliteStore

    return SqliteStore(location, create, key, plain_too)


def gallery_files(location: str | Path) -> list[Path]:
    """Return the file a gallery is in, whether it is there or not; of one on a server, none.

    Raises:
        UsageError: it is no address.
    """
    if not is_milvus(location):
        return [Path(location)]
    address = parse_address(str(location))
    return [Path(address.uri)] if address.lite else []


def gallery_exists(location: str | Path) -> bool:
    """Return whether there is a gallery, broken or not; see `open_store` for errors."""
    if is_milvus(location):
        from enroll.store.milvus.ledger import gallery_exists as exists_in_milvus

        return exists_in_milvus(parse_address(str(location)))
    _check_file(location)
    try:
        return Path(location).exists()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise GalleryError(f"{location}: cannot be opened as a gallery: {error.strerror}") from error


def _check_file(location: str | Path) -> None:
    """Refuse a mistyped address: no file is made of it, and a password in it is not shown."""
    if looks_like_address(location):
        raise UsageError(
            f"--gallery {without_password(location)}: expected a file, milvus://HOST:PORT/NAME, "
            "milvus+tls://HOST:PORT/NAME or milvus:FILE.db"
        )
