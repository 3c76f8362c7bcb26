"""Heads of ORL and one detector for all tests of finding faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from embedder.faces.search import BlazeFaceDetector
from embedder.images import load_image


@pytest.fixture(scope="session")
def heads(orl: Path) -> NDArray[np.uint8]:
    """The first two photos of each of the 40 people, (80, 112, 92) grey."""
    files = [file for person in sorted(orl.iterdir()) for file in sorted(person.iterdir())[:2]]
    return np.stack([load_image(file)[:, :, 0] for file in files])


@pytest.fixture(scope="session")
def detector() -> BlazeFaceDetector:
    return BlazeFaceDetector()
