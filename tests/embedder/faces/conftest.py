"""One detector for all tests of finding faces."""

from __future__ import annotations

import pytest

from embedder.faces.search import BlazeFaceDetector


@pytest.fixture(scope="session")
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector()
