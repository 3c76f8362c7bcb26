"""The changes of galleries and models that `crash_gallery` kills, on a model that is a thumbnail."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import numpy as np
from power_cut import Snapshot

import enroll.cli
from embedder.errors import EmbedError
from embedder.extractor import Extractor
from embedder.faces.crop import Crop
from embedder.images import resize_to_square
from embedder.model_folder import MANIFEST, Manifest, load_manifest, read_part, save_bundle
from enroll.store import open_store
from enroll.store.keys import KEY_VARIABLE
from enroll.templates import NewTemplate

KEY = base64.b64encode(bytes(range(32))).decode()
NOTHING = "nothing"  # the state of a folder without anyone or without a model
OTHER = "another-model"  # the folder of one


@dataclass(frozen=True)
class Operation:
    """A change of a folder.

    Attributes:
        name: for people.
        before: what is in the folder.
        act: changes a folder, in a process of its own; what it prints is acknowledged.
        read: gives what a folder holds as a value to compare; raises if it cannot be opened.
    """

    name: str
    before: Snapshot
    act: Callable[[Path], object]
    read: Callable[[Path], object]


class Thumbnail:
    """Stands in for a model: a picture's vector is its 4 x 4 thumbnail, centered and of unit length."""

    dim = 48
    manifest = Manifest("thumbnail", "none", 16, "whole", None, None, False, dim, "0" * 64, "0" * 64, None)
    fingerprint = manifest.fingerprint

    def why_missed(self, image: np.ndarray) -> str | None:
        """Say nothing: the whole picture is always there."""
        return None

    def crops(self, image: np.ndarray) -> list[Crop]:
        """Give the whole picture."""
        return [Crop(resize_to_square(image, 16))]

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        """Give (n, 48) float32 unit rows."""
        rows = [resize_to_square(image, 4).reshape(-1) - 127.25 for image in images]
        vectors = np.array(rows, np.float32)
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


class Mirrored(Thumbnail):
    """Stands in for another model: the same vectors, with the other sign."""

    manifest = replace(Thumbnail.manifest, extractor="1" * 64)
    fingerprint = manifest.fingerprint

    def embed(self, images: list[np.ndarray]) -> np.ndarray:
        """Give (n, 48) float32 unit rows."""
        return -super().embed(images)


def use_thumbnails() -> None:
    """Load thumbnails, whatever model is asked for."""

    def load(cls: type[Extractor], /, folder: object, *given: object, **named: object) -> Thumbnail:
        return Mirrored() if str(folder) == OTHER else Thumbnail()

    Extractor.load = classmethod(load)  # type: ignore[method-assign,assignment]


def operations(place: Path) -> list[Operation]:
    """Make all operations and what they begin with."""
    old, new = place / "old people", place / "new people"
    save_people(old, range(8))
    save_people(new, range(20, 22))
    plain, encrypted = fill(place / "plain", old), fill(place / "encrypted", old, KEY)
    others = place / "others" / "gallery.db"
    save_people(place / "more people", range(30, 36))
    fill(others.parent, place / "more people")
    with open_store(others) as store:
        (photo, *_) = store.stored("p30")
        store.add_strangers([("eve", NewTemplate("e.ppm", hashlib.sha256(b"e").digest(), -photo.vector))])
    export = place / "people.jsonl"
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        embed("gallery", "export", export, "--gallery", others)
    of_one = traces(place / "plain" / "gallery.db", "p03")
    of_all = traces(place / "plain" / "gallery.db")

    def command(
        name: str, *words: object, before: Snapshot = plain, key: str = "", erased: list[bytes] = of_one
    ) -> Operation:
        def act(folder: Path) -> None:
            with environment(key):
                embed(*words, "--gallery", folder / "gallery.db")

        def read(folder: Path) -> object:
            with environment(key):
                return people(folder / "gallery.db", erased)

        return Operation(name, before, act, read)

    return [
        command("enroll the first", "enroll", new, before={}),
        command("enroll", "enroll", new),
        command("enroll, encrypted", "enroll", new, before=encrypted, key=KEY),
        command("remove", "gallery", "remove", "p03"),
        command("remove, encrypted", "gallery", "remove", "p03", before=encrypted, key=KEY),
        command("rename", "gallery", "rename", "p03", "Zoë"),
        command("calibrate", "calibrate", "--fpir", 0.2),
        command("import", "gallery", "import", export, before={}),
        command("merge", "gallery", "merge", others),
        command("re-embed", "gallery", "re-embed", "--model", OTHER, erased=of_all),
        command("re-embed, encrypted", "gallery", "re-embed", "--model", OTHER, before=encrypted, key=KEY),
        saving("save the first model", {}),
        saving("save a model", saved(place / "a model")),
    ]


