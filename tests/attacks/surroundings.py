"""What galleries, folders and photos meet in use: other programs, threads, storage systems, phones."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from fuzz_files import DIM, make_gallery
from PIL import Image

from embedder.errors import EmbedError
from embedder.folders import scan_folder
from embedder.images import load_image
from enroll.calibration import calibrate
from enroll.store import Terms, open_store
from enroll.templates import NewTemplate
from tests.attacks.outcomes import HARMLESS, REFUSED, Attack, outcome


def held_by_another(folder: Path) -> str:
    """A gallery that another program has open in WAL mode: said at once, also to who only reads."""
    make_gallery(folder / "gallery")
    path = folder / "gallery" / "gallery.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN")
        other.execute("SELECT * FROM model").fetchall()
        begun = time.monotonic()
        found = outcome(lambda: open_store(path).close())
        assert time.monotonic() - begun < 30  # writers wait for minutes
    return found


def by_threads(folder: Path) -> str:
    """Threads that read and write one store, half of them what cannot be."""
    make_gallery(folder / "gallery")

    def work(number: int) -> str:
        vector = np.eye(DIM, dtype=np.float32)[number % DIM]
        name = f"p{number}" if number % 2 else "\x1b[2J"
        try:
            store.add(name, [NewTemplate(f"{number}.jpg", bytes([number]) * 32, vector)])
        except EmbedError:
            return REFUSED
        return HARMLESS

    with open_store(folder / "gallery" / "gallery.db") as store, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(1, 17)))
        store.verify()
        assert len(store.identities()) == 2 + 8
    assert found == [HARMLESS, REFUSED] * 8
    return HARMLESS


def leftovers(folder: Path) -> str:
    """What storage systems and programs leave is nobody."""
    photo = folder / "people" / "ada" / "1.png"
    photo.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(photo)
    for name in (
        "@eaDir",
        "#recycle",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        ".thumbnails",
    ):
        (folder / "people" / name).mkdir()
        (folder / "people" / name / "1.png").write_bytes(photo.read_bytes())
    for name in ("Thumbs.db", "desktop.ini", "1.xmp", "1.json", "1.aae"):
        (photo.parent / name).write_bytes(b"x")
    found = scan_folder(folder / "people")
    assert [sample.path.name for sample in found.samples] == ["1.png"]
    assert not found.rejected
    return HARMLESS


def deep_and_round(folder: Path) -> str:
    """A thousand nested folders, and one that leads back to itself."""
    photo = folder / "people" / "ada" / "1.png"
    photo.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(photo)
    (photo.parent / "again").symlink_to("..")
    here = os.open(photo.parent, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    try:
        assert [sample.path.name for sample in scan_folder(folder / "people").samples] == ["1.png"]
    finally:
        subprocess.run(["rm", "-rf", photo.parent], check=True)  # Python's own way is too deep
    return HARMLESS


def from_a_phone(folder: Path) -> str:
    """108 megapixels, and the same cut off: read, within the memory of any other photo."""
    Image.new("L", (12_000, 9_000)).save(folder / "large.jpg", quality=30)
    (folder / "cut.jpg").write_bytes((folder / "large.jpg").read_bytes()[:-5000])
    for name in ("large.jpg", "cut.jpg"):
        height, width, _ = load_image(folder / name).shape
        assert width * height <= 50_000_000
    return HARMLESS


def share_of_strangers(value: float, _: Path) -> str:
    return outcome(lambda: calibrate(np.eye(8, dtype=np.float32), np.arange(8), value))


def terms(given: Callable[[], Terms], folder: Path) -> str:
    make_gallery(folder / "gallery")
    with open_store(folder / "gallery" / "gallery.db") as store:
        return outcome(lambda: store.set_terms("Ada", given()))


ATTACKS: dict[str, tuple[Attack, str]] = {
    "a gallery that another program has open in WAL mode": (held_by_another, REFUSED),
    "threads that write what cannot be stored beside those that do": (by_threads, HARMLESS),
    "what storage systems leave in a folder": (leftovers, HARMLESS),
    "1,200 folders in each other and one in itself": (deep_and_round, HARMLESS),
    "a photo of 108 megapixels, whole and cut": (from_a_phone, HARMLESS),
    **{
        f"an FPIR of {value}": (partial(share_of_strangers, value), REFUSED)
        for value in (0.0, -1.0, 1.0, 2.5, 1e-300, 1e300, float("nan"))
    },
    "a consent of a day to come": (
        partial(terms, lambda: Terms("x", date.today() + timedelta(days=9))),
        REFUSED,
    ),
    "a last day that is no day": (partial(terms, lambda: Terms(expires=7)), REFUSED),  # type: ignore[arg-type]
    "a consent of a megabyte": (partial(terms, lambda: Terms("x" * 2**20)), REFUSED),
}
