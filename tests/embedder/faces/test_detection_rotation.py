from __future__ import annotations

import numpy as np
import pytest

from embedder.config import DetectorConfig
from embedder.faces.crop import FaceCropper
from embedder.faces.detection import POINTS, Detection, RotationSearch, rotate_back
from embedder.trunks import find_trunk
from scripts.group_photos import compose
from tests.embedder.faces.composed import face_of, placed, rgb
from tests.embedder.faces.test_search import MEDIANS


class Fixed:
    """Stands in for a detector: says of every picture what it was told."""

    def __init__(self, *answers: list[Detection]) -> None:
        self.answers, self.seen = list(answers), []

    def find(self, image: np.ndarray) -> list[Detection]:
        self.seen.append(image)
        return self.answers[len(self.seen) - 1]


def left_eye_side(face: Detection) -> float:
    """How far the person's left eye lies to the right of the other, as it does in an upright face."""
    return float(face.points[1, 0] - face.points[0, 0])


def face(box, score: float) -> Detection:
    return Detection(box, np.zeros((len(POINTS), 2)), score)


@pytest.fixture(scope="module")
def group(heads):
    return compose(heads, 3, (800, 600), 3, (80, 130), 10, "drawn")


@pytest.fixture(scope="module")
def any_rotation(detector) -> RotationSearch:
    return RotationSearch(detector, 0.4)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("shape", [(7, 11), (11, 7), (8, 8)])
def test_turned_back_gives_the_place_in_the_picture_before(quarters, shape):
    rng = np.random.default_rng(quarters)
    marked = rng.permutation(shape[0] * shape[1]).reshape(shape)  # every pixel has a number of its own
    turned = np.rot90(marked, quarters)
    rows, columns = rng.integers(0, turned.shape, (4, 2)).T
    points = np.stack([columns, rows], axis=1) + 0.5  # middles of pixels
    left, top, right, bottom = 1, 2, 4, 6
    detection = Detection((left, top, right - left, bottom - top), points, 0.8)
    back = rotate_back(detection, turned.shape, quarters)
    places = np.floor(back.points).astype(int)
    np.testing.assert_array_equal(marked[places[:, 1], places[:, 0]], turned[rows, columns])
    np.testing.assert_allclose(back.points - places, 0.5)
    x, y, width, height = back.box
    there = marked[y : y + height, x : x + width]
    assert set(there.ravel()) == set(turned[top:bottom, left:right].ravel())
    assert back.score == 0.8


def test_turned_back_of_parts_of_pixels_and_boxes_beyond_the_border():
    detection = Detection((-2.5, 1.25, 4, 6), np.array([[0.0, 0], [3.5, 1], [10, 20], [-1, 2]]), 0.5)
    back = rotate_back(detection, (20, 10), 1)  # a picture of 20 x 10 had been turned counterclockwise
    assert back.box == (20 - 1.25 - 6, -2.5, 6, 4)
    np.testing.assert_allclose(back.points, [[20, 0], [19, 3.5], [0, 10], [18, -1]])


def test_turned_back_four_times_is_where_it_was():
    detection = Detection((1.0, 2.0, 3.0, 4.0), np.arange(8.0).reshape(4, 2), 0.5)
    back = detection
    for shape in [(20, 30), (30, 20), (20, 30), (30, 20)]:
        back = rotate_back(back, shape, 1)
    assert back.box == detection.box
    np.testing.assert_array_equal(back.points, detection.points)
    at_once = rotate_back(rotate_back(detection, (20, 30), 3), (30, 20), 1)
    np.testing.assert_array_equal(at_once.points, detection.points)


def test_the_picture_is_shown_in_all_four_turns():
    picture = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    inner = Fixed([], [], [], [])
    any_rotation = RotationSearch(inner, 0.4)
    assert any_rotation.find(picture) == []
    for quarters, seen in enumerate(inner.seen):
        np.testing.assert_array_equal(seen, np.rot90(picture, quarters))
        assert seen.flags.c_contiguous


def test_a_face_found_in_two_turns_is_kept_as_where_it_scored_higher():
    # In a picture of 100 x 100, the same place as seen upright and turned by 180 degrees, and another place.
    upright, on_its_head = face((10, 20, 30, 30), 0.8), face((58, 52, 30, 30), 0.9)
    other = face((70, 70, 20, 20), 0.7)
    found = RotationSearch(Fixed([upright, other], [], [on_its_head], []), 0.4).find(
        np.zeros((100, 100, 3), np.uint8)
    )
    assert [one.score for one in found] == [0.9, 0.7]
    assert found[0].box == (12, 18, 30, 30)


@pytest.mark.parametrize("quarters", range(4))
def test_finds_faces_in_a_turned_photo_where_they_are(any_rotation, group, quarters):
    """`quarters` is how the photo lies; the answer is in the coordinates of the photo as it lies."""
    photo, truths = group
    faces = any_rotation.find(np.ascontiguousarray(np.rot90(photo, quarters)))
    assert len(faces) == len(truths)
    assert [one.score for one in faces] == sorted((one.score for one in faces), reverse=True)
    height, width = np.rot90(photo, quarters).shape[:2]
    upright = [rotate_back(one, (height, width), quarters) for one in faces]
    for truth in truths:
        found = face_of(truth, upright)
        assert np.hypot(*(found.points - placed(truth, np.array(MEDIANS))).T).max() < 0.25 * truth.width
        x, y, width, height = found.box
        assert np.hypot(x + width / 2 - truth.center[0], y + height / 2 - truth.center[1]) < 0.3 * truth.width
        assert 0.8 * truth.width < width < 1.4 * truth.width


def test_a_face_on_its_head_has_its_eyes_below(any_rotation, heads):
    for head in heads[::8]:
        (face,) = any_rotation.find(np.ascontiguousarray(rgb(head)[::-1, ::-1]))
        assert left_eye_side(face) < 0


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_crops_are_upright(heads, yunet_network, quarters):
    landmarks, finding = find_trunk("face-resnet").landmarks, DetectorConfig(any_rotation=True)
    crops = FaceCropper(64, landmarks, finding, network=yunet_network).crops
    for head in heads[:24:8]:
        (straight,), (turned,) = crops(rgb(head)), crops(np.ascontiguousarray(np.rot90(rgb(head), quarters)))
        one, other = (crop.pixels.astype(float) - crop.pixels.mean() for crop in (straight, turned))

        def likeness(a: np.ndarray, b: np.ndarray) -> float:
            return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))

        assert likeness(one, other) > 0.85
        assert likeness(one, np.rot90(other, -quarters)) < 0.6
        expected = -90 * quarters + straight.quality.roll
        assert (turned.quality.roll - expected + 180) % 360 - 180 == pytest.approx(0, abs=6)