def fill(folder: Path, photos: Path, key: str = "") -> Snapshot:
    """Make a gallery; gives its files. All modules are loaded then, and forks share them."""
    folder.mkdir()
    with redirect_stdout(StringIO()), environment(key):
        embed("enroll", photos, "--gallery", folder / "gallery.db")
        embed("calibrate", "--fpir", 0.1, "--gallery", folder / "gallery.db")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def environment(key: str) -> Iterator[None]:
    """Name the key of an encrypted gallery; empty for a plain one."""
    with patch.dict(os.environ, {KEY_VARIABLE: key}):
        yield


def embed(*words: object) -> None:
    """Run a command of ours in this process; a failure is a SystemExit."""
    sys.argv = ["embed", *map(str, words)]
    try:
        enroll.cli.main()
    except SystemExit as error:
        if error.code:
            raise


def save_people(folder: Path, numbers: range) -> None:
    """Write three generated photos a person, as PNM."""
    for number in numbers:
        (folder / f"p{number:02d}").mkdir(parents=True)
        base = np.random.default_rng([7, number]).integers(0, 256, (4, 4, 3))
        for photo in range(3):
            noise = np.random.default_rng([8, number, photo]).normal(0, 12, (16, 16, 3))
            picture = (np.kron(base, np.ones((4, 4, 1))) + noise).clip(0, 255).astype(np.uint8)
            (folder / f"p{number:02d}" / f"{photo}.ppm").write_bytes(b"P6 16 16 255\n" + picture.tobytes())


def people(gallery: Path, erased: list[bytes]) -> object:
    """Give all that a gallery holds, and whether any trace of an erased person is in its files."""
    if not gallery.exists():
        return NOTHING
    with open_store(gallery, create=True) as store:
        templates, strangers, calibration = store.templates(), store.strangers(), store.calibration()
        rows = [
            (int(number), name, vector.tobytes(), photo)
            for number, name, vector, photo in zip(
                templates.ids,
                templates.identities,
                templates.vectors,
                store.photos(templates.ids.tolist()),
                strict=True,
            )
        ]
        names, events = (
            store.people(),
            [(event.action, event.subject, event.count) for event in store.events()],
        )
        store.verify()
    if not (names or rows or len(strangers.ids) or calibration):
        return NOTHING
    promise = json.loads(calibration[0])["promise"] if calibration else None
    files = b"\0".join(path.read_bytes() for path in gallery.parent.iterdir())
    return names, events, rows, promise, any(trace in files for trace in erased)


def traces(gallery: Path, name: str | None = None) -> list[bytes]:
    """Give every 16-byte window of the templates of a person, or of everyone."""
    with open_store(gallery) as store:
        templates = store.templates()
    rows = [
        row.tobytes()
        for row, whose in zip(templates.vectors, templates.identities, strict=True)
        if name in (None, whose)
    ]
    return [row[start : start + 16] for row in rows for start in range(0, len(row) - 15, 4)]


def saving(name: str, before: Snapshot) -> Operation:
    """Save a model where there is none, or another."""

    def act(folder: Path) -> None:
        save(folder / "models" / "a model", b"new")

    def read(folder: Path) -> object:
        model = folder / "models" / "a model"
        if not (model / MANIFEST).exists():
            return NOTHING
        manifest = load_manifest(model)
        return manifest, read_part(model, manifest, "extractor"), read_part(model, manifest, "weights")

    return Operation(name, before, act, read)


def saved(scratch: Path) -> Snapshot:
    """Give a folder with a model."""
    with redirect_stdout(StringIO()):
        save(scratch, b"old")
    return {
        "models": None,
        "models/a model": None,
        **{f"models/a model/{path.name}": path.read_bytes() for path in scratch.iterdir()},
    }


def save(folder: Path, kind: bytes) -> None:
    """Save a small model, and say so."""
    extractor, weights = kind + b" network" * 300, kind + b" weights" * 500
    manifest = replace(
        Thumbnail.manifest,
        extractor=hashlib.sha256(extractor).hexdigest(),
        weights=hashlib.sha256(weights).hexdigest(),
    )
    try:
        save_bundle(folder, manifest, extractor, weights)
    except EmbedError as error:
        print(f"embed: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print("saved")
