"""A small library of drawn faces; people of ORL who are enrolled, and films in which they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from embedder import Extractor, load_image
from enroll import Gallery
from enroll.store.sqlite.store import SqliteStore
from tests.enroll.library.made import GridExtractor, save

KNOWN = {"ada": 21, "Zoë": 23}  # name -> person of ORL
ENROLLED = 4  # photos of each; the others are shown in films

Heads = Callable[[int], np.ndarray]


@pytest.fixture(scope="session")
def heads_of(orl: Path) -> Heads:
    """Gives the photos of a person that are not enrolled, (6, 112, 92) grey."""

    def heads(person: int) -> np.ndarray:
        files = sorted((orl / f"s{person:02d}").iterdir())[ENROLLED:]
        return np.stack([load_image(file)[:, :, 0] for file in files])

    return heads


@pytest.fixture(scope="session")
def built_in() -> Extractor:
    return Extractor.load()


@pytest.fixture(scope="session")
def known_gallery(orl: Path, built_in: Extractor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a gallery of two people; read it, do not change it."""
    path = tmp_path_factory.mktemp("known") / "gallery.db"
    with Gallery.open(path, built_in) as opened:
        for name, person in KNOWN.items():
            opened.enroll(name, sorted((orl / f"s{person:02d}").iterdir())[:ENROLLED])
    return path


@pytest.fixture
def known(known_gallery: Path, built_in: Extractor) -> Iterator[Gallery]:
    with Gallery.open(known_gallery, built_in, create=False) as opened:
        yield opened


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
def typed(photos: Path, extractor: GridExtractor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs `embed library` in the folder with the photos, and gives what it prints."""
    from typer.testing import CliRunner

    from enroll.cli import app

    for module in ("library", "library_files", "library_scan"):
        monkeypatch.setattr(f"enroll.cli.{module}.load_extractor", lambda *_: extractor)
    monkeypatch.chdir(photos.parent)

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["library", *words])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    return run


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "gallery.db", create=True) as store:
        yield store
