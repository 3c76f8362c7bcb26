"""`-` is the photo on standard input."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from embedder.config import ImageLimits, use_limits
from embedder.errors import UsageError
from enroll import cli
from enroll.cli import standard_input
from tests.conftest import pattern
from tests.embedder.pictures import encode

ADA, BO = encode(pattern(1, 7), "PNG"), encode(pattern(2, 7), "PNG")


def run(*words: str, model: Path, stdin: bytes, code: int = 0) -> str:
    said = CliRunner().invoke(cli.app, [*words, "--model", str(model)], input=stdin)
    assert said.exit_code == code, said.output
    return said.output


@pytest.fixture
def enrolled(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert "enrolled ada (1 photo)" in run("enroll", "--name", "ada", "-", model=model, stdin=ADA)
    return model


def test_who_is_on_standard_input(enrolled: Path) -> None:
    Path("bo.png").write_bytes(BO)
    said = run("identify", "-", "bo.png", "--threshold", "2", "--json", model=enrolled, stdin=ADA)
    first, second = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert (first["photo"], first["faces"][0]["identity"], first["faces"][0]["distance"]) == ("-", "ada", 0)
    assert (second["photo"], second["faces"][0]["distance"] > 0) == ("bo.png", True)


def test_it_is_read_where_a_file_or_folder_has_that_name(enrolled: Path) -> None:
    Path("-").mkdir()
    said = run("identify", "-", "--threshold", "2", model=enrolled, stdin=ADA)
    assert said.startswith("-: ada")


def test_a_second_photo_replaces_none(enrolled: Path) -> None:
    said = run("enroll", "--name", "ada", "-", model=enrolled, stdin=BO)
    assert said.splitlines() == ["enrolled ada (1 photo)"]


@pytest.mark.parametrize(
    ("stdin", "reason"), [(b"", "the file is empty"), (b"hello", "not a picture"), (ADA[:50], "truncated")]
)
def test_what_is_no_picture_is_refused(stdin: bytes, reason: str, enrolled: Path) -> None:
    said = run("identify", "-", "--threshold", "2", model=enrolled, stdin=stdin, code=3)
    assert "-: " in said
    assert reason in said
    assert reason in run("enroll", "--name", "bo", "-", model=enrolled, stdin=stdin, code=3)


def test_no_more_is_read_than_a_file_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    read = io.BytesIO(bytes(100))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(read))
    use_limits(ImageLimits(max_bytes=10))
    try:
        standard_input.read_given([Path("-")])
    finally:
        use_limits(ImageLimits())
    assert read.tell() == 11


def test_a_terminal_is_no_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(UsageError, match="-: expected a photo on standard input, got a terminal"):
        standard_input.read_given([Path("-")])
    assert standard_input.read_given([Path("a.jpg")]) == [Path("a.jpg")]
