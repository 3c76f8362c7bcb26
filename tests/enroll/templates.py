"""Generated templates, and a gallery file to put them in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from enroll.store.sqlite.store import SqliteStore
from enroll.templates import NewTemplate

DIM = 16
MODEL = "f" * 64


def template(photo: str) -> NewTemplate:
    digest = hashlib.sha256(photo.encode()).digest()
    vector = np.random.default_rng(list(digest)).normal(size=DIM).astype(np.float32)
    return NewTemplate(photo, digest, vector / np.linalg.norm(vector))


def open_store(path: Path) -> SqliteStore:
    store = SqliteStore(path, create=True)
    store.bind(MODEL, DIM)
    return store
