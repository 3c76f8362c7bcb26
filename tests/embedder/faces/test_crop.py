from __future__ import annotations

import inspect
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from embedder.config import DetectorConfig
from embedder.faces import crop as crop_module
from embedder.faces import search
from embedder.faces.align import Similarity, warp_square
from embedder.faces.crop import (
    NO_FACE,
    Crop,
    Cropping,
    FaceCropper,
    WholeImageCropper,
    in_short,
    load_cropper,
    load_detector,
    main_face,
    several_faces_note,
)
from embedder.faces.detection import Detection
from embedder.faces.quality import assess_quality
from embedder.images import resize_to_square
from embedder.trunks import find_trunk
from enroll.cli import train
from scripts.group_photos import compose
from tests.embedder.faces.composed import rgb

LANDMARKS = find_trunk("face-resnet").landmarks
CANONICAL = np.array(LANDMARKS)
NETWORK = b"never run"
SIZE = 64
PHOTO = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


class Told:
    """Stands in for a detector: finds in every picture the faces it was told of."""

    def __init__(self, *faces: Detection) -> None:
        self.faces, self.threads = list(faces), set()

    def find(self, image: np.ndarray) -> list[Detection]:
        self.threads.add(threading.get_ident())
        return self.faces


def face(x: float, y: float, width: float, height: float) -> Detection:
    return Detection((x, y, width, height), CANONICAL * (width, height) + (x, y), 0.9)


def crop(x: int, y: int, width: int, height: int) -> Crop:
    return Crop(np.zeros((8, 8, 3), np.uint8), (x, y, width, height))


def around(x: float, y: float, side: int) -> Crop:
    return crop(round(x - side / 2), round(y - side / 2), side, side)


@pytest.fixture
def cropped(monkeypatch):
    """What becomes of a photo of 400 x 300 in which these faces are found."""

    def crops(*faces: Detection) -> list[Crop]:
        monkeypatch.setattr(crop_module, "load_detector", lambda *_: Told(*faces))
        return FaceCropper(SIZE, LANDMARKS, network=NETWORK).crops(PHOTO)

    return crops


@pytest.fixture
def boxes(cropped):
    return lambda *faces: [crop.box for crop in cropped(*faces)]


@pytest.fixture(scope="module")
def group(heads) -> np.ndarray:
    return compose(heads, 5, (1200, 900), 5, (62, 160), 25, "drawn")[0]


def test_the_largest_area_comes_first(boxes):
    found = boxes(face(10, 10, 20, 20), face(60, 60, 50, 10), face(200, 100, 40, 40), face(10, 200, 30, 30))
    assert found == [(200, 100, 40, 40), (10, 200, 30, 30), (60, 60, 50, 10), (10, 10, 20, 20)]


def test_equally_large_faces_come_from_left_to_right_then_from_top_to_bottom(boxes):
    found = boxes(face(90, 9, 20, 20), face(10, 70, 20, 20), face(50, 0, 40, 10), face(10, 7, 20, 20))
    assert found == [(10, 7, 20, 20), (10, 70, 20, 20), (50, 0, 40, 10), (90, 9, 20, 20)]


def test_only_the_part_within_the_photo_counts_as_large(boxes):
    assert boxes(face(-60, 0, 90, 90), face(200, 100, 60, 60)) == [(200, 100, 60, 60), (0, 0, 30, 90)]


@pytest.mark.parametrize(
    ("found", "box"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((10.2, 20.9, 30, 40), (10, 20, 31, 41)),
        ((10.5, 20.5, 29.5, 39.5), (10, 20, 30, 40)),
        ((-3.5, 2, 20, 20), (0, 2, 17, 20)),
        ((5, -7.25, 20, 20), (5, 0, 20, 13)),
        ((390.5, 100, 20, 20), (390, 100, 10, 20)),
        ((100, 289.5, 20, 20), (100, 289, 20, 11)),
        ((-20, -30, 500, 500), (0, 0, 400, 300)),
        ((399.9, 299.9, 20, 20), (399, 299, 1, 1)),
        ((-19.9, -19.9, 20, 20), (0, 0, 1, 1)),
    ],
)
def test_a_box_is_the_pixels_of_the_photo_that_it_touches(boxes, found, box):
    assert boxes(face(*found)) == [box]
    assert {type(number) for number in boxes(face(*found))[0]} == {int}


@pytest.mark.parametrize(
    "beyond",
    [(-20, 50, 20, 20), (400, 50, 20, 20), (50, -20, 20, 20), (50, 300, 20, 20), (-90, -90, 20, 20)],
    ids=["left", "right", "above", "below", "corner"],
)
def test_a_face_wholly_outside_is_dropped(boxes, beyond):
    assert boxes(face(*beyond)) == []
    assert boxes(face(*beyond), face(10, 10, 20, 20)) == [(10, 10, 20, 20)]


