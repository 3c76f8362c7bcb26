"""The threads that process pictures."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ToyExtractor

pytest.importorskip("fastapi", reason="embedder-enroll[serve] is not installed")

from enroll.serve import ServeConfig
from enroll.serve.engine import Engine


class FailsLater(ToyExtractor):
    """Works in the first thread that looks for faces, and in no other."""

    def crops(self, image: Any) -> Any:
        if self.embedded:
            raise MemoryError("no room for another network")
        return super().crops(image)


def test_a_thread_that_cannot_load_the_model_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ServeConfig(gallery=str(tmp_path / "gallery.db"), threads=2)
    failing: Any = FailsLater()  # stands in for an Extractor
    engine = Engine(config, failing)
    with caplog.at_level(logging.ERROR, "enroll.serve.engine"):
        engine.start()
        assert engine.failure is None  # the other one answers
        engine.close()
    assert "a thread could not load the model: no room for another network" in caplog.text
