"""A trunk that any code has trained becomes a model folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from embedder.errors import EmbedError, UsageError
from embedder.export import saving
from embedder.export.formats import export_model
from embedder.export.saving import save_model
from embedder.extractor import Extractor
from embedder.model_folder import MANIFEST, check_model
from embedder.trunks import embed_crops, load_trunk
from tests.conftest import TOY_STRANGERS, pattern

pytestmark = pytest.mark.usefixtures("fresh_keras")
PICTURES = np.array([pattern(0, n, 32) for n in range(3)])


@pytest.fixture(scope="module")
def trunk() -> Any:
    keras.utils.set_random_seed(3)
    return load_trunk("small-cnn", input_size=32)


@pytest.mark.parametrize("mirror", [None, False])
def test_the_folder_gives_the_vectors_of_the_trunk(trunk: Any, mirror: bool | None, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    manifest = save_model(folder, trunk, name="small-cnn", mirror=mirror, strangers=TOY_STRANGERS)
    assert check_model(folder) == manifest
    assert (manifest.trunk, manifest.crop, manifest.input_size, manifest.dim) == (
        "small-cnn",
        "whole",
        32,
        128,
    )
    assert (manifest.head, manifest.mirror, manifest.strangers) == ("none", mirror is None, TOY_STRANGERS)
    extractor = Extractor.load(folder)
    expected = embed_crops(trunk, PICTURES, manifest.mirror)
    assert extractor.embed(list(PICTURES)) == pytest.approx(expected, abs=1e-4)
    assert export_model(folder, tmp_path / "e.tflite", "litert")  # it can be built again by its name


def test_a_model_is_replaced_and_other_folders_are_not(trunk: Any, tmp_path: Path) -> None:
    first = save_model(tmp_path / "m", trunk, name="small-cnn")
    other = load_trunk("small-cnn", input_size=32)
    assert save_model(tmp_path / "m", other, name="small-cnn").fingerprint != first.fingerprint
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    for place in (tmp_path / "photos", tmp_path / "photos" / "1.jpg"):
        with pytest.raises(
            UsageError, match=r"expected a new or empty folder, or a model's|cannot be written"
        ):
            save_model(place, trunk, name="small-cnn")
    (tmp_path / "empty").mkdir()
    assert save_model(tmp_path / "empty", trunk, name="small-cnn")


def with_head(trunk: Any) -> Any:
    return keras.Sequential([trunk, keras.layers.Reshape((2, 64))])


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (lambda trunk: trunk, {"name": "my-net"}, r"expected .*small-cnn.*, got 'my-net'"),
        (lambda trunk: trunk, {"name": "small-cnn", "crop": "head"}, "crop: expected one of .*, got 'head'"),
        (with_head, {"name": "small-cnn"}, r"to \(batch, dim\), got Sequential .* to \(None, 2, 64\)"),
        (
            lambda trunk: keras.Sequential([keras.Input((32, 24, 3)), keras.layers.Flatten()]),
            {},
            "got Sequential",
        ),
        (
            lambda trunk: keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten()]),
            {},
            "got Sequential",
        ),
        (lambda trunk: keras.layers.Dense(3), {}, "got Dense from None to None"),
    ],
)
def test_what_is_no_trunk_is_refused(
    trunk: Any, made: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        save_model(tmp_path / "m", made(trunk), **{"name": "small-cnn", **options})
    assert not (tmp_path / "m").exists()


def test_half_precision_is_refused(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = load_trunk("small-cnn", input_size=32)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(UsageError, match="expected layers that compute in float32, got others, such as"):
        save_model(tmp_path / "m", half, name="small-cnn")


def test_a_network_that_gives_something_else_is_not_saved(
    trunk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = saving.compile_saved(load_trunk("small-cnn", input_size=32), "small-cnn", 32, b"", "float32")
    monkeypatch.setattr(saving, "compile_saved", lambda *_: compiled)
    with pytest.raises(EmbedError, match="differ"):
        save_model(tmp_path / "m", trunk, name="small-cnn")
    assert not (tmp_path / "m").exists()


def test_faces_are_found_by_the_detector_of_the_built_in_model(tmp_path: Path, monkeypatch: Any) -> None:
    trunk = load_trunk("small-cnn", input_size=32)
    manifest = save_model(tmp_path / "m", trunk, name="small-cnn", crop="face")
    assert manifest.detector is not None and manifest.landmarks is not None
    assert Extractor.load(tmp_path / "m").faces(np.zeros((80, 80, 3), np.uint8)) == []


@pytest.mark.slow
def test_it_is_compiled_by_a_process_apart_on_jax(tmp_path: Path) -> None:
    made = "embedder.load_trunk('small-cnn', input_size=32)"
    code = f"import embedder; print(embedder.save_model('m', {made}, name='small-cnn').dim)"
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "128\n", done.stderr
    assert (tmp_path / "m" / MANIFEST).exists()
