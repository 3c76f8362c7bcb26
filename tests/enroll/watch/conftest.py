"""A gallery of generated people, and pictures of them as snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from enroll import Gallery
from tests.conftest import ToyExtractor, pattern
from tests.enroll.watch.stands import FrigateStand

ADA, BOB, STRANGER = 1, 2, 9

Snapshots = Callable[..., list[bytes]]


@pytest.fixture
def snapshots() -> Snapshots:
    """Gives pictures of a generated person, each with noise of its own."""

    def pictures(person: int, count: int, first: int = 10) -> list[bytes]:
        found = []
        for photo in range(first, first + count):
            buffer = BytesIO()
            Image.fromarray(pattern(person, photo, 48)).save(buffer, "PNG")
            found.append(buffer.getvalue())
        return found

    return pictures


@pytest.fixture
def gallery_file(tmp_path: Path, toy: ToyExtractor, snapshots: Snapshots) -> Path:
    """Ada and Bob, two photos each."""
    with Gallery.open(tmp_path / "gallery.db", toy) as opened:
        for name, person in (("ada", ADA), ("bob", BOB)):
            paths = []
            for number, data in enumerate(snapshots(person, 2, first=0)):
                path = tmp_path / f"{name}{number}.png"
                path.write_bytes(data)
                paths.append(path)
            opened.enroll(name, paths)
    return tmp_path / "gallery.db"


@pytest.fixture
def gallery(gallery_file: Path, toy: ToyExtractor) -> Iterator[Gallery]:
    with Gallery.open(gallery_file, toy, create=False) as opened:
        yield opened


@pytest.fixture
def frigate() -> Iterator[FrigateStand]:
    with FrigateStand() as stand:
        yield stand
