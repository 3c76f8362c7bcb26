"""A photo library of people of ORL on backgrounds, scanned into a gallery where some of them are enrolled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.extractor import Extractor
from enroll.library.grouping import usual_threshold
from enroll.library.people import Library
from enroll.library.scan import Scanner
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.serve.chromium import Faces

PHOTOS = {  # name of the file -> persons in it
    **{f"beach-{number}.jpg": (20,) for number in range(5)},
    **{f"garden-{number}.jpg": (21,) for number in range(4)},
    **{f"street-{number}.jpg": (22,) for number in range(3)},
    "party.jpg": (20, 21),
    "passer-by.jpg": (23,),
}


def picture(faces: Faces, persons: tuple[int, ...], number: int) -> Image.Image:
    """Paste people on a background of its own."""
    rng = np.random.default_rng([3, number])
    low = rng.integers(60, 200, (6, 8, 3), np.uint8)
    canvas = Image.fromarray(low).resize((640, 480), Image.Resampling.BICUBIC)
    for place, person in enumerate(persons):
        head = Image.open(faces.of(person, number % 9)).resize((184, 224))
        canvas.paste(head, (70 + 300 * place + int(rng.integers(0, 40)), 90 + int(rng.integers(0, 90))))
    return canvas


@pytest.fixture(scope="session")
def some_library(tmp_path_factory: pytest.TempPathFactory, faces: Faces, network: Extractor) -> Path:
    """A folder with a gallery and its photos, scanned and grouped; copy it, do not change it."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "photos").mkdir()
    for number, (name, persons) in enumerate(PHOTOS.items()):
        path = folder / "photos" / name
        picture(faces, persons, number).save(path, quality=92)
        day = 1_700_000_000 + 86_400 * number
        os.utime(path, (day, day))
    threshold = usual_threshold(network.manifest.strangers)
    assert threshold is not None
    before = Path.cwd()
    os.chdir(folder)  # so that paths are kept relative to the gallery, and copies find their photos
    try:
        with SqliteStore(folder / "gallery.db", create=True) as store:
            store.bind(network.fingerprint, network.dim)
            Scanner(store.library(), network, folder).scan(Path("photos"))
            Library(store).group(threshold)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def album(tmp_path: Path, some_library: Path) -> Path:
    """A library for this test alone."""
    shutil.copytree(some_library, tmp_path / "album")
    return tmp_path / "album"
