"""Forget the networks of each test that trains."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _forget_networks(fresh_keras: None) -> None: ...
