"""Where tests of Milvus keep their galleries: Milvus Lite, or a server that all tests of a run share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from enroll.store import open_store
from enroll.store.milvus.store import MilvusStore
from tests.enroll.store.milvus_server import shared_server
from tests.enroll.templates import DIM, MODEL


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.slow)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where there is no gallery yet."""
    if request.param == "lite":
        return f"milvus:{tmp_path}/Galerie Zoë.db"
    return shared_server().address(f"test_{uuid4().hex}")


@pytest.fixture
def gallery(location: str) -> Iterator[MilvusStore]:
    """A gallery that is bound to a model and empty."""
    with opened(location, create=True) as store:
        store.bind(MODEL, DIM)
        yield store


def opened(location: str, create: bool = False) -> MilvusStore:
    store = open_store(location, create)
    assert isinstance(store, MilvusStore)
    return store
