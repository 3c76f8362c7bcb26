"""What the pages and the docstrings show of Python and of training runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import typer

import embedder
import enroll
from embedder.config import TrainConfig, toml
from embedder.config.devices import DeviceConfig
from embedder.training import run
from embedder.training.validation import check_sharing
from enroll.cli import options
from tests.conftest import SMALL, ToyExtractor

ROOT = Path(embedder.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNS = sorted(
    {
        (page.name, (line.partition("$ ")[2] or line).partition(" #")[0].strip())
        for page in PAGES
        for line in page.read_text().splitlines()
        if re.match(r"(\S*\$ )?embed train [a-zA-Z]", line)
    }
)
SNIPPETS = [
    pytest.param(code, id=f"{page.name} {number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL), 1)
    # test_readme.py, test_plain_keras.py and test_python_page.py run these on photos
    if page.name not in ("README.md", "losses.md", "python.md", "scikit-learn.md")
]
MODULES = [
    importlib.import_module(found.name)
    for package in (embedder, enroll)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if found.name not in ("embedder.faces.mtcnn", "embedder.faces.mtcnn_networks")
]
EXAMPLES = {
    test.name: test for module in MODULES for test in doctest.DocTestFinder().find(module) if test.examples
}


@pytest.mark.parametrize(("page", "line"), RUNS)
def test_runs_are_not_refused(page: str, line: str, monkeypatch: pytest.MonkeyPatch):
    """Options that go together with the trunk that the line names, or with the default one."""
    monkeypatch.chdir(ROOT)
    asked: dict[str, Any] = {}

    @options.with_options(TrainConfig, DeviceConfig)
    def command(folder: Path, model: Path = Path("m"), **given: Any) -> None:
        asked.update(given)

    app = typer.Typer()
    app.command()(command)
    typer.main.get_command(app).main(shlex.split(line)[2:], standalone_mode=False)
    config, _ = run._resolve(TrainConfig(**options.fields_of(TrainConfig, asked)))
    check_sharing(config, DeviceConfig(**options.fields_of(DeviceConfig, asked)))


def test_there_are_runs_to_check():
    assert len(RUNS) > 5


@pytest.mark.parametrize("code", SNIPPETS)
def test_python_of_the_pages_runs(code: str, monkeypatch: pytest.MonkeyPatch):
    """All but the training itself: whether its options can be used is asked of the run."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(run, "train", lambda folder, model, config: run._resolve(config))
    exec(code, a_model_of_ones_own())


def a_model_of_ones_own() -> dict[str, Any]:
    """What the pages take for granted."""
    image = keras.Input((8, 8, 3))
    trunk = keras.Model(image, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(image)))
    model = keras.Sequential([trunk, keras.layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return {
        "trunk": trunk,
        "model": model,
        "measure": lambda: float(np.abs(trunk.get_weights()[0]).sum()),
        "factor": keras.Variable(0.0),
        "images": np.ones((4, 8, 8, 3), "float32"),
        "labels": np.array([0, 1, 0, 1]),
    }


def given_names() -> dict[str, Any]:
    """What the examples of docstrings take for granted."""
    rng = np.random.default_rng(0)
    vectors = {
        name: keras.ops.convert_to_tensor(rng.normal(size=(8, 6)).astype("float32"))
        for name in ("features", "answers", "queries")
    }
    photo = SimpleNamespace(faces=[SimpleNamespace(decision=SimpleNamespace(identity="ada"))])
    return {
        **vectors,
        "keras": keras,
        "labels": keras.ops.convert_to_tensor(np.repeat(np.arange(4, dtype="int32"), 2)),
        "loss": SimpleNamespace(parameters={"label_smoothing": keras.Variable(0.1)}),
        "extractor": None,
        "gallery": None,
        "trunk": None,
        "save_model": lambda folder, trunk, name: SimpleNamespace(dim=128),
        "whole_pictures": ToyExtractor(),
        "Extractor": SimpleNamespace(load=lambda: SimpleNamespace(faces=lambda image: [])),
        "load_image": lambda path: None,
        "load_manifest": lambda folder: SimpleNamespace(dim=128),
        "train": lambda folder, model, config: SimpleNamespace(manifest=SimpleNamespace(dim=128)),
        "FilmIdentifier": lambda extractor, gallery: SimpleNamespace(
            identify=lambda path: SimpleNamespace(
                people=[SimpleNamespace(identity="ada", intervals=((0.0, 4.5),))]
            )
        ),
        "Identifier": lambda extractor, gallery: SimpleNamespace(identify=lambda path: photo),
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_docstrings_run(name: str):
    test = EXAMPLES[name]
    names = {**test.globs, **given_names()}
    for example in test.examples:
        if example.exc_msg is not None:
            with pytest.raises(Exception) as caught:
                exec(example.source, names)
            kind = f"{caught.type.__module__}.{caught.type.__name__}"
            assert f"{kind}: {caught.value}" == example.exc_msg.strip()
            continue
        if not example.want:
            exec(example.source, names)
            continue
        got = eval(example.source, names)
        assert got == ast.literal_eval(example.want)


@pytest.mark.parametrize("package", [embedder, enroll], ids=lambda package: package.__name__)
def test_every_public_name_has_an_example(package: ModuleType):
    public = [getattr(package, name) for name in package.__all__ if name != "__version__"]
    homes = {f"{one.__module__}.{one.__qualname__}" for one in public if callable(one)}
    assert homes and homes <= {name for name, test in EXAMPLES.items() if test.examples}


def test_python_names_of_the_table_of_losses_exist():
    table = [line for line in (ROOT / "docs" / "losses.md").read_text().splitlines() if line.startswith("|")]
    named = {name for line in table for name in re.findall(r"`([A-Z][A-Za-z]+)[`(]", line)}
    assert len(named) > 10
    there = {name for module in MODULES for name in vars(module)} | set(dir(keras.losses))
    assert named - there == set()


def test_a_loss_may_be_a_function(small_people: Path, tmp_path: Path):
    from dataclasses import replace

    from embedder.errors import UsageError
    from embedder.heads import find_loss
    from embedder.model_folder import load_manifest

    config = replace(SMALL, loss=squared, epochs=1, keep_trained=True)
    run.train(small_people, tmp_path / "m", config)
    training = load_manifest(tmp_path / "m").training
    assert training["history"][0]["squared_loss"] > 0
    assert training["config"]["loss"] == "function tests.docs.test_snippets.squared"
    # The file cannot bring the function back, and another loss must not take its place unsaid.
    again = toml.read_config(tmp_path / "m" / "train.toml", {})
    with pytest.raises(UsageError, match=r"got 'function tests\.docs\.test_snippets\.squared'"):
        find_loss(again)


def squared(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)
