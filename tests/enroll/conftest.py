"""A gallery file of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enroll.store.sqlite.store import SqliteStore
from tests.enroll.serve.chromium import browser_with  # noqa: F401 - one driver in a process: two cannot be
from tests.enroll.templates import open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with open_store(path) as opened:
        yield opened
