"""Watching: a photo counts when it is whole, and a folder that vanishes is waited for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from embedder.errors import MissingPackageError
from enroll.library import watch
from enroll.library.watch import Settling, watch_folders


def test_a_file_counts_when_it_stands_still(tmp_path: Path) -> None:
    settling, path = Settling(2.0), tmp_path / "a.jpg"
    path.write_bytes(b"ha")
    settling.changed(path)
    assert settling.ready(0.0) == []
    path.write_bytes(b"half of it")
    settling.changed(path)
    assert settling.ready(1.9) == []  # it grows
    assert settling.ready(3.8) == []
    assert settling.ready(3.9) == [path]
    assert settling.ready(9.0) == []
    settling.changed(tmp_path / "never.jpg")
    assert settling.ready(10.0) == []


def test_new_photos_are_given_and_our_own_are_not(tmp_path: Path) -> None:
    folder, out, late = tmp_path / "in", tmp_path / "in" / "out", tmp_path / "late"
    out.mkdir(parents=True)
    asked: list[None] = []
    found: list[Path] = []

    def stop() -> bool:
        asked.append(None)
        if len(asked) == 2:  # it watches
            write()
        return time.monotonic() - begun > 20 or bool(found)

    def write() -> None:
        (folder / "a.jpg").write_bytes(b"A")
        (folder / "a.jpg.part").write_bytes(b"half")
        (out / "copy.jpg").write_bytes(b"A")
        late.mkdir()

    begun = time.monotonic()
    for ready in watch_folders([folder, late], [out], polling=True, stop=stop, settled=0.1):
        found += ready
    assert found == [folder / "a.jpg"]


def test_without_the_package_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match="pip install"):
        next(watch_folders([tmp_path]))
