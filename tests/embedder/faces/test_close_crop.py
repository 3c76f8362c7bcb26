from __future__ import annotations

import numpy as np
import pytest

from embedder.faces import close_crop
from embedder.faces.close_crop import CloseCrop
from embedder.faces.detection import Detection
from embedder.faces.yunet import Candidates

CANDIDATE = Detection((90, 60, 60, 80), np.zeros((5, 2)), 0.5)


@pytest.fixture(scope="module")
def picture():
    rows, columns = np.mgrid[:200, :240]
    return np.stack([columns, rows, (rows + columns) % 200], axis=-1).astype(np.uint8)


def seen(boxes, points=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.zeros((len(boxes), 5, 2)) if points is None else np.array(points)
    return Candidates(boxes, points.astype(np.float32), np.linspace(0.9, 0.5, len(boxes), dtype=np.float32))


@pytest.mark.parametrize("degrees", [0, -30, 20])
@pytest.mark.parametrize("border", ["black", "mirror"])
def test_what_the_crop_shows_is_where_it_says(picture, degrees, border):
    crop = CloseCrop.cut(picture, CANDIDATE, degrees, share=0.5, border=border)
    at = np.array([[64, 64], [40, 70], [90, 30]])
    x, y = crop.back(at + 0.5).T
    shown = crop.pixels[at[:, 1], at[:, 0]].astype(float)
    np.testing.assert_allclose(shown[:, :2], np.stack([x - 0.5, y - 0.5], axis=1), atol=1)


def test_the_candidate_is_in_the_middle_and_has_its_share(picture):
    crop = CloseCrop.cut(picture, CANDIDATE, 0, share=0.6)
    face = crop.face_in(seen([[64 - 38.4, 64 - 38.4, 76.8, 76.8]]))
    assert face.box == pytest.approx((85, 65, 70, 70))  # the square of the same mean side
    assert face.score == pytest.approx(0.9)


def test_landmarks_of_a_mirrored_crop_change_sides(picture):
    crop = CloseCrop.cut(picture, CANDIDATE, 20)
    points = np.array([[40, 50], [80, 48], [62, 70], [45, 90], [82, 88]], float)
    box = np.array([30, 28, 64, 70], float)
    plain = crop.face_in(seen(box, points[None]))
    there = np.stack([128 - points[:, 0], points[:, 1]], axis=1)[[1, 0, 2, 4, 3]]
    mirrored = crop.face_in(seen([128 - 30 - 64, 28, 64, 70], there[None]), mirrored=True)
    np.testing.assert_allclose(mirrored.points, plain.points, atol=1e-6)
    assert mirrored.box == pytest.approx(plain.box)


def test_another_face_and_none_are_none(picture):
    crop = CloseCrop.cut(picture, CANDIDATE, 0)
    assert crop.face_in(seen([])) is None
    assert crop.face_in(seen([[0, 0, 30, 30], [32, 32, 64, 64]])) is None  # the best is another one


def test_beyond_the_border_is_black_or_the_mirror_image(picture):
    corner = Detection((-20, -30, 60, 60), np.zeros((5, 2)), 0.5)
    black = CloseCrop.cut(picture, corner, 0).pixels
    assert not black[:40, :40].any()
    mirror = CloseCrop.cut(picture, corner, 0, border="mirror").pixels
    x, y = CloseCrop.cut(picture, corner, 0, border="mirror").back(np.array([20.5, 20.5]))
    assert x < 0 and y < 0
    np.testing.assert_allclose(mirror[20, 20, :2], [-x - 0.5, -y - 0.5], atol=1)
    assert mirror[2:, 2:, :2].max(axis=-1).any()


def test_mirrored_goes_on_as_numpy_does():
    line = np.arange(5)
    expected = np.pad(line, (12, 14), "symmetric")
    np.testing.assert_array_equal(line[close_crop._mirrored(-12, 31, 5)], expected)
