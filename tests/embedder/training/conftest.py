"""Forget the networks of each test that trains; leave out what takes a second and is tested elsewhere."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from embedder.training import artifacts


@pytest.fixture(autouse=True)
def _forget_networks(fresh_keras: None) -> None: ...


@pytest.fixture(autouse=True)
def curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a file in place of the curves, which take a second to draw."""
    monkeypatch.setattr(artifacts, "_draw", lambda *_: b"curves")


@pytest.fixture
def quick_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save models with all but their compiled network, for tests of what was trained."""
    anything = SimpleNamespace(embed=lambda images: np.zeros((len(images), 1)))
    monkeypatch.setattr("embedder.export.saving.compile_saved", lambda *_: b"not compiled")
    monkeypatch.setattr(artifacts, "Extractor", lambda *_: anything)
    monkeypatch.setattr("embedder.export.litert.check_agreement", lambda *_: None)
