"""A small library: two people alone and together, a stranger, a photo without a face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import GridExtractor, save


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(3):
        save(folder / f"ada{number}.jpg", {(0, 0): (1, number)})
        save(folder / "deep" / f"bob{number}.png", {(1, 1): (2, number)})
    save(folder / "both.jpg", {(0, 0): (1, 7), (2, 1): (2, 7)})
    save(folder / "stranger.jpg", {(1, 0): (3, 0)})
    save(folder / "empty.jpg", {})
    return folder


@pytest.fixture
def extractor() -> GridExtractor:
    return GridExtractor()


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "gallery.db", create=True) as store:
        yield store
