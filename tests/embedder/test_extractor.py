from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import interpreter

from embedder import Extractor
from embedder._internal.runtime import own_streams
from embedder.errors import ModelError
from embedder.images import resize_to_square
from embedder.metrics import unit_vectors
from embedder.model_folder import load_manifest, read_part
from tests.conftest import pattern

PICTURES = [pattern(i, j, 24 + 4 * i) for i in range(5) for j in range(9)]  # 45: more than one batch


def test_unit_rows(model: Path):
    vectors = Extractor.load(model).embed(PICTURES)
    assert vectors.shape == (45, 128)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_no_pictures_give_no_rows(model: Path):
    assert Extractor.load(model).embed([]).shape == (0, 128)


@pytest.mark.parametrize("size", [1, 2, 7, 32, 45])
def test_neighbours_in_a_batch_change_nothing(model: Path, size: int):
    extractor = Extractor.load(model)
    alone = np.concatenate([extractor.embed([picture]) for picture in PICTURES])
    together = np.concatenate(
        [extractor.embed(PICTURES[start : start + size]) for start in range(0, len(PICTURES), size)]
    )
    np.testing.assert_array_equal(alone, together)


def test_number_of_threads_changes_nothing(model: Path):
    one, two = (Extractor.load(model, threads).embed(PICTURES) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("allowed", [{0}, {1, 5, 7}])
def test_a_thread_for_each_core_it_may_use(allowed: set[int], model: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class Counted(interpreter.Interpreter):
        def __init__(self, num_threads: int, **given: object) -> None:
            asked.append(num_threads)
            super().__init__(num_threads=num_threads, **given)

    monkeypatch.setattr(interpreter, "Interpreter", Counted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed, raising=False)
    Extractor.load(model)
    Extractor.load(model, threads=2)
    assert asked == [len(allowed), 2]


def test_a_crop_is_embedded_like_its_picture(model: Path):
    extractor = Extractor.load(model)
    crops = [crop.pixels for picture in PICTURES for crop in extractor.crops(picture)]
    np.testing.assert_array_equal(extractor.embed(crops), extractor.embed(PICTURES))


def test_mirror_pictures_have_the_same_vector_only_with_averaging(model: Path):
    manifest = load_manifest(model)
    network = read_part(model, manifest, "extractor")
    mirrored = [picture[:, ::-1] for picture in PICTURES]
    for mirror in (True, False):
        extractor = Extractor(replace(manifest, mirror=mirror), network)
        difference = np.abs(extractor.embed(PICTURES) - extractor.embed(mirrored)).max()
        assert (difference < 1e-6) == mirror


def test_averaging_is_the_normalized_sum():
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    total = unit[:3] + unit[3:]
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(unit_vectors(features, mirrored=True), expected, rtol=1e-6)
    np.testing.assert_allclose(unit_vectors(features, mirrored=False), unit, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_vector_without_direction_is_refused(value: float):
    with pytest.raises(ModelError, match="without a direction"):
        unit_vectors(np.full((2, 3), value, np.float32), mirrored=False)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=lambda picture: f"{picture.shape} {picture.dtype}",
)
def test_what_is_no_rgb_picture_is_refused(model: Path, picture: np.ndarray):
    with pytest.raises(ValueError, match=r"images\[1\]: expected \(height, width, 3\) uint8"):
        Extractor.load(model).embed([PICTURES[0], picture])


def test_only_what_is_used_is_read(model: Path, tmp_path: Path):
    """The weights, to train on from, are as large as the network, and of no use to what embeds."""
    shutil.copytree(model, tmp_path / "m")
    (weights,) = (tmp_path / "m").glob("weights-*")
    (network,) = (tmp_path / "m").glob("extractor-*")
    weights.write_bytes(b"other weights")
    np.testing.assert_array_equal(
        Extractor.load(tmp_path / "m").embed(PICTURES[:2]), Extractor.load(model).embed(PICTURES[:2])
    )
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=r"extractor-.*changed since it was written"):
        Extractor.load(tmp_path / "m")


@pytest.mark.parametrize("network", [b"", b"\0\0\0\0TFL3", b"\0\0\0\0TFL3" + b"\7" * 200, b"not a network"])
def test_what_is_no_network_is_refused(model: Path, network: bytes):
    with pytest.raises(ModelError):
        Extractor(load_manifest(model), network)


@pytest.mark.parametrize("change", [{"input_size": 64}, {"dim": 64}])
def test_network_of_another_shape_is_refused(model: Path, change: dict[str, int]):
    manifest = load_manifest(model)
    with pytest.raises(ModelError, match="its manifest says"):
        Extractor(replace(manifest, **change), read_part(model, manifest, "extractor"))


def test_keras_and_litert_agree(model: Path, trained_trunk):
    from embedder.trunks import embed_crops

    extractor = Extractor.load(model)
    crops = np.stack([resize_to_square(picture, 32) for picture in PICTURES])
    keras_vectors = embed_crops(trained_trunk, crops, mirror=True)
    assert np.abs(keras_vectors - extractor.embed(PICTURES)).max() <= 1e-4


def test_never_loads_tensorflow(model: Path):
    code = (
        "import sys, numpy; from embedder import Extractor\n"
        "from embedder._internal.runtime import own_streams\n"
        "with own_streams():\n"
        f"    Extractor.load({str(model)!r}).embed([numpy.full((9, 9, 3), 7, numpy.uint8)])\n"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""  # LiteRT's own announcements, on the command line


def test_a_program_keeps_its_streams(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server writes its log while a model is loaded in another thread: none of it is lost."""
    redirected: list[tuple[int, ...]] = []
    real = os.dup2

    def redirect(*given: int) -> int:
        redirected.append(given)
        return real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(os, "dup2", redirect)
        Extractor.load(model).embed(PICTURES)
        assert redirected == []
        with own_streams():
            Extractor.load(model)
    assert {given[1] for given in redirected} == {1, 2}
