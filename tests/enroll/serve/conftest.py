"""A server in this process, without a network, around the toy model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ToyExtractor, pattern

pytest.importorskip("fastapi", reason="embedder-enroll[serve] is not installed")

from starlette.testclient import TestClient

from enroll.serve import ServeConfig, create_app


def picture(identity: int, photo: int, kind: str = "PNG") -> bytes:
    """A generated picture as a file."""
    written = io.BytesIO()
    Image.fromarray(pattern(identity, photo, 16)).save(written, kind)
    return written.getvalue()


def parts(*pictures: bytes, field: str = "photos") -> list[tuple[str, tuple[str, bytes, str]]]:
    """Pictures as a form's files."""
    return [(field, (f"{n}.png", data, "image/png")) for n, data in enumerate(pictures)]


def client_of(folder: Path, extractor: Any = None, **given: Any) -> TestClient:
    """A client of a server of its own; it runs inside `with`."""
    config = ServeConfig(gallery=str(folder / "gallery.db"), threads=2, **given)
    app = create_app(config, extractor or ToyExtractor())
    return TestClient(app, base_url="http://127.0.0.1:8000")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A server of no one."""
    with client_of(tmp_path) as made:
        yield made


@pytest.fixture
def enrolled(client: TestClient) -> TestClient:
    """A server of six people with two photos each."""
    for identity in range(6):
        files = parts(picture(identity, 0), picture(identity, 1))
        assert client.post(f"/api/v1/people/p{identity:02d}/photos", files=files).status_code == 201
    return client


from tests.enroll.serve.album import album, some_library  # noqa: E402, F401
from tests.enroll.serve.chromium import (  # noqa: E402, F401
    faces,
    gallery,
    network,
    open_page,
    some_people,
)
