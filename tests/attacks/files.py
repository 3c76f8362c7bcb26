"""Pipes, devices and links where a file is expected: waiting for one, or reading it, would never end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from embedder.config.toml import read_config
from embedder.errors import ImageError
from embedder.folders import scan_folder
from embedder.images import load_image
from embedder.model_folder import MANIFEST, load_manifest
from embedder.training.checkpoint import Checkpoints
from enroll.cli.transfer import import_gallery
from enroll.store import open_store
from enroll.store.keys import read_key
from tests.attacks.outcomes import REFUSED, Attack, outcome


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def circle(path: Path) -> None:
    path.symlink_to(path)


def folder(path: Path) -> None:
    path.mkdir()


def gallery(path: Path, create: bool) -> None:
    open_store(path, create).close()


def manifest(path: Path) -> None:
    path.parent.joinpath("model").mkdir()
    path.rename(path.parent / "model" / MANIFEST)
    load_manifest(path.parent / "model")


KINDS = {
    "a pipe": pipe,
    "/dev/zero": endless,
    "a socket": listening,
    "a link to itself": circle,
    "a folder": folder,
}
USES: dict[str, Callable[[Path], object]] = {
    "a photo": load_image,
    "a gallery": partial(gallery, create=False),
    "a new gallery": partial(gallery, create=True),
    "a manifest": manifest,
    "a configuration": lambda path: read_config(path, {}),
    "a checkpoint": lambda path: Checkpoints(path.parent, {}, path.name).load(),
    "a key": read_key,
    "an export": lambda path: import_gallery(str(path), str(path.parent / "new.db")),
}


def attacks() -> Iterator[tuple[str, tuple[Attack, str]]]:
    for kind, make in KINDS.items():
        for use, read in USES.items():

            def attack(
                place: Path, make: Callable[[Path], None] = make, read: Callable[[Path], object] = read
            ) -> str:
                make(place / "thing")
                return outcome(lambda: read(place / "thing"))

            yield f"{kind} as {use}", (attack, REFUSED)


def links_outside(place: Path) -> str:
    """Photos and people of a labelled folder that lead to someone else's files."""
    secret = place / "secret"
    (secret / "inside").mkdir(parents=True)
    (secret / "inside" / "photo.jpg").write_bytes(b"x")
    root = place / "people"
    (root / "ada").mkdir(parents=True)
    (root / "ada" / "own.jpg").write_bytes(b"x")
    (root / "ada" / "stolen.jpg").symlink_to(secret / "inside" / "photo.jpg")
    (root / "eve").symlink_to(secret / "inside")
    (root / "mallory").symlink_to(Path("..") / "secret" / "inside")
    found = scan_folder(root)
    assert [sample.path.name for sample in found.samples] == ["own.jpg"]
    assert len(found.rejected) == 3
    return REFUSED


def lying_size(place: Path) -> str:
    """A file of the kernel's that says it is empty."""
    try:
        load_image("/proc/self/environ")
    except ImageError:
        return REFUSED
    return "read"


ATTACKS: dict[str, tuple[Attack, str]] = {
    **dict(attacks()),
    "links out of a labelled folder": (links_outside, REFUSED),
    "a file of the kernel's as a photo": (lying_size, REFUSED),
}
