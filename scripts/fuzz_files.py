"""Damage a small gallery, plain and encrypted, its export and a model: the same content, or a typed error.

Every byte is changed (`--values` other values each; 255 are all there are), every length is cut to, and
random damage is done; never may other vectors, names or bytes be given, nor a hang or much memory be caused.
Prints what went wrong and, last, one JSON line; ends with 1 if anything went wrong.

    python scripts/fuzz_files.py [--values 3] [--model-values 255] [--mutations 100000] [--share 1.0]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3  # noqa: TID251 - makes the pages of a gallery smaller, as others could
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from bench_main_job import surroundings
from crash_gallery import scratch_folder
from crash_operations import Thumbnail
from mutations import mutate, try_all
from safetensors.numpy import save

from embedder.errors import EmbedError
from embedder.model_folder import load_manifest, read_part, save_bundle
from enroll.gallery.jsonl import from_lines, read_lines, to_lines
from enroll.gallery.transfer import read_content
from enroll.library.people import Library, library_of
from enroll.store import Key, Store, Terms, open_store
from enroll.store.library import PhotoFile, SeenFace, SeenPhoto
from enroll.templates import NewTemplate

DIM = 8
KEY = Key(bytes(32), "this script")
PARTS = ("extractor", "weights")
PAGE = 512  # bytes; the default of 4096 would be mostly empty

Load = Callable[
    [Path], list[Any]
]  # the folder -> what each way to read it gives; an EmbedError's place is None


def main() -> None:
    """Load all damaged files, print what went wrong and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--values", type=int, default=3, help="of each byte of galleries and exports")
    parser.add_argument("--model-values", type=int, default=255, help="of each byte of the model")
    parser.add_argument("--mutations", type=int, default=100_000, help="of each kind")
    parser.add_argument("--share", type=float, default=1.0, help="of changes and lengths, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    counts, problems = {}, []
    with scratch_folder() as scratch:
        for kind, make, load, values in (
            ("gallery", partial(make_gallery, library=True), load_gallery, options.values),
            (
                "encrypted",
                partial(make_gallery, key=KEY, library=True),
                partial(load_gallery, key=KEY),
                options.values,
            ),
            ("export", make_export, load_export, options.values),
            ("model", make_model, load_model, options.model_values),
        ):
            original = Path(scratch) / kind
            make(original)
            damages = Damages(original, values, options.mutations, options.share, options.seed)
            outcomes, wrong = try_all(
                Check(original, damages, load, Path(scratch)), len(damages), options.processes
            )
            counts[kind] = {"bytes": damages.size, **outcomes}
            problems += [f"{kind}: {problem}" for problem in wrong]
    for problem in problems:
        print(problem)
    seconds = round(time.monotonic() - started, 1)
    facts = {"script": "fuzz_files", **surroundings(), **vars(options), "outcomes": counts}
    print(json.dumps(facts | {"problems": len(problems), "seconds": seconds}))
    sys.exit(bool(problems))


class Damages:
    """All damaged forms of the files of a folder, by number."""

    def __init__(self, folder: Path, values: int, mutations: int, share: float, seed: int) -> None:
        self._files = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
        self._values, self._seed = values, seed
        draw = np.random.default_rng(seed)
        self._ends = np.cumsum([len(data) for _, data in self._files])
        self.size = int(self._ends[-1])
        systematic = self.size * (values + 1)
        self._chosen = np.flatnonzero(draw.random(systematic) < share) if share < 1 else range(systematic)
        self._mutations = mutations

    def __len__(self) -> int:
        return len(self._chosen) + self._mutations

    def __getitem__(self, number: int) -> tuple[str, bytes]:
        """Give the name and the damaged content of a file."""
        draw = np.random.default_rng([self._seed, number])
        if number >= len(self._chosen):
            name, data = self._files[int(draw.integers(0, len(self._files)))]
            return name, mutate(data, draw)
        at, what = divmod(int(self._chosen[number]), self._values + 1)
        which = int(np.searchsorted(self._ends, at, "right"))
        name, data = self._files[which]
        at -= int(self._ends[which]) - len(data)
        if what == self._values:
            return name, data[:at]
        # All values differ; with few of them: the lowest bit, the highest, then others.
        change = [0x01, 0x80, *(other for other in range(2, 256) if other != 0x80)][what]
        return name, data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]


