"""Files and folders that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path


def write_whole(path: Path, data: bytes, replace: bool = True, private: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; who may read it stays.

    Args:
        path: of the file.
        data: its content.
        replace: whether a file that exists, also since a moment ago, is replaced.
        private: let nobody but its owner read it, whoever could before.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        OSError: the disk is full or the folder cannot be written; the content is the old or the new one.
    """
    temporary = path.parent / f".embed-{secrets.token_hex(8)}"
    try:
        mode = 0o600 if private else 0o666  # less the umask
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            if not private:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copymode(path, temporary)
            file.write(data)
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
    _sync_folder(path.parent)


def _move_new(temporary: Path, path: Path) -> None:
    """Give a file its name, if no other one has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with path.open("xb"):
            temporary.replace(path)
    else:
        temporary.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those it lies in, if they are missing; they too are there after a power cut.

    Raises:
        OSError: it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no way to sync a folder, and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
