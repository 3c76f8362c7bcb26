"""Check that only this user and the administrator could have written a file or folder.

On Windows nothing is refused: it has no such modes, and a user's cache folder is private.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_shared_folder(folder: Path) -> None:
    """Check a folder that others may write if they cannot rename others' files, such as /tmp.

    Raises:
        OSError: the folder is missing, belongs to another user, or lets all rename any file in it.
    """
    status = folder.stat()
    if not (status.st_mode & stat.S_IWOTH and status.st_mode & stat.S_ISVTX):
        _check(folder, status, stat.S_IWOTH)


def check_own_folder(folder: Path) -> None:
    """Check that a path is a folder, no link, and that no one else can write in it.

    Raises:
        OSError: the folder is missing, a link, or can be written by others.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{folder}: expected a folder, got a link or something else")
    _check(folder, status, _OTHERS)


def check_own_files(folder: Path) -> None:
    """Check that a folder has only regular files that no one else could have written.

    Raises:
        OSError: an entry is no regular file, or can be written by others.
    """
    for path in folder.iterdir():
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{path}: expected a file, got a link or something else")
        _check(path, status, _OTHERS)


def close_to_others(path: Path) -> None:
    """Remove the write permission of all but the owner from a file or folder.

    Raises:
        OSError: the permissions cannot be changed.
    """
    path.chmod(path.stat().st_mode & ~_OTHERS)


def _check(path: Path, status: os.stat_result, writers: int) -> None:
    if sys.platform == "win32":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{path}: it belongs to another user")
    if status.st_mode & writers:
        raise PermissionError(f"{path}: others can write it")
