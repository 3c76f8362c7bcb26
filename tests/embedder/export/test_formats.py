"""A model for other programs gives the vectors of the extractor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from embedder import Extractor
from embedder.config import FORMATS
from embedder.errors import MissingPackageError, ModelError, UsageError
from embedder.export import formats
from embedder.export.formats import export_model
from embedder.export.quantize import quantize_model
from embedder.model_folder import MANIFEST, load_manifest
from embedder.training.run import train
from enroll.cli import app
from tests.conftest import SMALL

Run = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def models(small_people: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A model with and one without mirror pictures."""
    made = {}
    for mirror in (False, True):
        made[mirror] = tmp_path_factory.mktemp("models") / f"mödel {mirror}"
        train(small_people, made[mirror], replace(SMALL, epochs=0, mirror=mirror))
    return made


def onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    (given,), (got,) = session.get_inputs(), session.get_outputs()
    assert (given.name, got.name) == ("chips", "vectors")
    assert given.shape[0] == "n"
    return lambda crops: session.run(None, {"chips": crops})[0]


def litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,), (got,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(crops: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(given["index"], crops.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], crops)
        interpreter.invoke()
        return interpreter.get_tensor(got["index"])

    return run


def saved_model(path: Path) -> Run:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda crops: loaded.serve(crops).numpy()


RUNS: dict[str, Callable[[Path], Run]] = {"onnx": onnx, "litert": litert, "saved-model": saved_model}


@pytest.mark.parametrize(
    ("form", "mirror"),
    [
        ("onnx", True),
        pytest.param("litert", True, marks=pytest.mark.slow),
        ("litert", False),
        pytest.param("saved-model", True, marks=pytest.mark.slow),
    ],
)
def test_vectors_are_those_of_the_extractor(
    form: str, mirror: bool, models: dict[bool, Path], tmp_path: Path
):
    to = tmp_path / f"größe.{form}"
    done = CliRunner().invoke(app, ["export", str(to), "--format", form, "--model", str(models[mirror])])
    assert done.exit_code == 0, done.output
    size = SMALL.input_size
    assert f"(n, {size}, {size}, 3) RGB from 0 to 255" in done.stdout
    crops = np.random.default_rng(1).integers(0, 256, (5, size, size, 3), np.uint8)
    vectors = RUNS[form](to)(crops.astype(np.float32))
    np.testing.assert_allclose(vectors, Extractor.load(models[mirror]).embed(list(crops)), atol=1e-5)


def test_every_format_is_tried():
    assert set(RUNS) == set(FORMATS)


@pytest.mark.slow
def test_the_face_trunk_as_onnx(orl: Path, tmp_path: Path):
    train(orl, tmp_path / "model", replace(SMALL, trunk="face-resnet", input_size=None, epochs=0))
    export_model(tmp_path / "model", tmp_path / "face.onnx", "onnx")
    crops = np.random.default_rng(1).integers(0, 256, (3, 150, 150, 3), np.uint8)
    vectors = onnx(tmp_path / "face.onnx")(crops.astype(np.float32))
    np.testing.assert_allclose(vectors, Extractor.load(tmp_path / "model").embed(list(crops)), atol=1e-5)


@pytest.mark.slow
def test_onnx_says_whose_vectors_these_are(models: dict[bool, Path], tmp_path: Path):
    import onnx as library

    export_model(models[True], tmp_path / "m.onnx", "onnx")
    facts = {entry.key: entry.value for entry in library.load(tmp_path / "m.onnx").metadata_props}
    assert facts["fingerprint"] == load_manifest(models[True]).fingerprint


def test_what_cannot_be_done_is_refused(
    models: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UsageError, match="--format: expected onnx, litert, saved-model, got 'coreml'"):
        export_model(models[True], tmp_path / "m", "coreml")
    with pytest.raises(ModelError, match=MANIFEST):
        export_model(tmp_path / "nothing", tmp_path / "m", "litert")
    with pytest.raises(UsageError, match="cannot be written"):
        export_model(models[True], tmp_path / "no" / "folder" / "m", "litert")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="not there yet"):
        export_model(models[True], tmp_path / "there", "saved-model")
    with pytest.raises(UsageError, match="there: expected a file, got a folder"):
        export_model(models[True], tmp_path / "there", "litert")
    before = (models[True] / MANIFEST).read_bytes()
    with pytest.raises(UsageError, match="is a part of the model"):
        export_model(models[True], models[True] / MANIFEST, "litert")
    assert (models[True] / MANIFEST).read_bytes() == before
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"embedder-enroll\[export\]"):
        export_model(models[True], tmp_path / "m", "onnx")


@pytest.mark.parametrize(
    "convert",
    [
        lambda model, to: export_model(model, to, "litert"),
        lambda model, to: quantize_model(model, to, "int8"),
    ],
)
def test_damaged_weights_are_refused_where_they_are_read(
    convert: Callable[[Path, Path], object], models: dict[bool, Path], tmp_path: Path
):
    model = shutil.copytree(models[True], tmp_path / "model")
    (weights,) = model.glob("weights-*")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match=r"weights-.*changed since it was written"):
        convert(model, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_weights_that_are_not_the_extractors_are_refused(
    models: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    build = formats._network
    monkeypatch.setattr(
        formats, "_network", lambda manifest, weights: build(replace(manifest, mirror=False), weights)
    )
    with pytest.raises(ModelError, match="differs from the extractor"):
        export_model(models[True], tmp_path / "m", "litert")
    assert not (tmp_path / "m").exists()
