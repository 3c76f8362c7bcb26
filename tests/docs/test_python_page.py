"""The six snippets of docs/python.md run, one after the other, and so does docs/scikit-learn.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from embedder.model_folder import load_manifest
from tests.conftest import pattern, save_people

DOCS = Path(__file__).parents[2] / "docs"


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


TRAIN, CENTER_LOSS, *REST = snippets("python.md")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_people(tmp_path / "photos", 12, 6)
    for name, photo in {"crop.png": 0, "ada1.jpg": 1, "ada2.jpg": 2, "photo.jpg": 1}.items():
        Image.fromarray(pattern(50, photo)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")  # the default of Keras, for a tf.data.Dataset
@pytest.mark.usefixtures("fresh_keras", "quick_compile")
@pytest.mark.parametrize(
    ("name", "side"), [("small-cnn", 64), pytest.param("face-resnet", 150, marks=pytest.mark.slow)]
)
def test_training_runs(name: str, side: int, folder: Path) -> None:
    """As written with face-resnet, which takes a minute; else by the smallest trunk."""
    save_people(folder / "faces", 3, 2, side=60)
    code = TRAIN.replace('"face-resnet"', f'"{name}"').replace("(150, 150)", f"({side}, {side})")
    names: dict[str, Any] = {}
    exec(code, names)
    manifest = load_manifest("embed-model")
    assert (manifest.trunk, manifest.input_size, manifest.crop) == (name, side, "whole")
    exec(CENTER_LOSS, names)
    assert {"loss", "center_loss", "accuracy"} <= set(names["model"].history.history)


def test_the_rest_runs_in_order(folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "embed-model").symlink_to(model)
    names: dict[str, Any] = {}
    with threadpool_limits(1):
        for code in REST:
            exec(code, names)
    assert names["vectors"].shape == (72, 128) and len(set(names["names"])) == 12
    assert names["search"].predict(names["vectors"][:6]).tolist() == ["p00"] * 6
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "Ada"
    assert re.match(r"[01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\) not supported; needs 100 non-mated", out[1])
    assert out[2].startswith("AsCalibrated(target_fpir=0.01, threshold=")
    threshold, confidence = map(float, out[3].split())
    assert 0 < threshold < 2 and confidence == 0.95


def test_the_page_on_scikit_learn_runs(folder: Path, model: Path) -> None:
    (folder / "embed-model").symlink_to(model)
    rng = np.random.default_rng(0)
    paths = sorted((folder / "photos").rglob("*.png"))
    names: dict[str, Any] = {"paths": paths, "names": [path.parent.name for path in paths], "rng": rng}
    codes = snippets("scikit-learn.md")
    assert len(codes) > 2
    with threadpool_limits(1):
        for code in codes:
            exec(code, names)
    assert {"scores", "classifier", "answers", "pipe"} <= set(names)
    assert set(names["answers"]) <= {*names["names"], "unknown"}
