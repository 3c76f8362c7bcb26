"""Photos and films made of square faces on grey, and a model that finds them: quick, and exactly known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.faces.crop import Crop
from embedder.faces.quality import Quality
from embedder.images import resize_to_square
from enroll.library.people import Library
from enroll.library.scan import Scanned, Scanner
from enroll.store.sqlite.store import SqliteStore
from tests.conftest import ToyExtractor, pattern

SIDE = 24
GREY = 128
GOOD = Quality(size=24.0, visible=1.0, sharpness=0.5, brightness=0.5, yaw=0.0, roll=0.0, score=0.9)
THRESHOLD = 0.6  # of these faces: those of one person are below 0.4 apart, others above 0.9

Cells = Mapping[tuple[int, int], tuple[int, int]]  # column and row -> identity and photo


class GridExtractor(ToyExtractor):
    """Finds a face in each square of 24 pixels that is not grey; one that is pale is poor."""

    def __init__(self, name: str = "grid") -> None:
        super().__init__(name)
        self.looked = 0

    def crops(self, image: NDArray[np.uint8]) -> list[Crop]:
        self.looked += 1
        found = []
        for y in range(0, image.shape[0] - SIDE + 1, SIDE):
            for x in range(0, image.shape[1] - SIDE + 1, SIDE):
                cell = image[y : y + SIDE, x : x + SIDE]
                if cell.std() > 20:
                    size = 24.0 if cell.std() > 45 else 5.0
                    quality = Quality(**{**vars(GOOD), "size": size})
                    found.append(Crop(resize_to_square(cell, 16), (x, y, SIDE, SIDE), None, quality))
        return found


def picture(cells: Cells, columns: int = 3, rows: int = 2) -> NDArray[np.uint8]:
    """Draw faces; an identity below 0 is drawn pale: a poor face."""
    canvas = np.full((rows * SIDE, columns * SIDE, 3), GREY, np.uint8)
    for (column, row), (identity, photo) in cells.items():
        face = pattern(abs(identity), photo, SIDE)
        if identity < 0:
            face = (GREY + 0.45 * (face.astype(float) - GREY)).astype(np.uint8)
        canvas[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = face
    return canvas


def save(path: Path, cells: Cells, orientation: int = 1, **options: object) -> Path:
    """Write a photo whose upright picture has these faces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture(cells))
    turn = {3: 180, 6: 90, 8: 270}.get(orientation, 0)
    if turn:
        image = image.rotate(turn, expand=True)  # counterclockwise, so that EXIF's turn brings it back
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"exif": exif, **options}
    if path.suffix == ".jpg":
        options = {"quality": 95, "subsampling": 0, **options}
    image.save(path, **options)
    return path


def save_film(path: Path, shown: Sequence[Cells], seconds: float = 0.5, **options: str) -> Path:
    """Write a film that shows faces, each entry for half a second, as long as a scan looks at."""
    from scripts.made_films import write_film

    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [(number * seconds, picture(cells)) for number, cells in enumerate(shown)]
    return write_film(path, frames, 2, crf="1", **options)


def scan(store: SqliteStore, folder: Path, extractor: ToyExtractor, **options: object) -> Scanned:
    """Scan a folder into a gallery."""
    again = bool(options.pop("again", False))
    store.bind(extractor.fingerprint, extractor.dim)
    scanner = Scanner(store.library(), extractor, store.path.parent, **options)  # type: ignore[arg-type]
    return scanner.scan(folder, again)


def faces_of(library: Library, identity: Mapping[str, int]) -> dict[str, list[int]]:
    """Give the numbers of faces by the names of photos."""
    found: dict[str, list[int]] = {name: [] for name in identity}
    for number, face in library.faces.items():
        found.setdefault(library.path(face).name, []).append(number)
    return found
