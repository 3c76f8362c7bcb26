"""One detector for all tests of finding faces."""

from __future__ import annotations

import pytest

from embedder.faces.search import YuNetDetector


@pytest.fixture(scope="session")
def detector(yunet_network) -> YuNetDetector:
    return YuNetDetector(yunet_network)