class Check:
    """Loads the damaged forms of a folder, each beside its other, sound files."""

    def __init__(self, original: Path, damages: Damages, load: Load, scratch: Path) -> None:
        self._files = {path.name: path.read_bytes() for path in original.iterdir()}
        self._expected = load(original)
        assert None not in self._expected, f"{original}: cannot be loaded whole"
        self._damages, self._load, self._scratch = damages, load, scratch

    def __call__(self, number: int) -> str:
        """Give what became of a damaged form."""
        name, data = self._damages[number]
        folder = self._scratch / f"damaged {os.getpid()}"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in self._files:
                path.unlink()
        for other, content in (self._files | {name: data}).items():
            (folder / other).write_bytes(content)
        found = self._load(folder)
        for part, (got, expected) in enumerate(zip(found, self._expected, strict=True)):
            assert got is None or got == expected, f"part {part} is other: {got!r:.200}"
        return "refused" if None in found else "the same"


def refused(read: Callable[[], Any]) -> Any:
    """Give what was read, or None for an error of ours."""
    try:
        return read()
    except EmbedError:
        return None


def make_model(folder: Path) -> None:
    """Save a model with tensors and without a network: nothing damaged gets so far as to run it."""
    network, weights = b"\x1c\0\0\0TFL3" + bytes(range(24)), save({"kernel": np.eye(2, dtype=np.float32)})
    manifest = replace(
        Thumbnail.manifest,
        training={"photos": 4},
        extractor=hashlib.sha256(network).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
    )
    save_bundle(folder, manifest, network, weights)


def load_model(folder: Path) -> list[Any]:
    """Read the manifest and both parts."""
    manifest = refused(lambda: load_manifest(folder))
    return [
        manifest,
        *(manifest and refused(partial(read_part, folder, manifest, part)) for part in PARTS),
    ]


