"""A manifest's record of training comes from elsewhere: whatever is in it, an answer or an error of ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedder.errors import ModelError
from embedder.model_folder import MANIFEST, Manifest, load_manifest
from enroll.cli.train import describe_training

OTHERS = (None, True, 7, -1, 10**400, 1.5, 1e308, "x", "", [], {}, [[]], [{}], {"a": 1})


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All fields and entries, however deep."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*at, key))


def changed(record: dict[str, Any], place: tuple[Any, ...], value: object) -> dict[str, Any]:
    record = copy.deepcopy(record)
    inside: Any = record
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return record


@pytest.fixture
def manifest(model: Path) -> Manifest:
    return load_manifest(model)


def test_every_field_of_another_type(manifest: Manifest, tmp_path: Path):
    refused = 0
    for place in [place for place in places(manifest.training) if place]:
        for value in OTHERS:
            record = changed(manifest.training, place, value)
            (tmp_path / MANIFEST).write_bytes(replace(manifest, training=record, strangers=None).to_bytes())
            try:
                lines = describe_training(load_manifest(tmp_path))
            except ModelError as error:
                refused += 1
                assert "train again" in str(error)
            else:
                assert all(isinstance(line, str) for line in lines)
    assert refused > 50
