"""`embed gallery`: what can be done with a gallery without its model."""

from __future__ import annotations

from typing import Annotated

import typer

from embedder.cli import printable
from embedder.wording import count

DEFAULT_GALLERY = "gallery.db"

GalleryFile = Annotated[
    str,  # a Path would make one slash of the two in milvus://
    typer.Option("--gallery", envvar="EMBED_GALLERY", help="A file, or milvus://HOST:PORT/NAME."),
]

gallery_app = typer.Typer(no_args_is_help=True, help="People of a gallery, its keys, copies.")


@gallery_app.command("list")
def list_people(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """List the people and how many photos each has."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        for name, photos in store.identities():
            print(f"{printable(name)} ({count(photos, 'photo')})")


@gallery_app.command()
def remove(name: str, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase a person and all their templates."""
    from enroll.gallery import checked_name
    from enroll.store import open_store

    with open_store(gallery) as store:
        name = checked_name(name)
        photos = store.remove(name)
    print(f"removed {printable(name)} ({count(photos, 'photo')})")


@gallery_app.command("remove-strangers")
def remove_strangers(gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Erase the photos that `embed enroll --strangers` kept."""
    from enroll.store import open_store

    with open_store(gallery) as store:
        photos = store.remove_strangers()
    print(f"removed {count(photos, 'photo')} of strangers")


@gallery_app.command()
def rename(old: str, new: str, gallery: GalleryFile = DEFAULT_GALLERY) -> None:
    """Give a person another name."""
    from enroll.gallery import checked_name
    from enroll.store import open_store

    with open_store(gallery) as store:
        old, new = checked_name(old), checked_name(new)
        store.rename(old, new)
    print(f"renamed {printable(old)} to {printable(new)}")
