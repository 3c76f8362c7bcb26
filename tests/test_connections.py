"""What `tests/connections.py` reports of databases that are left open."""

from __future__ import annotations

import gc
import sqlite3
import warnings

import pytest


@pytest.mark.parametrize("closed", [True, False])
def test_database_left_open_is_reported_with_its_line(closed: bool) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        connection = sqlite3.connect(":memory:")
        if closed:
            connection.close()
        del connection
        gc.collect()  # SQLite's cache of statements refers back to it
    messages = [str(one.message) for one in seen if one.category is ResourceWarning]
    assert len(messages) == (not closed)
    assert all(f"left open by {__file__}:" in message for message in messages)
