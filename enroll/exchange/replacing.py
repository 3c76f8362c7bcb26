"""A gallery's file made anew, in place of the old one."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from embedder.durable import write_whole
from embedder.errors import GalleryError, UsageError
from enroll.exchange.content import Content, put_content
from enroll.search.index_file import forget_index
from enroll.store import Store, open_store


def replace_content(store: Store, content: Content, since: tuple[int, int]) -> None:
    """Put other content, of another model, into a gallery that is one file.

    The new file is made beside the old one and takes its name, in one step. A process that has the old one
    open goes on with that; so none should.

    Args:
        store: the gallery; to be closed then.
        content: what it is to hold.
        since: `store.changes()` when `content` was made of it.

    Raises:
        UsageError: the gallery is not one file, or someone changed it meanwhile; it is as it was.
        GalleryError: it cannot be written; it is as it was.
    """
    path = Path(store.location)
    if not path.is_file():
        raise UsageError(f"{store.location}: is no file that could be replaced; give --to NEW")
    fresh = path.parent / f".embed-{secrets.token_hex(8)}.db"
    try:
        with open_store(fresh, create=True) as made:
            put_content(made, content)
        if len(_parts(fresh)) > 1:
            raise UsageError(
                f"{path}: is more than one file, as with keys, which cannot be replaced in one step; give "
                "--to NEW"
            )
        if store.changes() != since:
            raise UsageError(f"{store.location}: someone changed it meanwhile; nothing was done, try again")
        store.close()
        try:
            write_whole(path, fresh.read_bytes())
            forget_index(path)  # it is of the other model's vectors
        except OSError as error:
            raise GalleryError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        for part in _parts(fresh):
            with contextlib.suppress(OSError):
                part.unlink()


def _parts(path: Path) -> list[Path]:
    """Give a gallery's file and those that belong to it, as keys or a journal."""
    return sorted(part for part in path.parent.iterdir() if part.name.startswith(path.name))
