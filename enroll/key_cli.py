"""`embed --key`, and the commands of `embed gallery` that make and use the key of an encrypted gallery."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from embedder.cli import printable
from embedder.errors import UsageError
from embedder.wording import count
from enroll.gallery_cli import DEFAULT_GALLERY, GalleryFile
from enroll.notices_cli import show_notices

key_commands = typer.Typer()


def before_any_command(
    key: Annotated[
        Path | None,
        typer.Option(
            help="File with the key of an encrypted gallery; else EMBED_GALLERY_KEY_FILE, EMBED_GALLERY_KEY.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a face-style embedding, enroll people, identify them: a name, or unknown."""
    show_notices()
    if key is not None:
        from enroll.store.keys import FILE_VARIABLE, KEY_VARIABLE

        os.environ[FILE_VARIABLE] = str(key)
        os.environ.pop(KEY_VARIABLE, None)  # what is given for one command comes before what is set for all


@key_commands.command("new-key")
def new_key(file: Annotated[Path, typer.Argument(help="Where to write it.", show_default=False)]) -> None:
    """Make a key for encrypted galleries. Whoever loses it loses them: keep a copy elsewhere."""
    from enroll.store.keys import write_new_key

    write_new_key(file)
    print(f"wrote a new key to {printable(str(file))}; keep a copy where the gallery is not")


@key_commands.command()
def encrypt(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Encrypt a plain gallery with the key that `embed --key FILE` or the environment gives."""
    from enroll.store import open_store
    from enroll.store.keyring import keys_path
    from enroll.store.keys import key_from_environment
    from enroll.store.milvus_address import is_milvus
    from enroll.store.sqlite import SqliteStore

    key = key_from_environment()
    if key is None:
        raise UsageError("encrypt: expected a key, got none; `embed --key FILE gallery encrypt`")
    if is_milvus(gallery):
        open_store(gallery, key=key)  # says why not
    with SqliteStore(gallery) as store:
        store.encrypt(key)
    keys = printable(str(keys_path(Path(gallery))))
    print(f"encrypted {printable(gallery)}; the keys of its people are in {keys}: back up the two apart")


@key_commands.command("forget-keyless")
def forget_keyless(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase the people of an encrypted backup who were erased since it was made, so that it can be used."""
    from enroll.store import open_store
    from enroll.store.sqlite import SqliteStore

    with open_store(gallery) as store:
        if not isinstance(store, SqliteStore):
            raise UsageError(
                f"forget-keyless: expected an encrypted gallery, got {printable(store.location)}"
            )
        people = store.forget_keyless()
    print(f"erased {count(people, 'person')} whose key was gone")
