"""A file that another process deletes while it is looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def delete_once_seen(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Delete a file as soon as it has been looked at once."""
    look = Path.stat

    def look_and_delete(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = look(self, follow_symlinks=follow_symlinks)
        if self == path:
            path.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "stat", look_and_delete)
