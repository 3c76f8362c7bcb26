from __future__ import annotations

from collections.abc import Iterator

import keras
import pytest


@pytest.fixture(autouse=True)
def fresh_keras() -> Iterator[None]:
    """Forget the networks of a test; kept, they make each following training slower."""
    yield
    keras.utils.clear_session()