def test_no_face_no_crop(cropped):
    assert cropped() == []


def test_the_crop_has_the_points_where_the_trunk_expects_them(cropped):
    for found in (face(100, 80, 120, 120), face(-20.5, 30, 90, 90)):
        (own,) = cropped(found)
        expected = warp_square(PHOTO, Similarity.fit(found.points, CANONICAL * SIZE), SIZE)
        assert expected.std() > 10
        np.testing.assert_array_equal(own.pixels, expected)


@pytest.mark.parametrize("size", [64, 150])
def test_crops_of_a_photo_are_what_was_found_in_it(detector, yunet_network, group, size):
    crops = FaceCropper(size, LANDMARKS, network=yunet_network).crops(group)
    found = {face.points.tobytes(): face for face in detector.find(group)}
    assert len(crops) == len(found) == 5
    for own in crops:
        face = found[own.points.tobytes()]
        crop = warp_square(group, Similarity.fit(face.points, CANONICAL * size), size)
        np.testing.assert_array_equal(own.pixels, crop)
        assert own.quality == assess_quality(group, face)
        np.testing.assert_allclose(own.box, face.box, atol=2)
    areas = [own.box[2] * own.box[3] for own in crops]
    assert areas == sorted(areas, reverse=True)


def test_the_photo_is_left_as_it_is(group, yunet_network):
    photo = group.copy()
    FaceCropper(SIZE, LANDMARKS, network=yunet_network).crops(photo)
    np.testing.assert_array_equal(photo, group)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (SIZE, SIZE), (1, 1), (200, 200)])
def test_a_whole_picture_is_one_crop_without_a_box(shape):
    picture = PHOTO[: shape[0], : shape[1]]
    (own,) = WholeImageCropper(SIZE).crops(picture)
    np.testing.assert_array_equal(own.pixels, resize_to_square(picture, SIZE))
    assert own.pixels.shape == (SIZE, SIZE, 3)
    assert (own.box, own.points, own.quality) == (None, None, None)


def test_threads_that_share_it_get_the_crops_of_one(heads, yunet_network):
    photos = [compose(heads, seed, (640, 480), 2, (70, 110), 15, "drawn")[0] for seed in range(6)]
    photos += [rgb(head) for head in heads[:6]]
    shared = FaceCropper(SIZE, LANDMARKS, network=yunet_network)
    alone = [shared.crops(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(shared.crops, photos * 3))
    assert {len(crops) for crops in alone} == {1, 2}
    for crops, others in zip(alone * 3, together, strict=True):
        assert [own.box for own in crops] == [other.box for other in others]
        assert [own.quality for own in crops] == [other.quality for other in others]
        for own, other in zip(crops, others, strict=True):
            np.testing.assert_array_equal(own.pixels, other.pixels)
            np.testing.assert_array_equal(own.points, other.points)


def test_each_thread_finds_with_one_detector_of_its_own(monkeypatch):
    loaded: list[Told] = []
    all_here = threading.Barrier(3, timeout=10)

    def load(*_: object) -> Told:
        loaded.append(Told())
        return loaded[-1]

    def work(_: int) -> None:
        all_here.wait()
        shared.crops(PHOTO)
        shared.crops(PHOTO)

    monkeypatch.setattr(crop_module, "load_detector", load)
    shared = FaceCropper(SIZE, LANDMARKS, network=NETWORK)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert [len(own.threads) for own in loaded] == [1, 1, 1]
    assert len(set.union(*(own.threads for own in loaded))) == 3


@pytest.mark.parametrize(
    ("crops", "chosen"),
    [
        ([around(200, 150, 80), around(100, 100, 60)], 0),
        ([around(60, 60, 80), around(200, 150, 80)], 1),
        ([around(400, 300, 200), around(200, 150, 101)], 1),
        ([around(400, 300, 200), around(200, 150, 99)], 0),
        ([around(0, 150, 200), around(200, 150, 119)], 0),
        ([around(0, 150, 200), around(200, 150, 121)], 1),
        ([around(200, 0, 200), around(200, 150, 139)], 0),
        ([around(200, 0, 200), around(200, 150, 141)], 1),
        ([crop(0, 90, 60, 120), around(200, 150, 75)], 0),
        ([crop(140, 0, 120, 60), around(200, 150, 80)], 0),
        ([around(100, 150, 80), around(300, 150, 80)], 0),
        ([around(200, 50, 80), around(200, 250, 80)], 0),
        ([around(399, 299, 10)], 0),
    ],
    ids=[
        "larger and central",
        "as large, but central",
        "twice as large, but at the corner",
        "more than twice as large, at the corner",
        "at the left border, large enough",
        "at the left border, not large enough",
        "at the upper border, large enough",
        "at the upper border, not large enough",
        "cut at its side, and as large as its height",
        "cut at its top, and as large as its width",
        "two as far to the left as to the right",
        "two as far up as down",
        "one, wherever it is",
    ],
)
def test_principal_is_the_largest_with_half_the_weight_at_the_corner(crops, chosen):
    assert main_face(crops, PHOTO.shape) is crops[chosen]


def test_principal_in_a_photo_that_is_higher_than_wide():
    below, left = around(150, 390, 100), around(10, 200, 100)
    assert main_face([below, left], (400, 300, 3)) is left
    assert main_face([below, left], (400, 300)) is left


def test_principal_does_not_depend_on_the_order_unless_two_weigh_the_same():
    crops = [around(200, 150, 100), around(100, 100, 110), around(50, 50, 130)]
    assert main_face(crops, PHOTO.shape) is main_face(crops[::-1], PHOTO.shape) is crops[0]


def test_principal_of_a_whole_picture_is_the_picture():
    whole = WholeImageCropper(8).crops(PHOTO)
    assert main_face(whole, PHOTO.shape) is whole[0]


def test_crowd_note_counts_the_faces_and_says_which_is_used():
    assert [several_faces_note(faces) for faces in (0, 1)] == [None, None]
    assert several_faces_note(2) == "2 faces; the largest, most central one is used"
    assert several_faces_note(12).startswith("12 faces;")


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        (None, None),
        ("", ""),
        ("the file is empty", "the file is empty"),
        ("has 60 megapixels; make it smaller; or not", "has 60 megapixels"),
        (several_faces_note(3), "3 faces"),
        (NO_FACE, "no face found"),
    ],
)
def test_in_short_leaves_out_the_advice(reason, short):
    assert in_short(reason) == short