def make_gallery(folder: Path, key: Key | None = None, library: bool = False) -> None:
    """Make a gallery in small pages: people on terms, strangers, a calibration, faces of a library."""
    folder.mkdir()
    path = folder / "gallery.db"
    draw = np.random.default_rng(0)

    def template(photo: str) -> NewTemplate:
        vector = draw.normal(size=DIM).astype(np.float32)
        return NewTemplate(photo, hashlib.sha256(photo.encode()).digest(), vector / np.linalg.norm(vector))

    # The same gallery every time, so that a case can be tried again.
    chance = patch.multiple("secrets", token_bytes=bytes, randbits=lambda bits: bits)
    with chance, open_store(path, create=True, key=key) as store:
        store.bind("f" * 64, DIM)
        for name in ("Ada", "Zoë"):
            store.add(name, [template(f"{name} {number}.jpg") for number in range(2)])
        store.set_terms("Ada", Terms("form 7", date(2026, 1, 2), date(2999, 12, 31)))
        store.add_strangers([("eve", template("eve.jpg"))])
        store.set_calibration('{"a": 1}', 2, 4)
        if library:
            fill_library(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("VACUUM")


def load_gallery(folder: Path, key: Key | None = None) -> list[Any]:
    """Read a gallery in all ways, each by itself."""
    try:
        store = open_store(folder / "gallery.db", key=key)
    except EmbedError:
        return [None] * len(READS)
    with store:
        return [refused(partial(read, store)) for read in READS]


def make_export(folder: Path) -> None:
    """Export the gallery."""
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        make_gallery(Path(scratch) / "gallery")
        with open_store(Path(scratch) / "gallery" / "gallery.db") as store:
            content, _ = read_content(store)
    (folder / "people").write_bytes(b"".join(to_lines(replace(content, calibration=None))))


def load_export(folder: Path) -> list[Any]:
    """Read an export."""

    def read() -> Any:
        with (folder / "people").open("rb") as file:
            content = from_lines(read_lines(file), folder)
        people = [(one.name, one.terms, [_plain(entry) for entry in one.templates]) for one in content.people]
        return content.model, people, [(name, _plain(entry)) for name, entry in content.strangers]

    return [refused(read)]


def _plain(entry: NewTemplate) -> Any:
    return entry.photo, entry.digest, entry.vector.tobytes()


def _templates(store: Store, strangers: bool) -> Any:
    found = store.strangers() if strangers else store.templates()
    return found.ids.tolist(), found.identities.tolist(), found.vectors.tobytes()


def _stored(store: Store, name: str) -> Any:
    return [(entry.id, entry.photo, entry.digest, entry.vector.tobytes()) for entry in store.stored(name)]


def fill_library(store: Store) -> None:
    """Add what a scan, groups and decisions of every kind leave."""
    draw = np.random.default_rng(1)
    rows = library_of(store)

    def face(photo: str, good: bool = True) -> SeenFace:
        vector = draw.normal(size=DIM).astype(np.float32)
        figures = {"size": 40.0 if good else 5.0, "visible": 1.0, "sharpness": 0.5, "brightness": 0.5}
        return SeenFace(
            0,
            (1, 2, 40, 40),
            vector / np.linalg.norm(vector),
            {**figures, "yaw": 0.0, "roll": 0.0, "score": 0.9},
            date(2999, 12, 31) if good else None,
            "f" * 64,
            key=hashlib.sha256(photo.encode()).digest(),
        )

    def photo(name: str, problem: str | None = None) -> SeenPhoto:
        digest = hashlib.sha256(name.encode()).digest()
        files = (PhotoFile(f"roll/{name}", 1000, 10**18), PhotoFile(f"copy/{name}", 1000, 10**18, False))
        return SeenPhoto(digest, files, 640, 480, "2020-01-02T03:04:05", problem, "f" * 64)

    rows.write(
        [
            *((photo(f"{n}.jpg"), [face(f"{n} left"), face(f"{n} right", good=n > 1)]) for n in range(4)),
            (photo("broken.jpg", "broken or truncated JPEG file"), []),
        ]
    )
    library = Library(store)
    library.confirm("Bob", [1])
    library.confirm("Eve", [3])
    library.reject("Bob", [5])
    library.join([5, 6])
    library.part([5], [7])
    library.mark("ignore", [8])
    library.mark("not-a-face", [2])
    library.merge("Bob", "Eve")
    library.mark("unknown", [8])
    library.undo()
    library.group(1.2)


def _verified(store: Store) -> str:
    store.verify()
    return "verified"


READS: tuple[Callable[[Store], Any], ...] = (
    lambda store: _templates(store, strangers=False),
    lambda store: _templates(store, strangers=True),
    lambda store: store.model() or "none",
    lambda store: store.identities(),
    lambda store: store.people(),
    lambda store: store.photos([1, 2, 3, 4]),
    lambda store: _stored(store, "Ada"),
    lambda store: _stored(store, "Zoë"),
    lambda store: store.owners([hashlib.sha256(b"Ada 1.jpg").digest()]),
    lambda store: store.expired(date(2100, 1, 1)),
    lambda store: store.calibration() or "none",
    lambda store: [(event.action, event.subject, event.count) for event in store.events()],
    _verified,
    lambda store: library_of(store).photos(),
    lambda store: [(repr(face), face.vector.tobytes()) for face in library_of(store).faces()],
    lambda store: library_of(store).steps(),
    lambda store: library_of(store).names(),
    lambda store: library_of(store).groups(),
)


if __name__ == "__main__":
    main()
