from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from embedder.errors import MissingPackageError
from embedder.faces import mtcnn, mtcnn_networks
from embedder.faces.align import Similarity
from embedder.faces.mtcnn import MtcnnDetector
from embedder.faces.mtcnn_networks import Network
from scripts.group_photos import CENTER, FACE, Truth, compose

# Of the points found in the heads below; their mean picture has its eyes, nose and mouth there.
MEDIANS = [[30.5, 52.5], [64, 53], [47, 70], [46.5, 86]]


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture(scope="module")
def heads(orl: Path) -> NDArray[np.uint8]:
    """The first two photos of each of the 40 people, (80, 112, 92)."""
    files = [file for person in sorted(orl.iterdir()) for file in sorted(person.iterdir())[:2]]
    return np.stack([np.asarray(Image.open(file).convert("L")) for file in files])


def rgb(head: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(head[:, :, None], 3, axis=2)


def placed(truth: Truth, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where points of a head lie in the photo it was laid on."""
    turn = truth.width / FACE * np.exp(-1j * np.deg2rad(truth.degrees))
    return Similarity(turn, complex(*truth.center) - turn * complex(*CENTER))(points)


@pytest.mark.parametrize(
    ("name", "pools", "shape"),
    [
        ("pnet", (2, 0, 0), (1, 37, 54)),
        ("pnet", (2, 0, 0), (1, 12, 12)),
        ("rnet", (3, 3, 0), (3, 24, 24)),
        ("onet", (3, 3, 2, 0), (3, 48, 48)),
    ],
)
def test_numpy_computes_what_the_package_computes(name, pools, shape):
    from mtcnn import stages

    stage = {"pnet": stages.StagePNet, "rnet": stages.StageRNet, "onet": stages.StageONet}[name]()
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    *expected, probabilities = (
        part.numpy() for part in stage.model((pixels.astype(np.float32) - 127.5) / 128)
    )
    *outputs, logits = Network(name, pools)(pixels)
    for output, part in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, part, atol=2e-6)
    powers = np.exp(logits)
    np.testing.assert_allclose(powers / powers.sum(-1, keepdims=True), probabilities, atol=2e-6)


@pytest.mark.parametrize("seed", range(4))
def test_finds_every_face_where_it_is(detector, heads, seed):
    photo, truths = compose(heads, seed, size=(1000, 700), people=5, widths=(60, 130))
    faces = detector.find(photo)
    assert len(faces) == len(truths)
    for truth in truths:
        face = min(faces, key=lambda face: np.hypot(*(face.points.mean(0) - truth.center)))
        alone = detector.find(rgb(heads[truth.head]))[0]
        off = np.hypot(*(face.points - placed(truth, alone.points)).T) / truth.width
        assert off.max() < 0.08
        x, y, width, height = face.box
        assert abs(x + width / 2 - truth.center[0]) < 0.2 * truth.width
        assert abs(y + height / 2 - truth.center[1]) < 0.2 * truth.width
        assert 0.7 * truth.width < width < 1.3 * truth.width


def test_points_of_known_faces(detector, heads):
    found = [detector.find(rgb(head)) for head in heads]
    assert [len(faces) for faces in found] == [1] * len(heads)
    points = np.array([faces[0].points for faces in found])
    np.testing.assert_allclose(np.median(points, axis=0), MEDIANS, atol=2)
    fits = [Similarity.fit(own, detector.canonical * 150)(own) for own in points]
    np.testing.assert_allclose(np.median(fits, axis=0), detector.canonical * 150, atol=3)


def test_points_are_those_of_the_other_detector(detector, heads):
    from embedder.faces.search import BlazeFaceDetector

    other, off = BlazeFaceDetector(), []
    for head in heads[::8]:
        off.append(detector.find(rgb(head))[0].points - other.find(rgb(head))[0].points)
    assert np.hypot(*np.mean(off, axis=0).T).max() < 0.06 * FACE
    assert np.hypot(*np.transpose(off)).max() < 0.15 * FACE


def test_coordinates_start_at_the_corner_of_the_first_pixel(detector, heads):
    off = []
    for head in heads:
        left, mirrored = (detector.find(rgb(picture))[0].points[:, 0] for picture in (head, head[:, ::-1]))
        off.append(left + mirrored[[1, 0, 2, 3]] - head.shape[1])
    assert 0 < np.mean(off) < 1  # the networks are off by a quarter of a pixel; from pixels' centers: -0.5


def test_the_most_certain_face_comes_first_and_none_lies_on_another(detector, heads):
    scores = []
    for seed in range(3):
        faces = detector.find(compose(heads, seed, size=(1000, 700), people=5, widths=(60, 130))[0])
        scores.append([face.score for face in faces])
        centers = [complex(*face.points.mean(0)) for face in faces]
        assert all(abs(a - b) > 30 for i, a in enumerate(centers) for b in centers[:i])
    assert scores == [sorted(own, reverse=True) for own in scores]
    assert any(own != sorted(own) for own in scores)
    assert all(0.8 < score <= 1 for own in scores for score in own)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1000), (1000, 1), (2, 3000), (11, 11), (12, 12), (20, 20), (200, 300)]
)
@pytest.mark.parametrize("content", [0, 128, 255, "noise"])
def test_nothing_in_pictures_of_nothing(detector, shape, content):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert detector.find(noise if content == "noise" else np.full_like(noise, content)) == []


def test_any_part_of_a_face_in_any_shape(detector, heads):
    rng = np.random.default_rng(0)
    for head in heads:
        size = tuple(rng.integers(1, 150, 2).tolist())
        picture = rgb(np.asarray(Image.fromarray(head).resize(size)))
        top, left = (int(rng.integers(0, length)) for length in picture.shape[:2])
        for face in detector.find(picture[top:, left:]):
            assert face.points.shape == (4, 2)
            assert np.isfinite(face.points).all()
            assert min(face.box[2:]) > 0


def test_faces_larger_than_the_shorter_side(detector, heads):
    pictures = [rgb(head[10:112, 22:70]) for head in heads]
    assert sum(bool(detector.find(picture)) for picture in pictures) > 0.3 * len(heads)
    boxes = np.concatenate([detector._propose(picture).boxes[:1] for picture in pictures])
    np.testing.assert_allclose(np.median(boxes[:, 0] + boxes[:, 2] / 2), 47 - 22, atol=6)


def test_places_outside_of_the_picture_are_not_looked_at(detector, heads):
    outside = np.array([[500.0, 10, 300, 300], [-900, 10, 300, 300], [10, 500, 60, 60], [10, -90, 60, 60]])
    face = np.array([[10.0, 20, 70, 90]])
    for stage, points in ((detector._second, 0), (detector._third, 5)):
        seen = mtcnn._look(stage, rgb(heads[0]), np.concatenate([outside, face]))
        assert seen.points.shape == (1, points, 2)
    assert mtcnn._look(detector._third, rgb(heads[0]), outside).points.shape == (0, 5, 2)


@pytest.mark.parametrize("factor", [2, 4])
def test_faces_that_fill_a_tiny_picture(detector, heads, factor):
    small = [np.asarray(Image.fromarray(head).reduce(factor)) for head in heads[::2]]
    points = np.array([detector.find(rgb(head))[0].points for head in small])
    np.testing.assert_allclose(np.median(points, axis=0) * factor, MEDIANS, atol=3)


def test_bands_leave_no_seams(detector, heads, monkeypatch):
    photo, _ = compose(heads, 1, size=(500, 400), people=3, widths=(60, 70))
    at_once = detector.find(photo)
    monkeypatch.setattr(mtcnn, "_BAND", 100)
    monkeypatch.setattr(mtcnn, "_BATCH", 3)
    in_bands = detector.find(photo)
    assert len(at_once) == len(in_bands) == 3
    for one, other in zip(at_once, in_bands, strict=True):
        np.testing.assert_allclose(one.points, other.points, atol=1e-3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory used")
def test_a_panorama_in_little_memory_and_without_tensorflow():
    code = """
import re, sys
import numpy as np
from embedder.faces.mtcnn import MtcnnDetector
picture = np.full((2500, 20_000, 3), 99, np.uint8)
assert MtcnnDetector().find(picture) == []
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, *modules = done.stdout.split()
    assert int(peak) / 1024 < 550  # MiB; the picture itself is 143
    assert not {"tensorflow", "keras", "mtcnn"} & set(modules)
    assert done.stderr == ""


@pytest.fixture
def fresh(monkeypatch):
    """Weights are read again, in the test and after it."""
    mtcnn_networks._weights.cache_clear()
    yield
    mtcnn_networks._weights.cache_clear()


@pytest.mark.parametrize("missing", ["mtcnn", "lz4"])
def test_a_missing_package_is_named(monkeypatch, fresh, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == missing else found(name, *rest)
    )
    with pytest.raises(MissingPackageError, match=r"pip install 'embedder-enroll\[mtcnn\]'"):
        MtcnnDetector()


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("run"),)


def test_foreign_weights_are_refused_unread(monkeypatch, fresh, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mtcnn" / "assets" / "weights"
    folder.mkdir(parents=True)
    joblib.dump(Evil(), folder / "pnet.lz4")
    spec, found = ModuleSpec("mtcnn", None), importlib.util.find_spec
    spec.submodule_search_locations = [str(tmp_path / "mtcnn")]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name == "mtcnn" else found(name, *rest)
    )
    with pytest.raises(MissingPackageError, match=r"expected the networks of mtcnn 1\.0\.0"):
        MtcnnDetector()
    assert not (tmp_path / "run").exists()


def test_weights_in_the_current_folder_are_not_looked_at(monkeypatch, fresh, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("pnet", "rnet", "onet"):
        joblib.dump(Evil(), tmp_path / f"{name}.lz4")
    MtcnnDetector()
    assert not (tmp_path / "run").exists()
