"""Check who could have written a file or folder: only this user and the administrator are trusted.

Windows has no such modes, and a user's cache folder is theirs alone there: nothing is refused.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_shared_folder(folder: Path) -> None:
    """Check a folder that others may use too, as /tmp, as long as they cannot move what is not theirs.

    Raises:
        OSError: it is not there, belongs to another user, or all may move what is in it.
    """
    status = folder.stat()
    if not (status.st_mode & stat.S_IWOTH and status.st_mode & stat.S_ISVTX):
        _check(folder, status, stat.S_IWOTH)


def check_own_folder(folder: Path) -> None:
    """Check that a folder is one, no link to one, and that no one else can write in it.

    Raises:
        OSError: it is not there, or is not like that.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{folder}: expected a folder, got a link or something else")
    _check(folder, status, _OTHERS)


def check_own_files(folder: Path) -> None:
    """Check that all that is in a folder are files that no one else could have written.

    Raises:
        OSError: something is not like that.
    """
    for path in folder.iterdir():
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(f"{path}: expected a file, got a link or something else")
        _check(path, status, _OTHERS)


def close_to_others(path: Path) -> None:
    """Take the right to write a file or folder from all but its owner.

    Raises:
        OSError: it cannot be changed.
    """
    path.chmod(path.stat().st_mode & ~_OTHERS)


def _check(path: Path, status: os.stat_result, writers: int) -> None:
    if sys.platform == "win32":
        return
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{path}: it belongs to another user")
    if status.st_mode & writers:
        raise PermissionError(f"{path}: others can write it")