def test_no_face_names_options_that_there_are():
    named = {option.replace("-", "_") for option in re.findall(r"--([a-z-]+)", NO_FACE)}
    assert named == {"min_face", "any_rotation"}
    assert named <= inspect.signature(train.train).parameters.keys()


@pytest.mark.parametrize(("crop", "kind"), [("whole", WholeImageCropper), ("face", FaceCropper)])
def test_load_cropper_takes_the_picture_or_the_faces(heads, yunet_network, crop, kind):
    cropper = load_cropper(Cropping(crop, 32, LANDMARKS, network=yunet_network))
    assert type(cropper) is kind
    (own,) = cropper.crops(rgb(heads[0]))
    assert own.pixels.shape == (32, 32, 3)
    assert (own.box is None) == (crop == "whole")


def test_load_cropper_finds_faces_as_it_is_asked_to(monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(crop_module, "load_detector", lambda *how: asked.append(how) or Told())
    cropping = Cropping("face", SIZE, LANDMARKS, network=NETWORK)
    load_cropper(cropping).crops(PHOTO)
    other = DetectorConfig(min_face=30, any_rotation=True)
    load_cropper(replace(cropping, finding=other), threads=2).crops(PHOTO)
    assert asked == [(DetectorConfig(), NETWORK, 1), (other, NETWORK, 2)]


@pytest.mark.parametrize("given", [{}, {"landmarks": LANDMARKS}, {"network": NETWORK}])
def test_load_cropper_refuses_faces_without_a_template_or_a_detector(given):
    with pytest.raises(ValueError, match="landmarks and the detector's network"):
        load_cropper(Cropping("face", SIZE, **given))
    assert type(load_cropper(Cropping("whole", SIZE, **given))) is WholeImageCropper


def test_load_detector_loads_yunet_as_it_is_asked_to(monkeypatch):
    monkeypatch.setattr(search, "YuNetDetector", lambda *how: ("yunet", *how))
    monkeypatch.setattr(crop_module, "RotationSearch", lambda *how: ("any rotation", *how))
    upright = DetectorConfig(80)
    assert load_detector(upright, NETWORK) == ("yunet", NETWORK, upright, 1)
    turned = DetectorConfig(80, any_rotation=True, overlap=0.3)
    assert load_detector(turned, NETWORK, 2) == ("any rotation", ("yunet", NETWORK, turned, 2), 0.3)


def test_face_cropper_takes_the_built_in_detector(heads, yunet_network):
    photo = rgb(heads[0])
    ((own,), (given,)) = (
        FaceCropper(SIZE, LANDMARKS, network=network).crops(photo) for network in (None, yunet_network)
    )
    np.testing.assert_array_equal(own.pixels, given.pixels)
    assert own.box == given.box


@pytest.mark.parametrize(
    ("size", "template", "said"),
    [
        (0, LANDMARKS, "at least 1 pixel, not 0"),
        (SIZE, LANDMARKS[:4], r"\(5, 2\), not \(4, 2\)"),
        (SIZE, [[np.nan, 0.0]] * 5, "finite points"),
    ],
)
def test_face_cropper_refuses_a_size_or_a_template_that_is_none(size, template, said):
    with pytest.raises(ValueError, match=said):
        FaceCropper(size, template)
