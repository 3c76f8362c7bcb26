"""The examples of docs/extend.md run, and the page shows what runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from embedder import Extractor, load_image
from embedder.errors import UsageError
from embedder.model_folder import load_manifest
from embedder.training.run import train
from embedder.trunks import find_trunk
from tests.conftest import SMALL

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_page_shows_the_file_and_it_is_short(path: Path):
    page = (DOCS / "extend.md").read_text()
    text = path.read_text()
    assert f"<!-- docs/examples/{path.name} -->\n```python\n{text}```" in page
    assert len(text.splitlines()) <= 20
    assert re.search(rf"docs/examples/{path.name}:{path.stem}\b", page)


def test_a_network_and_a_loss_of_ones_own_from_folder_to_vectors(small_people: Path, tmp_path: Path):
    config = replace(
        SMALL,
        trunk=f"{DOCS}/examples/two_paths.py:two_paths",
        loss=f"{DOCS}/examples/sure_enough.py:sure_enough",
        epochs=2,
        keep_trained=True,
    )
    train(small_people, tmp_path / "m", config)
    history = load_manifest(tmp_path / "m").training["history"]
    assert history[0]["sure_enough_loss"] > 0
    vectors = Extractor.load(tmp_path / "m").embed([load_image(next(small_people.rglob("*.png")))])
    assert vectors.shape == (1, 64)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("None", "got NoneType from None to None"),
        (
            "(lambda image: keras.Model(image, image))(keras.Input((size, size, 3)))",
            r"to \(None, 32, 32, 3\)",
        ),
        ("keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])", r"from \(None, 8, 8, 3\)"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_network_is_refused(body: str, message: str, tmp_path: Path):
    (tmp_path / "mine é.py").write_text(
        f"import keras\ndef mine(size):\n    return {body}\n", encoding="utf-8"
    )
    with pytest.raises(UsageError, match=message):
        find_trunk(f"{tmp_path}/mine é.py:mine").build(32)
