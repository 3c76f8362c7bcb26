"""What is said of photos that are read all the same, and how large they may be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.config import ImageLimits, limits_in_force, use_limits
from enroll import cli
from enroll.cli.ending import run_command
from tests.conftest import pattern, save_people
from tests.embedder.pictures import encode

CUT = "the file ends before its picture does; read as far as it goes"


@pytest.fixture(autouse=True)
def own_limits():
    yield
    use_limits(ImageLimits())


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of people, one photo of whom has no end."""
    monkeypatch.chdir(tmp_path)
    save_people(tmp_path / "people", 4, 3)
    photo = tmp_path / "people" / "p00" / "cut.jpg"
    photo.write_bytes(encode(np.repeat(np.repeat(pattern(1, 7), 8, 0), 8, 1), "JPEG")[:-2])
    return photo


def run(*words: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: cli.app(list(words)))
    assert ended.value.code == code


def listed(err: str, photo: Path) -> None:
    lines = err.splitlines()
    place = lines.index("1 remark on photos that were read:")
    assert lines[place + 1 :] == [f"  {photo.relative_to(photo.parents[2])}: {CUT}"]


@pytest.mark.parametrize(
    "words",
    [
        ["enroll", "people"],
        ["enroll", "--name", "ada", "people/p00/cut.jpg"],
        ["enroll", "--strangers", "people"],
        ["identify", "people/p00/cut.jpg", "people/p00/cut.jpg"],
        ["evaluate", "people"],
        ["train", "people", "--epochs", "0", "--trunk", "small-cnn", "--crop", "whole", "--hold-out", "0"],
    ],
    ids=" ".join,
)
def test_remarks_stand_at_the_end_each_once(
    words: list[str], cut: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] == "identify":
        run("enroll", "people", "--model", str(model))
        capsys.readouterr()
        words = [*words, "--threshold", "2"]
    run(*words, "--model", str(model if words[0] != "train" else cut.parents[2] / "new"))
    listed(capsys.readouterr().err, cut)


def test_json_has_them_too(cut: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("enroll", "people", "--model", str(model))
    capsys.readouterr()
    run("identify", str(cut), "--json", "--threshold", "2", "--model", str(model))
    assert json.loads(capsys.readouterr().out)["notes"] == [CUT]


def test_max_pixels(cut: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (20, 20)).save("large.png")
    run("enroll", "--name", "x", "large.png", "--max-pixels", "399", "--model", str(model), code=3)
    assert "large.png: has 0.0 megapixels, at most 0.000399 are read" in capsys.readouterr().err
    assert limits_in_force() == ImageLimits(max_pixels=399)
    run("enroll", "--name", "x", "large.png", "--max-pixels", "400", "--model", str(model))
    run("enroll", "--name", "x", "large.png", "--max-pixels", "0", "--model", str(model), code=2)
    run("enroll", "--name", "x", "large.png", "--model", str(model))
    assert limits_in_force() == ImageLimits()
